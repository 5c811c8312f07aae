//! Devices of the inventory, and the absence rules that watch them.
//!
//! Invariant: while a zone has a device that some rule watches, that is in service and not held for
//! silent, the rule has a timer for the end of the patience with it, or earlier: hearing a device moves
//! no timer, the timer looks at all devices of the zone when it comes due.

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
    sweep_key,
    zone::{Cause, InstanceId, WatchedDevice},
};
use crate::{
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
        let mut is_watched = in_service;
        for &rule in absences.iter() {
            if self.watches(rule, source_type) {
                let id = InstanceId { rule, subject: signal.id };
                self.reconsider(zone, id, step);
                is_watched &= !self.is_latched(zone, id);
            }
        }
        let memory = self.zones.get_mut(zone as usize);
        if let Some(device) = memory.and_then(|memory| memory.devices.get_mut(signal.id)) {
            device.is_watched = is_watched;
        }
    }

    fn is_latched(&self, zone: u32, id: InstanceId) -> bool {
        let instance = self.zones.get(zone as usize).and_then(|memory| memory.instances.get(&id));
        instance.is_some_and(|instance| instance.state.is_latched())
    }

    /// Ends the silence of a device that was heard or left service, and watches it anew.
    fn reconsider(&mut self, zone: u32, id: InstanceId, step: &mut Step<'_>) {
        if self.is_latched(zone, id) {
            let now = self.zones.get(zone as usize).map_or(Millis::MIN, |memory| memory.now);
            if self.silence_deadline(zone, id).is_some_and(|deadline| deadline <= now) {
                return;
            }
            if step.late {
                self.unsettle(zone);
                return;
            }
            self.drive(zone, id, Input::False(now), step);
        }
        self.rewatch(zone, id);
    }

    /// Sees to it that the device is looked at when the patience with it ends.
    pub(super) fn rewatch(&mut self, zone: u32, id: InstanceId) {
        let Some(deadline) = self.silence_deadline(zone, id) else { return };
        if !self.is_latched(zone, id) {
            self.look_by(zone, id.rule, deadline);
        }
    }

    /// When a rule looks at a zone's devices next.
    fn next_look(&mut self, zone: u32, rule: u32) -> Option<&mut Option<Millis>> {
        let slot = self.plans.get(zone as usize)?.absences.iter().position(|one| *one == rule)?;
        let sweeps = &mut self.zones.get_mut(zone as usize)?.sweeps;
        if sweeps.len() <= slot {
            sweeps.resize(slot + 1, None);
        }
        sweeps.get_mut(slot)
    }

    /// Moves the next look at a zone's devices to an earlier time, if it is one.
    fn look_by(&mut self, zone: u32, rule: u32, deadline: Millis) {
        let Some(armed) = self.next_look(zone, rule) else { return };
        if armed.is_none_or(|armed| deadline < armed) {
            let before = armed.replace(deadline);
            self.timers.rearm(sweep_key(zone, rule), before, Some(deadline));
        }
    }

    /// Looks at all devices of a zone: those that were silent for too long are told, in the order of their
    /// ids, and the next look is when the patience with another one ends.
    pub(super) fn sweep(&mut self, zone: u32, rule: u32, reached: Millis, step: &mut Step<'_>) {
        if let Some(armed) = self.next_look(zone, rule) {
            *armed = None;
        }
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let (mut silent, mut next) = (Vec::new(), Millis::MAX);
        for (subject, device) in memory.devices.iter() {
            match self.deadline_of(zone, rule, device) {
                Some(deadline) if deadline > reached => next = next.min(deadline),
                Some(deadline) => silent.push((subject, deadline, device.cause)),
                None => {}
            }
        }
        silent.sort_unstable_by_key(|(subject, ..)| *subject);
        for (subject, deadline, cause) in silent {
            let id = InstanceId { rule, subject };
            if !self.is_latched(zone, id) && self.is_in_inventory(zone, id) {
                self.hold_for_silent(zone, id, deadline, cause, step);
            }
        }
        if next < Millis::MAX {
            self.look_by(zone, rule, next);
        }
    }

    fn hold_for_silent(
        &mut self,
        zone: u32,
        id: InstanceId,
        deadline: Millis,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let memory = self.zones.get_mut(zone as usize);
        if let Some(device) = memory.and_then(|memory| memory.devices.get_mut(id.subject)) {
            device.is_watched = false;
        }
        self.drive_for(zone, id, Input::True(deadline), cause, step);
    }

    fn is_in_inventory(&self, zone: u32, id: InstanceId) -> bool {
        let place = self.plans.get(zone as usize).and_then(|plan| self.place(plan.id, Millis::MAX));
        place.is_some_and(|place| place.devices.iter().any(|device| device.id == id.subject))
    }

    /// When the patience with a device ends; `None` while it may be silent.
    pub(super) fn silence_deadline(&self, zone: u32, id: InstanceId) -> Option<Millis> {
        let device = self.zones.get(zone as usize)?.devices.get(id.subject)?;
        self.deadline_of(zone, id.rule, device)
    }

    fn deadline_of(&self, zone: u32, rule: u32, device: &WatchedDevice) -> Option<Millis> {
        let (heard, Condition::Absence(absence)) =
            (device.heard_in_service()?, &self.rules.get(rule)?.condition)
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
