//! What one accepted record tells the stages that reason about it: alerts, sessions, live state.
//!
//! Produced by the verdict judge and the zone tracker, the same for every stage, so that each stage is
//! a pure function of its partition's log. Must not hold decisions of a stage.
//!
//! Invariants: a record that was not accepted produces none; `watermark` never goes back within a
//! partition; the view is the zone *after* the record.

use parking_crds::event::{Millis, SourceType};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One accepted record, as the stages see it.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Where it stands in its partition.
    pub offset: u64,
    /// The partition's watermark, this record included.
    pub watermark: Millis,
    /// When it happened.
    pub event_time: Millis,
    /// Behind the watermark: it never raises or resolves an alert.
    pub late: bool,
    /// Old data, played again.
    pub replayed: bool,
    /// Its identity.
    pub event_id: Uuid,
    /// What it is about.
    pub subject: Subject<'a>,
}

/// What a record is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A zone.
    Zone(ZoneFact<'a>),
    /// Nothing but the passage of time (`tick`).
    Time,
    /// The end of the input: fires no timer.
    InputEnded,
}

/// What a record did to its zone.
#[derive(Clone, Copy, Debug)]
pub struct ZoneFact<'a> {
    /// The zone.
    pub zone: Uuid,
    /// How it stands now.
    pub view: ZoneView,
    /// What became of stays, in the order in which it became so.
    pub sessions: &'a [SessionChange],
    /// The device that spoke, if one did.
    pub device: Option<DeviceSignal>,
}

/// How a zone stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneView {
    /// Vehicles, never cut to the capacity.
    pub occupied: u32,
    /// Spaces of which nobody knows.
    pub unknown: u32,
    /// N: spaces in service; 0 while the zone is closed.
    pub capacity: u32,
    /// When the count that this rests on goes stale, where it rests on a count.
    pub stale_at: Option<Millis>,
}

/// What became of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// It began. Told again for the same session, its start has moved.
    Started {
        /// The session.
        session: Uuid,
        /// Where.
        space: Option<Uuid>,
        /// Who saw it.
        device: Uuid,
        /// When it began.
        start: Millis,
    },
    /// It ended, or it turned out that it never was.
    Ended {
        /// The session.
        session: Uuid,
    },
}

/// A device that spoke, or of which something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSignal {
    /// The device.
    pub id: Uuid,
    /// How it sees.
    pub source_type: SourceType,
    /// What the record says of it.
    pub state: DeviceState,
}

/// What a record says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// It was heard.
    Alive,
    /// It cannot be heard (`comms_lost`, not online): no sign of life.
    Lost,
    /// It left service: its silence is right until it is heard again.
    Decommissioned,
}
