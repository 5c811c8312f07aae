//! What stands now, as rows for whoever shows it.
//!
//! The rows are no state: they are made from a stage's state, which can make them again at any time. So they may be
//! behind a commit, never ahead of it, and nothing of ours reads them.
//!
//! Guarantees:
//! - **V1** One write shows as a whole: a reader sees all of its rows or none of them.
//! - **V2** A claim fences every earlier owner of the stage: a write with an older token changes nothing and answers
//!   [`Outcome::Fenced`].
//! - **V3** Rows of other stages stay as they are.
//! - **V4** After a write that names all rows of its stage no other row of the stage is left, whoever wrote it.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::{
    PortResult,
    state_store::{Outcome, StageKey, Token},
};

/// What rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiveKind {
    /// Zones with their spaces, by `curb_zone_id`.
    Zones,
    /// Alerts that are raised, by `alert_id`.
    Alerts,
}

impl LiveKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Zones, Self::Alerts];

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Alerts => "alerts",
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRows {
    /// What they are about.
    pub kind: LiveKind,
    /// JSON objects by id; `None` takes a row away.
    pub rows: Vec<(Uuid, Option<Bytes>)>,
    /// Ids of all rows of the stage, these among them, where others are to go.
    pub all: Option<Vec<Uuid>>,
}

/// The port. See the module for its guarantees.
#[async_trait]
pub trait LiveView: Send + Sync {
    /// Shows rows of a stage in place of older ones.
    async fn show(&self, stage: &StageKey, token: Token, rows: LiveRows) -> PortResult<Outcome>;
}
