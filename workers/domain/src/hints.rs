//! Where the maps of a partition had what a device speaks of when it spoke last, so that its next record
//! need not search them.
//!
//! Must not decide anything: a position is checked against the id before it is used, and a wrong one
//! costs a search. Invariant: nothing of this is stored; any hints give the same answers.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_crds::inventory::{ValidRevision, Zone};
use uuid::Uuid;

/// A position that was right once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint(u32);

impl Hint {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// It was found here.
    pub fn set(&mut self, index: usize) {
        self.0 = u32::try_from(index).unwrap_or(u32::MAX);
    }
}

/// The positions of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Its zone and space in the inventory.
    pub(crate) place: (Hint, Hint),
    /// Its zone and its own windows with the judge.
    pub(crate) windows: (Hint, Hint),
    /// Its zone and space with the tracker.
    pub(crate) state: (Hint, Hint),
    /// Its zone and itself with the alert engine.
    pub(crate) alert: (Hint, Hint),
}

impl Hints {
    /// A zone of the inventory.
    pub(crate) fn zone<'i>(&mut self, revision: &'i ValidRevision, id: Uuid) -> Option<&'i Zone> {
        let hint = &mut self.place.0;
        if revision.zones().get(hint.index()).is_none_or(|zone| zone.id != id) {
            hint.set(revision.zone_position(id)?);
        }
        revision.zones().get(hint.index())
    }

    /// Looks at the space, so that memory brings it; the answer means nothing.
    pub(crate) fn look_ahead(&self, revision: &ValidRevision) -> u64 {
        let zone = revision.zones().get(self.place.0.index());
        let space = zone.and_then(|zone| zone.spaces.get(self.place.1.index()));
        space.map_or(0, |space| space.id.as_u64_pair().0)
    }

    /// Whether a zone of the inventory has a watched space.
    pub(crate) fn has_space(&mut self, revision: &ValidRevision, zone: &Zone, space: Uuid) -> bool {
        let hint = &mut self.place.1;
        if zone.spaces.get(hint.index()).is_some_and(|one| one.id == space) {
            return true;
        }
        let found = revision.space_position(zone.id, space);
        found.inspect(|position| hint.set(*position)).is_some()
    }
}

/// The hints of a partition's devices.
#[derive(Clone, Debug, Default)]
pub struct HintBook(HashMap<Uuid, Hints, FixedState>);

impl HintBook {
    /// Those of a device that spoke before.
    pub fn get(&self, device: Uuid) -> Option<Hints> {
        self.0.get(&device).copied()
    }

    /// Keeps those of a device.
    pub fn keep(&mut self, device: Uuid, hints: Hints) {
        self.0.insert(device, hints);
    }
}
