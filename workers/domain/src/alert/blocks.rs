//! The engine's state as blocks, one per zone, and what happens when rules change between two records.
//!
//! Invariants: blocks name rules by id and hash, never by index; timers, and instances that do no more
//! than watch, are made anew from what the blocks say; an alert whose rule changed or is gone resolves
//! once, with the next record.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::event::Millis;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AlertState, RuleSet, TimerKey, TimerKind,
    drive::Step,
    instance::{Emit, Input, Pace, State},
    record::{AlertStatus, ResolvedReason},
    stale_key,
    stay::armed_for,
    zone::{Instance, InstanceId, Stay, WatchedDevice, ZoneMemory},
};
use crate::{block_key::BlockKey, id_map::IdMap, observation::ZoneView, verdict::encode_again};

/// A stored block cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the alert block {:032x} cannot be read", .key.id)]
pub struct RestoreError {
    key: BlockKey,
    source: postcard::Error,
}

#[derive(Deserialize)]
struct StoredZone {
    now: Millis,
    view: ZoneView,
    /// Id and hash of each rule that has instances here.
    rules: Vec<(String, String)>,
    /// With the number of their rule in the list above.
    instances: Vec<(u32, Uuid, Instance)>,
    stays: BTreeMap<Uuid, Stay>,
    devices: IdMap<WatchedDevice>,
}

/// [`StoredZone`] as it is written, from where it stands.
#[derive(Serialize)]
struct ZoneToStore<'a> {
    now: Millis,
    view: ZoneView,
    rules: Vec<(&'a str, &'a str)>,
    instances: Vec<(u32, Uuid, &'a Instance)>,
    stays: &'a BTreeMap<Uuid, Stay>,
    devices: &'a IdMap<WatchedDevice>,
}

/// What the next record has to do because rules changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Changeover {
    replaced: Vec<Replaced>,
    /// Zones whose blocks hold instances of rules that changed.
    zones: Vec<u32>,
    /// Blocks of zones that the inventory no longer has.
    gone: Vec<BlockKey>,
}

/// A raised instance whose rule changed.
#[derive(Clone, Debug)]
struct Replaced {
    zone: Option<u32>,
    rule: String,
    subject: Uuid,
    instance: Instance,
}

impl AlertState {
    /// Class of the blocks of zones.
    pub const ZONE_CLASS: u8 = 16;
    /// Class of the one block of the rules themselves.
    pub const RULES_CLASS: u8 = 17;

