//! The oracle: what a log must come to, found in another way than the stages find it.
//!
//! Must share no code with them: other parser, whole partitions instead of records, sorting instead of
//! windows, every zone by itself from first to last record. It knows the bench's ten rules by heart.
//! Limits: zones with watched spaces, one revision of the inventory, no replayed records.

mod facts;
mod life;
mod zone;

use std::collections::BTreeMap;

use parking_crds::inventory::Inventory;
use uuid::Uuid;

pub(super) use life::Alert;
pub(super) use zone::View;

use facts::{Boots, Fact, Places, read};
use zone::Zone;

const LATENESS: i64 = 30_000;

/// What a log comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
    pub(super) dead_letters: BTreeMap<String, u64>,
    pub(super) sessions: u64,
    /// Zones that were heard of.
    pub(super) zones: BTreeMap<Uuid, View>,
    /// Sorted.
    pub(super) alerts: Vec<Alert>,
}

impl Answer {
    /// Adds the answer of another partition.
    pub(super) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.sessions += other.sessions;
        for (reason, count) in other.dead_letters {
            *self.dead_letters.entry(reason).or_default() += count;
        }
        self.zones.extend(other.zones);
        self.alerts.extend(other.alerts);
        self.alerts.sort_unstable();
    }

    /// The first difference, for people; `expected` is the oracle's.
    pub(super) fn difference(&self, expected: &Self) -> Option<String> {
        let counts = [
            ("accepted", self.accepted, expected.accepted),
            ("duplicates", self.duplicates, expected.duplicates),
            ("late", self.late, expected.late),
            ("sessions", self.sessions, expected.sessions),
        ];
        if let Some((name, found, expected)) = counts.iter().find(|(_, found, expected)| found != expected) {
            return Some(format!("{name}: {found}, the oracle has {expected}"));
        }
        if self.dead_letters != expected.dead_letters {
            return Some(format!(
                "dead letters: {:?}, the oracle has {:?}",
                self.dead_letters, expected.dead_letters
            ));
        }
        if let Some((zone, view)) =
            expected.zones.iter().find(|(zone, view)| self.zones.get(*zone) != Some(*view))
        {
            return Some(format!("zone {zone}: {:?}, the oracle has {view:?}", self.zones.get(zone)));
        }
        if self.zones.len() != expected.zones.len() {
            return Some(format!("{} zones, the oracle has {}", self.zones.len(), expected.zones.len()));
        }
        let pairs = self.alerts.iter().zip(&expected.alerts);
        let alert = pairs.clone().find(|(found, expected)| found != expected);
        if let Some((found, expected)) = alert {
            return Some(format!("alert {found:?}, the oracle has {expected:?}"));
        }
        (self.alerts.len() != expected.alerts.len())
            .then(|| format!("{} alerts, the oracle has {}", self.alerts.len(), expected.alerts.len()))
    }
}

/// Reads the log of one partition.
pub(super) struct Oracle {
    places: Places,
    boots: Boots,
    facts: Vec<Fact>,
    answer: Answer,
}

impl Oracle {
    pub(super) fn new(inventory: &Inventory) -> Self {
        let answer = Answer::default();
        Self { places: Places::new(inventory), boots: Boots::default(), facts: Vec::new(), answer }
    }

    /// Takes the next record.
    pub(super) fn read(&mut self, record: &[u8]) {
        match read(record, &self.places, &mut self.boots) {
            Ok(fact) => self.facts.push(fact),
            Err(reason) => *self.answer.dead_letters.entry(reason.to_owned()).or_default() += 1,
        }
    }

    /// What the partition comes to.
    pub(super) fn finish(mut self) -> Answer {
        self.drop_duplicates();
        let (late, marks) = self.tell_time();
        self.answer.late = late.iter().map(|late| u64::from(*late)).sum();
        let last_mark = marks.last().copied().unwrap_or(i64::MIN);
        let mut by_zone: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (position, fact) in self.facts.iter().enumerate() {
            by_zone.entry(fact.zone).or_default().push(position);
        }
        for (number, place) in (0..).zip(&self.places.all) {
            let Some(positions) = by_zone.get(&number) else { continue };
            let mut zone = Zone::new(place, &self.boots);
            for &position in positions {
                if let (Some(fact), Some(&late), Some(&mark)) =
                    (self.facts.get(position), late.get(position), marks.get(position))
                {
                    zone.apply(fact, late, mark);
                }
            }
            let outcome = zone.finish(last_mark);
            self.answer.sessions += outcome.sessions;
            if outcome.heard_of {
                self.answer.zones.insert(place.id, outcome.view);
            }
            self.answer.alerts.extend(outcome.alerts.0);
        }
        self.answer.alerts.sort_unstable();
        self.answer
    }

    /// Of records that say the same of themselves the first stays.
    fn drop_duplicates(&mut self) {
        let key = |fact: &Fact| match fact.seq {
            Some(seq) => (fact.device_id, fact.boot, seq),
            None => (fact.id, u32::MAX, 0),
        };
        let mut order: Vec<_> =
            self.facts.iter().enumerate().map(|(position, fact)| (key(fact), position)).collect();
        order.sort_unstable();
        let mut repeated = vec![false; self.facts.len()];
        for (one, next) in order.iter().zip(order.iter().skip(1)) {
            if one.0 == next.0
                && let Some(mark) = repeated.get_mut(next.1)
            {
                *mark = true;
            }
        }
        let before = self.facts.len();
        let mut repeated = repeated.into_iter();
        self.facts.retain(|_| !repeated.next().unwrap_or(false));
        self.answer.accepted = self.facts.len() as u64;
        self.answer.duplicates = (before - self.facts.len()) as u64;
    }

    /// For each record whether it was late, and the watermark with it.
    fn tell_time(&self) -> (Vec<bool>, Vec<i64>) {
        let mut newest = None;
        self.facts
            .iter()
            .map(|fact| {
                let late = newest.is_some_and(|newest| fact.time < newest - LATENESS);
                newest = newest.max(Some(fact.time.min(fact.published)));
                (late, newest.unwrap_or(fact.time) - LATENESS)
            })
            .unzip()
    }
}

#[cfg(test)]
mod tests;
