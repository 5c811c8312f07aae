//! The clock: the only source of wall time, for pauses and log lines. No result depends on it.
//!
//! Guarantees:
//! - **C1** `pause` completes no earlier than its length after the call.
//! - **C2** `monotonic` never goes back.

use async_trait::async_trait;
use parking_crds::{duration::Duration, event::Millis};

/// The port. See the module for its guarantees.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall time, ms since the epoch; may jump.
    fn now(&self) -> Millis;

    /// Time since some start, ms (C2).
    fn monotonic(&self) -> Millis;

    /// Waits (C1).
    async fn pause(&self, length: Duration);
}
