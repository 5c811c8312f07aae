//! The charts as `helm` renders them: rights, restricted pods, strict values, and objects that the API server knows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

#[path = "../installed/mod.rs"]
mod installed;
mod monitoring;
mod pods;
mod rendering;
mod rights;
mod schemas;
mod values;
