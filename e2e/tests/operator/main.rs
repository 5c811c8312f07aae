//! The operator on a real API server: pipelines become objects, and stay so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod city;
mod create;
mod delete;
mod drift;
mod lifecycle;
mod quiet;
mod redis;
mod redis_changes;
mod redis_failures;
mod redis_passwords;
mod rules;
