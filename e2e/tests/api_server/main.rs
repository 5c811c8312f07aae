//! What the API server itself says of our definitions, and whether the servers of the tests come and go as promised.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../crds/tests/rules/cases.rs"]
mod cases;
mod interceptor;
mod kubelet;
mod names;
mod object_store;
mod operator;
mod rules;
mod servers;
mod strimzi;
