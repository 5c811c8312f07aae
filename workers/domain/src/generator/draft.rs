//! Records before they have bytes: what they tell, what is wrong with them, when they are due.
//!
//! Must not render. Invariant: of the drafts of a zone the earliest leaves first; those due at the same
//! time leave in the order in which they were sent.

use std::cmp::Ordering;

use parking_crds::event::Millis;
use uuid::Uuid;

use super::device::Numbered;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start { session: Uuid, vehicle: &'static str },
    End { session: Uuid, cost: i64 },
    Report { occupied: bool },
    Count { occupied: u32 },
    Lost { outage: u32 },
    Restored { outage: u32 },
    OutOfService { out: bool, incident: u32 },
    Closed { closed: bool, incident: u32 },
    Corrected { occupied: u32, incident: u32 },
}

/// An impossible record, and how it became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Cut,
    NotUtf8,
    MissingField,
    WrongType,
    InvalidTime,
    FarAhead,
    TooOld,
    UnknownZone,
    UnknownSpace,
    NegativeCount,
}

impl Damage {
    pub(super) const ALL: [Self; 10] = [
        Self::Cut,
        Self::NotUtf8,
        Self::MissingField,
        Self::WrongType,
        Self::InvalidTime,
        Self::FarAhead,
        Self::TooOld,
        Self::UnknownZone,
        Self::UnknownSpace,
        Self::NegativeCount,
    ];
}

/// A record before it has bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) device: u32,
    pub(super) time: Millis,
    pub(super) number: Numbered,
    pub(super) damage: Option<Damage>,
}

/// A draft on its way.
pub(super) struct Pending {
    pub(super) due: Millis,
    pub(super) order: u64,
    pub(super) draft: Draft,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    /// The earliest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}
