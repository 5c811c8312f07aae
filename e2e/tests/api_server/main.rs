//! What the API server itself says of our definitions, and whether the servers of the tests come and go as promised.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../crds/tests/rules/cases.rs"]
mod cases;
mod doubles;
mod interceptor;
mod names;
mod rules;
mod servers;
