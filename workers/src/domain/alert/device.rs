//! Devices of the inventory, and the absence rules that watch them.
//!
//! Invariant: a device that some rule watches, that is in service and not known to be silent, has a
//! timer that is armed for the end of the patience with it, or earlier: hearing a device moves no
//! timer, the timer asks when it comes due.

use std::sync::Arc;

use parking_crds::{
    event::{Millis, SourceType},
    inventory,
};

use super::{
    AlertState,
    condition::Condition,
    drive::Step,
    instance::Input,
    watch_key,
    zone::{InstanceId, Watch, WatchedDevice},
};
use crate::domain::{
    hints::Hint,
    observation::{DeviceSignal, DeviceState},
};

impl AlertState {
    /// Begins to watch the zone's devices, silent from its first record on.
    pub(super) fn enroll(&mut self, zone: u32, step: &Step<'_>) {
        let Some(plan) = self.plans.get(zone as usize) else { return };
        let Some(place) = self.place(plan.id, Millis::MAX) else { return };
        let watched = |device: &&inventory::Device| {
            plan.absences.iter().any(|&rule| self.watches(rule, device.source_type))
        };
        let devices: Vec<_> =
            place.devices.iter().filter(watched).map(|one| (one.id, one.source_type)).collect();
        let absences = Arc::clone(&plan.absences);
        for (subject, source_type) in devices {
            let fresh = WatchedDevice {
                source_type,
                heard: step.event_time,
                retired: None,
                cause: step.cause(),
                is_watched: false,
            };
            if let Some(memory) = self.zones.get_mut(zone as usize) {
                memory.devices.get_or_insert_with(subject, &mut Hint::default(), || fresh);
            }
            for &rule in absences.iter() {
                self.rewatch(zone, InstanceId { rule, subject });
            }
        }
    }

    pub(super) fn watches(&self, rule: u32, source_type: SourceType) -> bool {
        let condition = self.rules.get(rule).map(|rule| &rule.condition);
        matches!(condition, Some(Condition::Absence(absence)) if absence.watches(source_type))
    }

    pub(super) fn hear(&mut self, zone: u32, signal: DeviceSignal, hint: &mut Hint, step: &mut Step<'_>) {
        let Some(plan) = self.plans.get(zone as usize).filter(|plan| !plan.absences.is_empty()) else {
            return;
        };
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let Some(device) = memory.devices.get_mut_by(signal.id, hint) else { return };
        match signal.state {
            DeviceState::Lost => return,
            DeviceState::Decommissioned => device.retired = device.retired.max(Some(step.event_time)),
            DeviceState::Alive => {
                device.heard = device.heard.max(step.event_time);
                device.cause = step.cause();
            }
        }
        if device.is_watched && signal.state == DeviceState::Alive {
            return;
        }
        let (source_type, in_service) = (device.source_type, device.heard_in_service().is_some());
        let absences = Arc::clone(&plan.absences);
        let mut is_watched = true;
        for &rule in absences.iter() {
            if self.watches(rule, source_type) {
                let id = InstanceId { rule, subject: signal.id };
                if !in_service {
                    self.set_watch(zone, id, Watch::Off);
                }
                self.reconsider(zone, id, step);
                is_watched &= self.watch(zone, id) == Watch::Silence;
            }
        }
        let memory = self.zones.get_mut(zone as usize);
        if let Some(device) = memory.and_then(|memory| memory.devices.get_mut(signal.id)) {
            device.is_watched = is_watched;
        }
    }

    fn watch(&self, zone: u32, id: InstanceId) -> Watch {
        let instance = self.zones.get(zone as usize).and_then(|memory| memory.instances.get(&id));
        instance.map_or(Watch::Off, |instance| instance.watch)
    }

    /// Ends the silence of a device that was heard or left service, and watches it anew.
    pub(super) fn reconsider(&mut self, zone: u32, id: InstanceId, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let now = memory.now;
        let (watch, state) = memory
            .instances
            .get(&id)
            .map_or_else(Default::default, |instance| (instance.watch, instance.state));
        if watch == Watch::Silence {
            return;
        }
        let deadline = self.silence_deadline(zone, id);
        if state.is_latched() {
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            if step.late {
                self.unsettle(zone);
                return;
            }
            self.drive(zone, id, Input::False(now), step);
        }
        self.rewatch(zone, id);
        self.forget(zone, id);
    }

    /// Watches a device for silence, unless it is watched or known to be silent.
    pub(super) fn rewatch(&mut self, zone: u32, id: InstanceId) {
        let Some(deadline) = self.silence_deadline(zone, id) else { return };
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let instance = memory.instances.entry(id).or_default();
        if instance.watch == Watch::Off && !instance.state.is_latched() {
            instance.watch = Watch::Silence;
            self.timers.arm(deadline, watch_key(zone, id));
        }
    }

    /// When the patience with a device ends; `None` while it may be silent.
    pub(super) fn silence_deadline(&self, zone: u32, id: InstanceId) -> Option<Millis> {
        let device = self.zones.get(zone as usize)?.devices.get(id.subject)?;
        let (heard, Condition::Absence(absence)) =
            (device.heard_in_service()?, &self.rules.get(id.rule)?.condition)
        else {
            return None;
        };
        if !absence.watches(device.source_type) {
            return None;
        }
        let place = self.place(self.plans.get(zone as usize)?.id, heard)?;
        Some(heard.saturating_add(absence.patience(place)))
    }
}
