//! A stay and the record that tells of it.

use parking_crds::event::Millis;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How an end of a stay became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// A device saw it.
    Observed,
    /// It follows from a later record.
    Inferred,
    /// Nobody knows it.
    Missing,
}

/// What a session record announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionRecordType {
    /// A stay began.
    #[serde(rename = "session.started")]
    Started,
    /// A stay ended.
    #[serde(rename = "session.ended")]
    Ended,
    /// An end that was told before was wrong.
    #[serde(rename = "session.corrected")]
    Corrected,
}

/// One revision of a stay, as it stands on the `sessions` stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// What it announces.
    pub record_type: SessionRecordType,
    /// The stay.
    pub session_id: Uuid,
    /// From 0; the highest holds.
    pub revision: u32,
    /// The zone.
    pub curb_zone_id: Uuid,
    /// The space.
    pub curb_space_id: Uuid,
    /// Who saw it.
    pub device_id: Uuid,
    /// When it began, ms.
    pub start: Millis,
    /// How that became known.
    pub start_kind: EndKind,
    /// When it ended, ms.
    pub end: Option<Millis>,
    /// How that became known.
    pub end_kind: EndKind,
    /// `end - start`.
    pub dwell_ms: Option<Millis>,
    /// The record that told it was late.
    pub late: bool,
    /// It rests on old data played again.
    pub replayed: bool,
}

/// A stay in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stay {
    pub(super) session: Uuid,
    pub(super) revision: u32,
    pub(super) device: Uuid,
    pub(super) start: Millis,
    pub(super) start_kind: EndKind,
    pub(super) end: Option<Millis>,
    pub(super) end_kind: EndKind,
}

impl Stay {
    pub(super) fn record(
        &self,
        record_type: SessionRecordType,
        zone: Uuid,
        space: Uuid,
        late: bool,
        replayed: bool,
    ) -> SessionRecord {
        SessionRecord {
            record_type,
            session_id: self.session,
            revision: self.revision,
            curb_zone_id: zone,
            curb_space_id: space,
            device_id: self.device,
            start: self.start,
            start_kind: self.start_kind,
            end: self.end,
            end_kind: self.end_kind,
            dwell_ms: self.end.map(|end| end - self.start),
            late,
            replayed,
        }
    }
}
