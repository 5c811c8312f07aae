//! The planned containers of Redis and its sentinels, run for real on loopback addresses of their own.
//!
//! Each test has a cluster in a folder of its own: the planned ConfigMap and Secret are written there, each pod
//! gets its command and environment, with DNS names replaced by addresses. What the operator says to running
//! servers is said here as the module docs of `plan::redis` describe it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cluster;
mod leading;
mod plan;
