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
mod example;
mod faults;
mod fields;
mod holdings;
mod job_edits;
mod kills;
mod kubectl;
mod leadership;
mod lifecycle;
mod quiet;
mod readme;
mod redis;
mod redis_changes;
mod redis_failures;
mod redis_passwords;
mod removal;
mod replicas;
mod rights;
mod rolls;
mod rows;
mod rule_edits;
mod rules;
mod sharing;
mod statistics;
mod whole_suite;
mod workers;
