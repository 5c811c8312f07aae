//! Stays that go on, and the dwell rules that watch them.
//!
//! Must not decide what an instance does with the end of its allowance: see [`drive`](super::drive).

use std::sync::Arc;

use parking_crds::event::Millis;
use uuid::Uuid;

use super::{
    AlertState,
    condition::{Condition, dwell::Allowance},
    drive::Step,
    instance::Input,
    watch_key,
    zone::{InstanceId, Stay, Watch},
};

impl AlertState {
    pub(super) fn begin_stay(&mut self, zone: u32, session: Uuid, stay: Stay) {
        let Some(plan) = self.plans.get(zone as usize).filter(|plan| !plan.dwells.is_empty()) else { return };
        let dwells = Arc::clone(&plan.dwells);
        if let Some(memory) = self.zones.get_mut(zone as usize) {
            memory.stays.insert(session, stay);
        }
        for &rule in dwells.iter() {
            self.watch_stay(zone, InstanceId { rule, subject: session }, &stay);
        }
    }

    /// Arms the next end of a stay, where a limit applies.
    pub(super) fn watch_stay(&mut self, zone: u32, id: InstanceId, stay: &Stay) {
        let Some(allowance) = self.allowance(zone, id.rule, stay) else { return };
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let instance = memory.instances.entry(id).or_default();
        if instance.watch == Watch::Off && !instance.state.is_latched() {
            instance.watch = Watch::Limit;
        }
        if let Some(deadline) = armed_for(instance.watch, stay, Some(allowance)) {
            self.timers.arm(deadline, watch_key(zone, id));
        }
    }

    pub(super) fn end_stay(&mut self, zone: u32, session: Uuid, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let Some(stay) = memory.stays.remove(&session) else { return };
        let Some(plan) = self.plans.get(zone as usize) else { return };
        for &rule in Arc::clone(&plan.dwells).iter() {
            let id = InstanceId { rule, subject: session };
            let allowance = self.allowance(zone, rule, &stay);
            let Some(memory) = self.zones.get_mut(zone as usize) else { return };
            let Some(instance) = memory.instances.get_mut(&id) else { continue };
            let armed = armed_for(std::mem::take(&mut instance.watch), &stay, allowance);
            let (now, raised) = (memory.now, instance.state.is_raised());
            self.timers.rearm(watch_key(zone, id), armed, None);
            if step.late && raised {
                self.unsettle(zone);
            } else {
                self.drive(zone, id, Input::False(now), step);
            }
            self.forget(zone, id);
        }
    }

    /// What a dwell rule allows a stay, by the policy that held when it began.
    pub(super) fn allowance(&self, zone: u32, rule: u32, stay: &Stay) -> Option<Allowance> {
        let plan = self.plans.get(zone as usize)?;
        let rule = self.rules.get(rule)?;
        let Condition::Dwell(dwell) = &rule.condition else { return None };
        let place = self.place(plan.id, stay.start)?;
        let class_of = |id| Some(place.spaces.iter().find(|space| space.id == id)?.class.as_str());
        let takes_stay = || {
            let own = stay.space.and_then(class_of).filter(|class| !class.is_empty());
            rule.takes_class(own.unwrap_or(&place.class))
        };
        if !rule.takes_every_class() && !takes_stay() {
            return None;
        }
        dwell.allowance(&place.policy)
    }
}

/// The deadline for which a watch on a stay is armed.
pub(super) fn armed_for(watch: Watch, stay: &Stay, allowance: Option<Allowance>) -> Option<Millis> {
    let allowance = allowance?;
    match watch {
        Watch::Limit => Some(stay.start.saturating_add(allowance.limit)),
        Watch::Close => Some(stay.start.saturating_add(allowance.close_after)),
        Watch::Off | Watch::Done => None,
    }
}
