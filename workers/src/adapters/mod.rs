//! Adapters: the ports on real things, one folder a family.
//!
//! Must not decide anything about parking. Every adapter of a port passes that port's suite in
//! [`crate::ports::contract`].

pub mod embedded;
pub mod memory;
