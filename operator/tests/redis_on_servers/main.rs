//! The steps of a managed Redis on real servers and sentinels. Each test has loopback addresses of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod changes;
mod cluster;
mod leading;
