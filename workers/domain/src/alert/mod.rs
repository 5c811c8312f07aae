//! The alert engine of one partition: observations in, alert records out.
//!
//! Must not do I/O or read clocks: time is the watermark and the event time of the observation.
//!
//! Order within one record: alerts of changed rules resolve; timers that the watermark reached fire,
//! by (deadline, zone, rule, subject); then the record is applied. Invariants:
//! - A late record changes what the engine knows (stays, devices, the view) and raises or resolves
//!   nothing; the next record on time and timers see what it changed.
//! - The end of the input does nothing at all.
//! - A restored engine goes on as if it had never stopped.
//! - A record that changes no instance allocates nothing.

mod blocks;
mod census;
mod condition;
mod device;
mod drive;
mod id;
mod instance;
mod record;
mod rule;
mod stay;
mod timer;
mod wake;
mod zone;

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_crds::{
    alert_rule::NoData,
    event::Millis,
    inventory::{self, Inventory},
};
use uuid::Uuid;

pub use blocks::RestoreError;
pub use census::{InstanceCounts, RuleStanding};
pub use record::{AlertRecord, AlertStatus, Origin, RecordType, ResolvedReason};
pub use rule::{Rule, RuleError, RuleSet, bare_name};

use self::{
    blocks::Changeover,
    census::Census,
    condition::{Condition, Truth},
    drive::Step,
    instance::{Input, Meaning},
    timer::Timers,
    zone::{InstanceId, Stay, ZoneMemory, ZonePlan},
};
use super::{
    hints::{Hint, Hints},
    observation::{Observed, SessionChange, Subject, ZoneFact},
};
use crate::block_key::BlockKey;

/// What the engine needs to know of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Part of every fingerprint.
    pub tenant: String,
    /// The partition of the input, and of the output.
    pub partition: u32,
}

/// Which timer of an instance. The order decides between timers of one instance and deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum TimerKind {
    Lifecycle,
    Watch,
    Sweep,
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct TimerKey {
    zone: u32,
    id: InstanceId,
    kind: TimerKind,
}

/// The engine of one partition.
#[derive(Clone, Debug)]
pub struct AlertState {
    rules: Arc<RuleSet>,
    inventory: Arc<Inventory>,
    settings: Settings,
    plans: Vec<ZonePlan>,
    /// As `plans`, and one more for the rules themselves.
    zones: Vec<ZoneMemory>,
    by_id: HashMap<Uuid, u32, FixedState>,
    timers: Timers<TimerKey>,
    census: Census,
    /// What the next record must do because rules changed.
    changeover: Option<Changeover>,
    /// Zones whose blocks changed.
    dirty: Vec<u32>,
    /// Blocks to remove.
    gone: Vec<BlockKey>,
}

