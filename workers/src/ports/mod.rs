//! Ports: what the roles need of the world, as small traits with numbered guarantees.
//!
//! Must not name a technology. Each trait has at most five methods; calls carry batches, so a boxed
//! future a call costs nothing. Every adapter passes the suite in [`contract`], whose tests name the
//! guarantee they check (`L1`, `S3`, …). Faults and retries are decorators, never part of an adapter.

pub mod clock;
pub mod contract;
pub mod event_log;
pub mod lake;
pub mod live_view;
pub mod membership;
pub mod notifier;
pub mod object_store;
pub mod state_store;

use std::error::Error;

/// What went wrong, as callers need to know it: they branch on this and never on adapter types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It did not happen; trying again may help.
    Transient,
    /// It may have happened: ask before trying again.
    Ambiguous,
    /// There is no room.
    Full,
    /// What was stored is not what was written.
    Corrupt,
    /// The caller asked for what cannot be.
    Invalid,
    /// The adapter has stopped for good.
    Closed,
}

/// A failed call of a port.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} failed")]
pub struct PortError {
    /// What callers branch on.
    pub kind: ErrorKind,
    /// What was tried, for people.
    pub attempt: String,
    /// The adapter's own reason.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// Without an inner reason.
    pub fn new(kind: ErrorKind, attempt: impl Into<String>) -> Self {
        Self { kind, attempt: attempt.into(), source: None }
    }

    /// With one.
    pub fn caused(
        kind: ErrorKind,
        attempt: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, attempt: attempt.into(), source: Some(source.into()) }
    }
}

/// The outcome of a call of a port.
pub type PortResult<T> = Result<T, PortError>;
