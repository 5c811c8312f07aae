//! What is planned for a pipeline, and what the static check says of it: all from files, without a cluster.

mod autoscaling;
mod check;
mod evaluator;
mod examples;
mod fixture;
mod properties;
mod workloads;
