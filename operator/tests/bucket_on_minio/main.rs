//! The bucket's steps against a real S3 endpoint. Each test has a server of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod claim;
mod endpoint;
#[path = "../installed/mod.rs"]
mod installed;
mod minio;
mod purge;
mod rights;
