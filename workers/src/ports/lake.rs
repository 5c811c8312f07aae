//! The lake: append-only tables, each with the positions up to which it holds its input (G4).
//!
//! Guarantees:
//! - **K1** A commit is atomic: its files, positions and watermarks appear together or not at all.
//! - **K2** A commit succeeds only if every position that it moves is still the one of the snapshot
//!   that it names; else it answers [`Committed::Conflict`] and changes nothing.
//! - **K3** Commits that move different positions do not disturb each other.
//! - **K4** A file that was put is durable and whole; files without a commit are invisible to readers.
//! - **K5** A snapshot shows every commit that was answered before it was taken.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::event::Millis;

use super::{
    PortResult,
    event_log::{Offset, Partition},
};

/// The tables of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Accepted events and companion records.
    Events,
    /// Session revisions.
    Sessions,
    /// Alert transitions.
    Alerts,
    /// Refused records.
    DeadLetters,
    /// Zones by inventory revision.
    Inventory,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 5] =
        [Self::Events, Self::Sessions, Self::Alerts, Self::DeadLetters, Self::Inventory];

    /// The table's name and folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::Alerts => "alerts",
            Self::DeadLetters => "deadletters",
            Self::Inventory => "inventory",
        }
    }
}

/// Up to where a table holds one partition of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Last offset that the table holds, inclusive.
    pub last_offset: Offset,
    /// Watermark of the partition after that record; `None` before the first event.
    pub watermark: Option<Millis>,
}

/// What a table holds, at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSnapshot {
    /// Version of the table; `None` before its first commit.
    pub version: Option<u64>,
    /// Positions by partition.
    pub positions: BTreeMap<Partition, Position>,
}

/// One file of rows, named after what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Date of the rows (UTC, of `event_time`), days since the epoch.
    pub date: i32,
    /// Path below the table, derived from date, partition and offsets.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes in it.
    pub size: u64,
}

/// One atomic addition to a table.
#[derive(Clone, Debug, Default)]
pub struct TableCommit {
    /// The snapshot whose positions were checked (K2).
    pub base: TableSnapshot,
    /// Files to show, all put before.
    pub files: Vec<DataFile>,
    /// New positions; partitions that are not named keep theirs.
    pub positions: BTreeMap<Partition, Position>,
}

/// Whether a commit was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    /// It was; the snapshot after it.
    Yes(TableSnapshot),
    /// A position had moved: take a new snapshot and decide again.
    Conflict,
}

/// The port. See the module for its guarantees. `source` names the log that positions belong to.
#[async_trait]
pub trait Lake: Send + Sync {
    /// The table's newest state (K5).
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot>;

    /// Writes a file that no commit names yet (K4). Putting the same path again replaces or keeps it.
    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()>;

    /// Shows files and moves positions (K1, K2, K3).
    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed>;
}
