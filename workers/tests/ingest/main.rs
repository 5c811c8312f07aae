//! Ingest as senders see it: over HTTP and gRPC, on a log in memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod client;
mod events;
mod failures;
#[cfg(feature = "grpc")]
mod figures;
#[cfg(feature = "grpc")]
mod grpc;
mod keys;
#[cfg(feature = "redis")]
mod redis;
mod server;
mod tls;
