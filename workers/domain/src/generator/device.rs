//! One sensor: its numbering, its clock and its flaws.

use parking_crds::event::Millis;
use uuid::Uuid;

use super::{
    chance::{Chance, millis},
    profile::Faults,
};

const HOUR: Millis = 3_600_000;

/// A sensor and the space that it watches.
pub(super) struct Device {
    pub(super) id: Uuid,
    pub(super) space: Uuid,
    /// What it told last: the stay that it sees and since when.
    pub(super) seen: Option<(Uuid, Millis)>,
    /// Tells a stay as several.
    pub(super) flapping: bool,
    /// Tells no changes.
    pub(super) stuck: bool,
    /// What it sends before this time is lost.
    pub(super) silent_until: Millis,
    skew: Millis,
    boot: u32,
    seq: u64,
}

/// The number of a record in its device's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) boot: u32,
    pub(super) seq: u64,
}

impl Device {
    pub(super) fn new(id: Uuid, space: Uuid, faults: &Faults, chance: &mut Chance) -> Self {
        let skew = faults.skew.millis();
        let drift = millis((chance.normal() * 1_000.0).abs()) * skew / 1_000;
        let sign = if chance.happens(0.5) { 1 } else { -1 };
        let wrong = if chance.happens(faults.wrong_hour) { HOUR } else { 0 };
        Self {
            id,
            space,
            seen: None,
            flapping: chance.happens(faults.flapping),
            stuck: chance.happens(faults.stuck),
            silent_until: Millis::MIN,
            skew: sign * (drift + wrong),
            boot: 1,
            seq: 0,
        }
    }

    /// Numbers the next record.
    pub(super) fn number(&mut self, faults: &Faults, chance: &mut Chance) -> Numbered {
        if chance.happens(faults.reboots) {
            self.boot += 1;
            self.seq = 0;
        }
        self.seq += 1;
        Numbered { boot: self.boot, seq: self.seq - 1 }
    }

    /// What its clock says.
    pub(super) fn clock(&self, now: Millis) -> Millis {
        now + self.skew
    }
}
