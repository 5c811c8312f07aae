//! What is planned for a pipeline, and what the static check says of it: all from files, without a cluster.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

mod autoscaling;
mod check;
mod evaluator;
mod examples;
mod fixture;
mod properties;
mod workloads;
