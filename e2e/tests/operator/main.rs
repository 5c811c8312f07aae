//! The operator on a real API server: pipelines become objects, and stay so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod city;
mod create;
mod delete;
mod drift;
mod kubectl;
mod lifecycle;
mod quiet;
mod rules;
mod whole_suite;
