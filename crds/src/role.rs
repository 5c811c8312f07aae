//! What a worker does: its role.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one worker process does for its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Accepts events over HTTP, gRPC and Redis and writes them to the log.
    Ingest,
    /// Follows spaces and zones; writes sessions, ticks, dead letters and live state.
    Occupancy,
    /// Evaluates the rules; writes alerts.
    Alert,
    /// Copies every stream into the lake.
    Archive,
    /// Delivers alerts to the outside world.
    Notify,
    /// Keeps accounts.
    Account,
    /// Serves the live picture.
    Console,
    /// Takes reservations.
    Reserve,
    /// Generates events.
    Simulate,
}

impl Role {
    /// Every role, in the order of the flow.
    pub const ALL: [Self; 9] = [
        Self::Ingest,
        Self::Occupancy,
        Self::Alert,
        Self::Archive,
        Self::Notify,
        Self::Account,
        Self::Console,
        Self::Reserve,
        Self::Simulate,
    ];

    /// The name of the role in commands, labels and specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Occupancy => "occupancy",
            Self::Alert => "alert",
            Self::Archive => "archive",
            Self::Notify => "notify",
            Self::Account => "account",
            Self::Console => "console",
            Self::Reserve => "reserve",
            Self::Simulate => "simulate",
        }
    }

    /// Whether the role owns partitions of the log, so that more replicas than partitions are idle.
    pub const fn owns_partitions(self) -> bool {
        matches!(self, Self::Occupancy | Self::Alert | Self::Archive)
    }

    /// Whether every pipeline needs the role, also when its spec does not mention it.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Ingest | Self::Occupancy | Self::Alert | Self::Archive | Self::Notify)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
