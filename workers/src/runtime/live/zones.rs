//! Rows of zones.
//!
//! Invariant: a count that goes stale with time alone changes its row as a record would.

use std::collections::{BTreeMap, BTreeSet};

use parking_crds::event::Millis;
use uuid::Uuid;

use super::{Changed, LiveRow, json};
use crate::{domain::track::Tracker, ports::state_store::BlockKey, rows::ZoneDetail};

/// See the module.
#[derive(Debug, Default)]
pub struct LiveZones {
    noted: Option<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    changed: Changed<()>,
    /// When rows that were taken go stale, and of which zones they are.
    stale: BTreeSet<(Millis, Uuid)>,
    stale_at: BTreeMap<Uuid, Millis>,
}

impl LiveZones {
    /// Begins to note changes; every zone of which something was heard counts as changed.
    pub fn note(&mut self, tracker: &Tracker) {
        let mut noted = Noted::default();
        for (zone, _) in tracker.zones() {
            noted.changed.insert(zone, ());
        }
        self.noted = Some(noted);
    }

    /// Zones whose blocks were written anew.
    pub fn committed(&mut self, blocks: impl Iterator<Item = BlockKey>) {
        let Some(noted) = &mut self.noted else { return };
        for key in blocks.filter(|key| key.class == Tracker::CLASS) {
            noted.changed.insert(Uuid::from_u128(key.id), ());
        }
    }

    /// Whether some row changed by `watermark`.
    pub fn has_changed(&self, watermark: Option<Millis>) -> bool {
        self.noted.as_ref().is_some_and(|noted| {
            let next = noted.stale.first();
            !noted.changed.is_empty() || next.is_some_and(|(stale, _)| watermark >= Some(*stale))
        })
    }

    /// Takes the next row that changed by `watermark`.
    pub fn take_next(&mut self, tracker: &Tracker, watermark: Option<Millis>) -> Option<LiveRow> {
        let noted = self.noted.as_mut()?;
        while let Some((_, zone)) =
            noted.stale.first().copied().filter(|(stale, _)| watermark >= Some(*stale))
        {
            noted.goes_stale(zone, None);
            noted.changed.insert(zone, ());
        }
        let (id, ()) = noted.changed.take_next()?;
        let zone = tracker.inventory().latest().zone(id);
        noted.goes_stale(
            id,
            tracker.view(id, watermark.unwrap_or(Millis::MIN)).and_then(|view| view.stale_at),
        );
        Some((id, zone.and_then(|zone| ZoneDetail::of(zone, tracker, watermark)).and_then(|row| json(&row))))
    }
}

impl Noted {
    fn goes_stale(&mut self, zone: Uuid, at: Option<Millis>) {
        let before = match at {
            Some(at) => self.stale_at.insert(zone, at),
            None => self.stale_at.remove(&zone),
        };
        if let Some(before) = before {
            self.stale.remove(&(before, zone));
        }
        self.stale.extend(at.map(|at| (at, zone)));
    }
}
