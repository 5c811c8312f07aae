//! The verdict on every record of a partition, from sets that forget nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_crds::{
    event::{DeadLetterReason, Millis},
    inventory::Inventory,
};
use parking_workers::domain::verdict::EventLimits;
use uuid::Uuid;

use super::read::{Fact, read};

const DAY: Millis = 86_400_000;
const WINDOW: u64 = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted { late: bool },
    Duplicate,
    Dead(DeadLetterReason),
    Tick,
    InputEnded,
}

/// A record with its verdict.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// `None` where the bytes are no record.
    pub(crate) fact: Option<Fact>,
    pub(crate) verdict: Verdict,
    /// After the record.
    pub(crate) watermark: Option<Millis>,
}

impl Judged {
    /// The record, if it was accepted, and whether it was late.
    pub(crate) fn accepted(&self) -> Option<(&Fact, bool)> {
        match self.verdict {
            Verdict::Accepted { late } => Some((self.fact.as_ref()?, late)),
            _ => None,
        }
    }
}

/// All that was ever seen of a partition.
#[derive(Default)]
struct Seen {
    numbers: BTreeMap<(Uuid, Uuid, Option<String>), BTreeSet<u64>>,
    /// Ids with the log time of their acceptance, in order.
    ids: Vec<(Uuid, Millis)>,
    newest: Option<Millis>,
    published: Option<Millis>,
}

pub(crate) fn judge(records: &[Bytes], inventory: &Inventory, limits: EventLimits) -> Vec<Judged> {
    let mut seen = Seen::default();
    let lateness = limits.allowed_lateness.millis();
    let mut judged = Vec::with_capacity(records.len());
    for (offset, bytes) in (0..).zip(records) {
        let (fact, verdict) = match read(bytes) {
            Ok(fact) => {
                let verdict = seen.decide(&fact, inventory, limits);
                (Some(fact), verdict)
            }
            Err(reason) => (None, Verdict::Dead(reason)),
        };
        let watermark = seen.newest.map(|newest| newest - lateness);
        judged.push(Judged { offset, bytes: bytes.clone(), fact, verdict, watermark });
    }
    judged
}

impl Seen {
    fn decide(&mut self, fact: &Fact, inventory: &Inventory, limits: EventLimits) -> Verdict {
        match fact.kind.as_str() {
            "tick" => {
                self.pass_time(fact);
                return Verdict::Tick;
            }
            "input.ended" => return Verdict::InputEnded,
            _ => {}
        }
        if let Some(reason) = implausible(fact, inventory, limits) {
            return Verdict::Dead(reason);
        }
        // The memory of ids reaches a day back from the newest id in it.
        let newest_id = self.ids.last().map_or(Millis::MIN, |(_, at)| *at);
        let (kept, forgotten): (Vec<_>, Vec<_>) = self.ids.iter().partition(|(_, at)| newest_id - at <= DAY);
        let remembered = kept.iter().any(|(id, _)| *id == fact.id);
        let reaches_back = !forgotten.iter().any(|(_, at)| *at >= fact.published);
        if let Some(seq) = fact.seq {
            let key = (fact.zone.unwrap_or_default(), fact.device, fact.boot.clone());
            let numbers = self.numbers.entry(key).or_default();
            let below = numbers.last().is_some_and(|highest| seq + WINDOW <= *highest);
            if below && !remembered && !reaches_back {
                return Verdict::Dead(DeadLetterReason::UndecidableAge);
            }
            // Of a device that names no boot, a number comes again after each of its starts.
            let unsure = below || (fact.boot.is_none() && reaches_back);
            let seen = below || !numbers.insert(seq);
            if seen && (remembered || !unsure) {
                return Verdict::Duplicate;
            }
        } else if remembered {
            return Verdict::Duplicate;
        }
        let late = self.newest.is_some_and(|newest| fact.time < newest - limits.allowed_lateness.millis());
        self.pass_time(fact);
        self.ids.push((fact.id, self.published.unwrap()));
        Verdict::Accepted { late }
    }

    fn pass_time(&mut self, fact: &Fact) {
        self.newest = self.newest.max(Some(fact.time.min(fact.published)));
        self.published = self.published.max(Some(fact.published));
    }
}

fn implausible(fact: &Fact, inventory: &Inventory, limits: EventLimits) -> Option<DeadLetterReason> {
    let Some(zone) = inventory.latest().zones().iter().find(|zone| Some(zone.id) == fact.zone) else {
        return Some(DeadLetterReason::UnknownZone);
    };
    let spaces: Vec<Uuid> = zone.spaces.iter().map(|space| space.id).collect();
    let age = fact.published - fact.time;
    if !spaces.is_empty() && fact.space.is_some_and(|space| !spaces.contains(&space)) {
        Some(DeadLetterReason::UnknownSpace)
    } else if fact.counted.is_some_and(|counted| counted < 0) {
        Some(DeadLetterReason::NegativeCount)
    } else if !fact.replayed && age > limits.max_age.millis() {
        Some(DeadLetterReason::TooOld)
    } else if -age > limits.max_ahead.millis() {
        Some(DeadLetterReason::TooFarAhead)
    } else {
        None
    }
}
