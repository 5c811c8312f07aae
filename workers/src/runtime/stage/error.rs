//! Why a turn of a stage failed.

use uuid::Uuid;

use super::BoxError;
use crate::ports::{
    PortError,
    event_log::{Offset, Partition},
};

/// Why a turn failed. The memory was dropped: the next turn loads it anew.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Stored state cannot be read.
    #[error("{role}/{partition}: the stored state cannot be read: {source}")]
    State {
        /// The role.
        role: &'static str,
        /// The partition.
        partition: Partition,
        /// Why.
        source: BoxError,
    },
    /// Records were removed from the log before they were read (G9).
    #[error(
        "{role}/{partition}: the state stands at offset {next}, but the log begins at {start}: what lay between is lost; lengthen the retention, and forget this state to go on without it"
    )]
    Expired {
        /// The role.
        role: &'static str,
        /// The partition.
        partition: Partition,
        /// Offset of the state.
        next: Offset,
        /// Oldest record of the log.
        start: Offset,
    },
    /// The state belongs to a log that is not this one, or to more of it than there is (G9).
    #[error(
        "{role}/{partition}: the state stands at offset {next} of log {stored}, but the log is {found} and ends at {end}: restore the log, or use a new data folder"
    )]
    ForeignLog {
        /// The role.
        role: &'static str,
        /// The partition.
        partition: Partition,
        /// Offset of the state.
        next: Offset,
        /// Log of the state.
        stored: Uuid,
        /// Log that is there.
        found: Uuid,
        /// Its end.
        end: Offset,
    },
}
