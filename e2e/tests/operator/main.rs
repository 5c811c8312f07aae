//! The operator on a real API server: pipelines become objects, and stay so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod city;
mod create;
