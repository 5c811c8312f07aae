//! What a worker does: its role.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stream::Stream;

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

    /// Streams that the role consumes. Rights at Kafka, lag and the static check follow from it.
    pub const fn reads(self) -> &'static [Stream] {
        match self {
            Self::Occupancy | Self::Alert => &[Stream::Events],
            Self::Archive => &Stream::ALL,
            Self::Notify => &[Stream::Alerts],
            Self::Ingest | Self::Account | Self::Console | Self::Reserve | Self::Simulate => &[],
        }
    }

    /// Streams that the role appends to. Rights at Kafka and the static check follow from it.
    pub const fn writes(self) -> &'static [Stream] {
        match self {
            Self::Ingest => &[Stream::Events, Stream::DeadLetters],
            // Ticks go back to the events.
            Self::Occupancy => &[Stream::Events, Stream::Sessions, Stream::DeadLetters],
            Self::Alert => &[Stream::Alerts],
            Self::Account | Self::Console | Self::Reserve | Self::Simulate => &[Stream::Events],
            Self::Archive | Self::Notify => &[],
        }
    }

    /// Whether the role talks to the state store.
    pub const fn uses_store(self) -> bool {
        match self {
            Self::Ingest
            | Self::Occupancy
            | Self::Alert
            | Self::Notify
            | Self::Account
            | Self::Console
            | Self::Reserve => true,
            // Its offsets and snapshots live in the bucket.
            Self::Archive | Self::Simulate => false,
        }
    }

    /// Whether the role reads or writes tables or snapshots in the bucket.
    pub const fn uses_lake(self) -> bool {
        matches!(self, Self::Occupancy | Self::Alert | Self::Archive | Self::Notify)
    }

    /// Whether the role reads the inventory.
    pub const fn uses_inventory(self) -> bool {
        !matches!(self, Self::Notify)
    }

    /// Whether clients outside the pipeline call the role.
    pub const fn serves_clients(self) -> bool {
        matches!(self, Self::Ingest | Self::Account | Self::Console | Self::Reserve)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_a_role_that_writes_it_and_one_that_reads_it() {
        let required = || Role::ALL.iter().filter(|role| role.is_required());
        for stream in Stream::ALL {
            assert!(required().any(|role| role.writes().contains(&stream)), "{stream}");
            assert!(required().any(|role| role.reads().contains(&stream)), "{stream}");
        }
    }

    #[test]
    fn a_role_that_owns_partitions_reads_them() {
        assert!(Role::ALL.iter().all(|role| !role.owns_partitions() || !role.reads().is_empty()));
    }
}
