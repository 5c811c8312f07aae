//! The operator on a real API server: pipelines become objects, and stay so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod backup;
mod bad_input;
mod bucket;
mod city;
mod create;
mod definitions;
mod delete;
mod drift;
mod edits;
mod lifecycle;
mod quiet;
mod removal;
mod replicas;
mod rolls;
mod rules;
mod sharing;
mod statistics;
