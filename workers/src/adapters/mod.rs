//! Adapters: the ports on real things, one folder a family.
//!
//! Must not decide anything about parking. Every adapter of a port passes that port's suite in
//! [`crate::ports::contract`].

pub mod console_notifier;
pub mod decorate;
#[allow(clippy::disallowed_methods, reason = "here time, threads and random names come from")]
pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
#[allow(clippy::disallowed_methods, reason = "here time, threads and random names come from")]
pub mod lake;
pub mod memory;
mod outbox;
#[cfg(feature = "redis")]
#[allow(clippy::disallowed_methods, reason = "here time, threads and random names come from")]
pub mod redis;
pub mod route_notifier;
#[allow(clippy::disallowed_methods, reason = "here time, threads and random names come from")]
pub mod s3;
pub mod webhook_notifier;
pub mod webhook_signer;
