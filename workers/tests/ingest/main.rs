//! Ingest as senders see it: over HTTP and gRPC, on a log in memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod client;
mod events;
mod failures;
mod keys;
mod server;
mod tls;