impl AlertState {
    /// An engine that has seen nothing.
    pub fn new(rules: Arc<RuleSet>, inventory: Arc<Inventory>, settings: Settings) -> Self {
        let plans = ZonePlan::all(&inventory, &rules);
        let by_id = plans.iter().zip(0_u32..).map(|(plan, index)| (plan.id, index)).collect();
        let zones = vec![ZoneMemory::default(); plans.len() + 1];
        let census = Census::new(rules.rules().len());
        Self {
            rules,
            inventory,
            settings,
            plans,
            zones,
            by_id,
            timers: Timers::default(),
            census,
            changeover: None,
            dirty: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// The rules that judge.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Judges one accepted record; what must be told is appended to `out`. The hints are those of its
    /// device.
    pub fn step(&mut self, input: &Observed<'_>, hints: &mut Hints, out: &mut Vec<AlertRecord>) {
        if matches!(input.subject, Subject::InputEnded) {
            return;
        }
        let mut step = Step::new(input, self.settings.partition, out);
        if let Some(changeover) = self.changeover.take() {
            self.change_over(changeover, &mut step);
        }
        while let Some((deadline, key)) = self.timers.take_due(input.watermark) {
            self.fire(key, deadline, &mut step);
        }
        if let Subject::Zone(fact) = &input.subject
            && let Some(zone) = self.zone_of(fact.zone, &mut hints.alert.0)
        {
            self.apply(zone, fact, &mut hints.alert.1, &mut step);
        }
    }

    /// The newest record of every alert that was told and is not over.
    pub fn raised(&self) -> impl Iterator<Item = &AlertRecord> {
        let instances = self.zones.iter().flat_map(|memory| memory.instances.values());
        instances.filter(|instance| !instance.muted).filter_map(|instance| instance.record.as_deref())
    }

    /// Every revision of the zones.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// How the rules stand that changed since the last call, by their names; at first all of them.
    pub fn take_changed_rules(&mut self) -> Vec<(String, RuleStanding)> {
        let rules = &self.rules;
        let named = self.census.take_changed().into_iter().filter_map(|(number, standing)| {
            let rule = rules.get(number)?;
            let is_saturated = standing.counts.raised() >= rule.max_active;
            Some((bare_name(rule.id()).to_owned(), RuleStanding { is_saturated, ..standing }))
        });
        named.collect()
    }

    /// Looks at what a step for this device will touch, so that memory brings it; the answer means nothing.
    pub fn look_ahead(&self, device: Uuid, hints: &Hints) -> u64 {
        let memory = self.zones.get(hints.alert.0.index());
        memory
            .and_then(|memory| memory.devices.peek(device, hints.alert.1))
            .map_or(0, |one| one.heard.cast_unsigned())
    }

    fn zone_of(&self, id: Uuid, hint: &mut Hint) -> Option<u32> {
        if self.plans.get(hint.index()).is_none_or(|plan| plan.id != id) {
            hint.set(*self.by_id.get(&id)? as usize);
        }
        u32::try_from(hint.index()).ok()
    }

    fn apply(&mut self, zone: u32, fact: &ZoneFact<'_>, hint: &mut Hint, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        if !step.late {
            memory.now = memory.now.max(step.event_time);
        }
        let (now, stale_before) = (memory.now, memory.view.stale_at);
        memory.view = fact.view;
        let enrolled = std::mem::replace(&mut memory.enrolled, true);
        if !enrolled {
            self.enroll(zone, step);
        }
        if self.plans.get(zone as usize).is_some_and(|plan| plan.watches_staleness) {
            self.timers.rearm(stale_key(zone), stale_before, fact.view.stale_at);
        }
        self.mark(zone);
        for change in fact.sessions {
            match *change {
                SessionChange::Started { session, space, device, start } => {
                    let stay = Stay { start, space, device, cause: step.cause() };
                    self.begin_stay(zone, session, stay);
                }
                SessionChange::Ended { session } => self.end_stay(zone, session, step),
            }
        }
        if let Some(signal) = fact.device {
            self.hear(zone, signal, hint, step);
        }
        if step.late {
            return;
        }
        self.judge_view(zone, now, step);
        if self.zones.get(zone as usize).is_some_and(|memory| memory.unsettled) {
            self.settle(zone, now, step);
        }
    }

    /// Judges every threshold on the zone's view. Most do not move, and cost no more than their reading.
    fn judge_view(&mut self, zone: u32, now: Millis, step: &mut Step<'_>) {
        for slot in 0.. {
            let Some((index, input)) = self.next_move(zone, slot, now) else { return };
            if let Some(input) = input {
                self.drive(zone, InstanceId { rule: index, subject: Uuid::nil() }, input, step);
            }
        }
    }

    /// The rule of a threshold of the zone's plan, and what its instance must be told where that moves it.
    fn next_move(&self, zone: u32, slot: usize, now: Millis) -> Option<(u32, Option<Input>)> {
        let (plan, memory) = (self.plans.get(zone as usize)?, self.zones.get(zone as usize)?);
        let index = *plan.thresholds.get(slot)?;
        let rule = self.rules.get(index)?;
        let Condition::Threshold(threshold) = &rule.condition else { return Some((index, None)) };
        let state = memory.threshold(slot);
        let truth = if rule.applies_at(now, &plan.time_zone) {
            threshold.judge(memory.view, state.is_latched())
        } else {
            Truth::False
        };
        let input = match (truth, rule.no_data) {
            (Truth::True, _) => Input::True(now),
            (Truth::False, _) | (Truth::Unknown, NoData::Ok) => Input::False(now),
            (Truth::Unknown, NoData::KeepState) => Input::Unknown { at: now, means: Meaning::Keep },
            (Truth::Unknown, NoData::Alerting) => Input::Unknown { at: now, means: Meaning::Alert },
        };
        Some((index, (state.next(input, rule.pace) != (state, None)).then_some(input)))
    }

    /// The zone as the inventory had it at a time, else as it has it now.
    fn place(&self, zone: Uuid, time: Millis) -> Option<&inventory::Zone> {
        let mut newest_first = self.inventory.revisions().iter().rev();
        self.inventory.at(time).zone(zone).or_else(|| newest_first.find_map(|one| one.zone(zone)))
    }
}

fn watch_key(zone: u32, id: InstanceId) -> TimerKey {
    TimerKey { zone, id, kind: TimerKind::Watch }
}

fn sweep_key(zone: u32, rule: u32) -> TimerKey {
    TimerKey { zone, id: InstanceId { rule, subject: Uuid::nil() }, kind: TimerKind::Sweep }
}

fn stale_key(zone: u32) -> TimerKey {
    TimerKey { zone, id: InstanceId { rule: u32::MAX, subject: Uuid::nil() }, kind: TimerKind::Stale }
}

#[cfg(test)]
mod tests;
