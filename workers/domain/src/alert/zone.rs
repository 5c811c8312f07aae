//! What the engine remembers of one zone, and which rules watch it.
//!
//! Must not decide anything. Invariants: every armed timer but those of dead keys follows from what
//! is stored here, see [`Instance`] and [`Watch`].

use std::{collections::BTreeMap, sync::Arc};

use jiff::tz::TimeZone;
use parking_crds::{
    event::{Millis, SourceType},
    inventory::{Inventory, Zone},
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{condition::Condition, instance::State, record::AlertRecord, rule::RuleSet};
use crate::{id_map::IdMap, observation::ZoneView};

/// One alert instance within a zone: a rule and what of the zone it is about (nil: the zone itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct InstanceId {
    pub(super) rule: u32,
    pub(super) subject: Uuid,
}

/// The events behind a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cause {
    pub(super) event: Option<Uuid>,
    pub(super) replayed: bool,
}

/// The timer of a condition, beside the timer of the lifecycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Watch {
    /// None is armed.
    #[default]
    Off,
    /// The end of the allowed stay.
    Limit,
    /// The end of a stay whose departure was missed.
    Close,
    /// None ever again: the departure was missed.
    Done,
}

/// The memory of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) state: State,
    pub(super) watch: Watch,
    pub(super) cause: Cause,
    /// Silenced by another rule: raised, but not told.
    pub(super) muted: bool,
    /// The newest record of the alert that is raised.
    pub(super) record: Option<Box<AlertRecord>>,
}

impl Instance {
    pub(super) fn is_forgettable(&self) -> bool {
        self.state == State::Inactive && self.watch == Watch::Off
    }

    /// Nothing is to be said of it but that its stay is watched, which is found again from it.
    pub(super) fn only_watches(&self) -> bool {
        self.state == State::Inactive && self.watch == Watch::Limit
    }
}

/// A stay that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stay {
    pub(super) start: Millis,
    pub(super) space: Option<Uuid>,
    pub(super) device: Uuid,
    pub(super) cause: Cause,
}

/// A device of the inventory that some rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WatchedDevice {
    /// As the inventory has it.
    pub(super) source_type: SourceType,
    /// When it was last heard.
    pub(super) heard: Millis,
    /// When it last left service; being heard later brings it back.
    pub(super) retired: Option<Millis>,
    pub(super) cause: Cause,
    /// It is in service and no rule holds it for silent: to hear it again changes nothing else.
    #[serde(skip)]
    pub(super) is_watched: bool,
}

impl WatchedDevice {
    /// When it was last heard; nothing while it is out of service.
    pub(super) fn heard_in_service(self) -> Option<Millis> {
        self.retired.is_none_or(|retired| retired < self.heard).then_some(self.heard)
    }
}

/// The memory of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ZoneMemory {
    /// Newest event time of its records that were not late: the zone's own clock.
    pub(super) now: Millis,
    pub(super) view: ZoneView,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    /// States of the instances of the plan's thresholds, in its order, as every record asks for them.
    /// Not stored: the instances are.
    pub(super) thresholds: SmallVec<[State; 4]>,
    pub(super) stays: BTreeMap<Uuid, Stay>,
    pub(super) devices: IdMap<WatchedDevice>,
    /// For when each absence of the plan looks at the devices next, in its order. Not stored.
    pub(super) sweeps: SmallVec<[Option<Millis>; 2]>,
    /// Devices of the inventory are in `devices`. Not stored: what it leads to is.
    pub(super) enrolled: bool,
    /// Some instance waits for the next record on time. Not stored: found again on restore.
    pub(super) unsettled: bool,
    pub(super) dirty: bool,
    /// Of its last block.
    pub(super) bytes: usize,
}

impl ZoneMemory {
    /// Where the threshold at this place of the plan stands.
    pub(super) fn threshold(&self, slot: usize) -> State {
        self.thresholds.get(slot).copied().unwrap_or_default()
    }

    /// Follows an instance that changed, should it be one of a threshold of the plan.
    pub(super) fn follow(&mut self, plan: &ZonePlan, id: InstanceId, state: State) {
        let Some(slot) = plan.thresholds.iter().position(|rule| *rule == id.rule) else { return };
        if self.thresholds.len() <= slot {
            self.thresholds.resize(slot + 1, State::Inactive);
        }
        if let Some(known) = self.thresholds.get_mut(slot) {
            *known = state;
        }
    }
}

/// Which rules watch a zone, by what they watch.
#[derive(Clone, Debug)]
pub(super) struct ZonePlan {
    pub(super) id: Uuid,
    pub(super) thresholds: Arc<[u32]>,
    pub(super) dwells: Arc<[u32]>,
    pub(super) absences: Arc<[u32]>,
    /// Some threshold needs to know when a count goes stale.
    pub(super) watches_staleness: bool,
    /// The zone's own.
    pub(super) time_zone: TimeZone,
}

impl ZonePlan {
    pub(super) fn new(zone: &Zone, time_zone: &str, rules: &RuleSet) -> Self {
        let (mut thresholds, mut dwells, mut absences) = (Vec::new(), Vec::new(), Vec::new());
        let mut watches_staleness = false;
        for (index, rule) in rules.indexed().filter(|(_, rule)| rule.selects(zone)) {
            let whole = rule.takes_class(&zone.class);
            match rule.condition {
                Condition::Threshold(_) if whole => {
                    thresholds.push(index);
                    watches_staleness |= rule.cares_for_staleness();
                }
                Condition::Absence(_) if whole => absences.push(index),
                Condition::Dwell(_)
                    if whole || zone.spaces.iter().any(|space| rule.takes_class(&space.class)) =>
                {
                    dwells.push(index);
                }
                Condition::Threshold(_) | Condition::Absence(_) | Condition::Dwell(_) => {}
            }
        }
        Self {
            id: zone.id,
            thresholds: thresholds.into(),
            dwells: dwells.into(),
            absences: absences.into(),
            watches_staleness,
            time_zone: TimeZone::get(time_zone).unwrap_or(TimeZone::UTC),
        }
    }

    /// One plan for each zone that any revision has, in the order of ids; selectors read the newest.
    pub(super) fn all(inventory: &Inventory, rules: &RuleSet) -> Vec<Self> {
        let mut newest = BTreeMap::new();
        for revision in inventory.revisions() {
            for zone in revision.zones() {
                newest.insert(zone.id, Self::new(zone, revision.time_zone(zone), rules));
            }
        }
        newest.into_values().collect()
    }
}