    /// Blocks that changed since the last call.
    pub fn dirty_blocks(&mut self) -> impl Iterator<Item = (BlockKey, Option<Bytes>)> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut blocks: Vec<_> = std::mem::take(&mut self.gone).into_iter().map(|key| (key, None)).collect();
        for zone in dirty {
            let block = self.block(zone);
            if let Some(memory) = self.zones.get_mut(zone as usize) {
                memory.dirty = false;
                memory.bytes = block.as_ref().map_or(0, |(_, block)| block.len());
            }
            blocks.extend(block.map(|(key, block)| (key, Some(block))));
        }
        blocks.into_iter()
    }

    /// Takes stored blocks back; those of other classes are left alone. Call it once, on a new engine.
    pub fn restore<'b>(
        &mut self,
        blocks: impl IntoIterator<Item = (BlockKey, &'b [u8])>,
    ) -> Result<(), RestoreError> {
        let mut changeover = Changeover::default();
        for (key, bytes) in blocks {
            let zone = match key.class {
                Self::ZONE_CLASS => self.by_id.get(&Uuid::from_u128(key.id)).copied(),
                Self::RULES_CLASS => Some(self.meta()),
                _ => continue,
            };
            let stored = postcard::from_bytes(bytes).map_err(|source| RestoreError { key, source })?;
            if zone.is_none() {
                changeover.gone.push(key);
            }
            self.take_back(zone, stored, &mut changeover);
        }
        changeover.replaced.sort_by(|a, b| (a.zone, &a.rule, a.subject).cmp(&(b.zone, &b.rule, b.subject)));
        self.changeover = Some(changeover).filter(|one| !one.is_empty());
        for zone in 0..=self.meta() {
            self.rearm(zone);
        }
        Ok(())
    }

    /// The same engine with other rules, from the next record on.
    pub fn with_rules(self, rules: Arc<RuleSet>) -> Result<Self, RestoreError> {
        let blocks: Vec<_> = (0..=self.meta()).filter_map(|zone| self.block(zone)).collect();
        let mut fresh = Self::new(rules, Arc::clone(&self.inventory), self.settings.clone());
        fresh.restore(blocks.iter().map(|(key, bytes)| (*key, bytes.as_ref())))?;
        for zone in self.dirty {
            fresh.mark(zone);
        }
        fresh.gone = self.gone;
        if let Some(earlier) = self.changeover {
            fresh.changeover.get_or_insert_default().append(earlier);
        }
        Ok(fresh)
    }

    /// Resolves what the change of rules left, as part of the first record after it.
    pub(super) fn change_over(&mut self, changeover: Changeover, step: &mut Step<'_>) {
        for zone in changeover.zones {
            self.mark(zone);
        }
        self.gone.extend(changeover.gone);
        for Replaced { zone, rule, subject, instance } in changeover.replaced {
            let input = Input::RuleChanged(step.watermark);
            let (after, Some(Emit::Resolved { ends_at, .. })) = instance.state.next(input, Pace::default())
            else {
                continue;
            };
            if let Some(mut record) = instance.record.filter(|_| !instance.muted) {
                record.state = AlertStatus::Resolved;
                record.reason = Some(ResolvedReason::RuleChanged);
                record.ends_at = Some(ends_at);
                record.generation += 1;
                step.emit(&mut record);
            }
            if let Some((zone, rule)) = zone.zip(self.rules.position(&rule)) {
                self.set_state(zone, InstanceId { rule, subject }, after, instance.cause, step.watermark);
            }
        }
    }

    fn block(&self, zone: u32) -> Option<(BlockKey, Bytes)> {
        let memory = self.zones.get(zone as usize)?;
        let key = match self.plans.get(zone as usize) {
            Some(plan) => BlockKey { class: Self::ZONE_CLASS, id: plan.id.as_u128() },
            None => BlockKey { class: Self::RULES_CLASS, id: 0 },
        };
        Some((key, encode_again(&self.to_store(memory), memory.bytes)))
    }

    fn to_store<'a>(&'a self, memory: &'a ZoneMemory) -> ZoneToStore<'a> {
        let (mut rules, mut last) = (Vec::new(), None);
        let mut instances = Vec::new();
        for (id, instance) in memory.instances.iter().filter(|(_, one)| !one.only_watches()) {
            if last != Some(id.rule) {
                rules.extend(self.rules.get(id.rule).map(|rule| (rule.id.as_str(), rule.hash.as_str())));
                last = Some(id.rule);
            }
            let number = u32::try_from(rules.len().saturating_sub(1)).unwrap_or(u32::MAX);
            instances.push((number, id.subject, instance));
        }
        ZoneToStore {
            now: memory.now,
            view: memory.view,
            rules,
            instances,
            stays: &memory.stays,
            devices: &memory.devices,
        }
    }

    fn take_back(&mut self, zone: Option<u32>, stored: StoredZone, changeover: &mut Changeover) {
        let mut kept = BTreeMap::new();
        for (number, subject, instance) in stored.instances {
            let Some((rule, hash)) = stored.rules.get(number as usize) else { continue };
            let now = self.rules.indexed().find(|(_, one)| one.id == *rule);
            if let (Some(_), Some((index, _))) = (zone, now.filter(|(_, one)| one.hash == *hash)) {
                kept.insert(InstanceId { rule: index, subject }, instance);
                continue;
            }
            changeover.zones.extend(zone);
            if instance.state.is_raised() {
                changeover.replaced.push(Replaced { zone, rule: rule.clone(), subject, instance });
            } else if let (State::Resolved { .. }, Some(_), Some((index, _))) = (instance.state, zone, now) {
                let remembered = Instance { state: instance.state, ..Instance::default() };
                kept.insert(InstanceId { rule: index, subject }, remembered);
            }
        }
        if let Some(memory) = zone.and_then(|zone| self.zones.get_mut(zone as usize)) {
            memory.now = stored.now;
            memory.view = stored.view;
            memory.instances = kept;
            memory.stays = stored.stays;
            memory.devices = stored.devices;
        }
    }

    /// Arms the timers of a zone and finds again what is not stored.
    fn rearm(&mut self, zone: u32) {
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let stays: Vec<_> = memory.stays.iter().map(|(id, stay)| (*id, *stay)).collect();
        let devices: Vec<_> = memory.devices.ids().collect();
        if let Some(plan) = self.plans.get(zone as usize) {
            let (dwells, absences) = (Arc::clone(&plan.dwells), Arc::clone(&plan.absences));
            for (subject, stay) in stays {
                for &rule in dwells.iter() {
                    self.watch_stay(zone, InstanceId { rule, subject }, &stay);
                }
            }
            for subject in devices {
                for &rule in absences.iter() {
                    self.rewatch(zone, InstanceId { rule, subject });
                }
            }
        }
        self.rearm_instances(zone);
    }

    fn rearm_instances(&mut self, zone: u32) {
        if let (Some(plan), Some(memory)) = (self.plans.get(zone as usize), self.zones.get_mut(zone as usize))
        {
            memory.thresholds.clear();
            let states: Vec<_> = memory.instances.iter().map(|(id, one)| (*id, one.state)).collect();
            for (id, state) in states {
                memory.follow(plan, id, state);
            }
        }
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let mut unsettled = false;
        for (&id, instance) in &memory.instances {
            let lifecycle = instance.state.deadline();
            let stay = memory.stays.get(&id.subject);
            let watch =
                stay.and_then(|stay| armed_for(instance.watch, stay, self.allowance(zone, id.rule, stay)));
            for (kind, deadline) in [(TimerKind::Lifecycle, lifecycle), (TimerKind::Watch, watch)] {
                if let Some(deadline) = deadline {
                    self.timers.arm(deadline, TimerKey { zone, id, kind });
                }
            }
            if zone != u32::try_from(self.plans.len()).unwrap_or(u32::MAX) {
                self.census.found(id.rule, instance.state);
            }
            unsettled |= self.is_unsettled(zone, id);
        }
        let stale_at = memory.view.stale_at;
        if self.plans.get(zone as usize).is_some_and(|plan| plan.watches_staleness) {
            self.timers.rearm(stale_key(zone), None, stale_at);
        }
        if unsettled {
            self.unsettle(zone);
        }
    }
}

impl Changeover {
    fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.zones.is_empty() && self.gone.is_empty()
    }

    fn append(&mut self, mut earlier: Self) {
        self.replaced.append(&mut earlier.replaced);
        self.zones.append(&mut earlier.zones);
        self.gone.append(&mut earlier.gone);
    }
}
