//! What wakes instances without a record of their own: timers, and what late records left behind.

use std::sync::Arc;

use parking_crds::event::Millis;

use super::{
    AlertState, TimerKey, TimerKind,
    condition::Condition,
    drive::Step,
    instance::{Input, State},
    watch_key,
    zone::{InstanceId, Watch},
};

impl AlertState {
    /// A timer came due.
    pub(super) fn fire(&mut self, key: TimerKey, deadline: Millis, step: &mut Step<'_>) {
        match key.kind {
            TimerKind::Lifecycle => self.lifecycle_due(key, deadline, step),
            TimerKind::Watch => self.watch_due(key, deadline, step),
            TimerKind::Sweep => self.sweep(key.zone, key.id.rule, deadline, step),
            TimerKind::Stale => self.count_is_stale(key.zone, deadline, step),
        }
    }

    fn lifecycle_due(&mut self, key: TimerKey, deadline: Millis, step: &mut Step<'_>) {
        let instance = self.zones.get(key.zone as usize).and_then(|memory| memory.instances.get(&key.id));
        let Some(instance) = instance.filter(|instance| instance.state.deadline() == Some(deadline)) else {
            return;
        };
        let cause = instance.cause;
        self.drive_for(key.zone, key.id, Input::Due, cause, step);
    }

    /// A count was not renewed in time: from here on nothing is known of the zone.
    fn count_is_stale(&mut self, zone: u32, deadline: Millis, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        if memory.view.stale_at != Some(deadline) {
            return;
        }
        memory.view.stale_at = None;
        memory.view.unknown = memory.view.capacity;
        self.mark(zone);
        self.judge_view(zone, deadline, step);
    }

    fn watch_due(&mut self, key: TimerKey, deadline: Millis, step: &mut Step<'_>) {
        let TimerKey { zone, id, .. } = key;
        let instance = self.zones.get(zone as usize).and_then(|memory| memory.instances.get(&id));
        match instance.map_or(Watch::Off, |instance| instance.watch) {
            Watch::Off | Watch::Done => {}
            Watch::Limit | Watch::Close => self.stay_due(zone, id, deadline, step),
        }
    }

    /// A stay reached its limit, or the time at which a missed departure is assumed.
    fn stay_due(&mut self, zone: u32, id: InstanceId, reached: Millis, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let Some((&stay, instance)) = memory.stays.get(&id.subject).zip(memory.instances.get(&id)) else {
            return;
        };
        let watch = instance.watch;
        let Some(allowance) = self.allowance(zone, id.rule, &stay) else { return };
        let after = if watch == Watch::Limit { allowance.limit } else { allowance.close_after };
        let deadline = stay.start.saturating_add(after);
        if deadline > reached {
            self.timers.arm(deadline, watch_key(zone, id));
            return;
        }
        if watch == Watch::Close {
            self.set_watch(zone, id, Watch::Done);
            self.drive(zone, id, Input::False(deadline), step);
            return;
        }
        self.set_watch(zone, id, Watch::Close);
        self.timers.arm(stay.start.saturating_add(allowance.close_after), watch_key(zone, id));
        let rules = Arc::clone(&self.rules);
        let plan = self.plans.get(zone as usize);
        if plan.zip(rules.get(id.rule)).is_some_and(|(plan, rule)| rule.applies_at(deadline, &plan.time_zone))
        {
            self.drive_for(zone, id, Input::True(deadline), stay.cause, step);
        }
    }

    pub(super) fn set_watch(&mut self, zone: u32, id: InstanceId, watch: Watch) {
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        if let Some(instance) = memory.instances.get_mut(&id) {
            instance.watch = watch;
            self.mark(zone);
        }
    }

    /// Catches up on what only a record on time may decide: ends that late records told, alerts that
    /// found no room, alerts that are no longer silenced.
    pub(super) fn settle(&mut self, zone: u32, now: Millis, step: &mut Step<'_>) {
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        memory.unsettled = false;
        let waiting: Vec<_> = memory
            .instances
            .iter()
            .filter(|(_, one)| one.state != State::Inactive)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.settle_one(zone, id, now, step);
        }
        let unsettled = self
            .zones
            .get(zone as usize)
            .is_some_and(|memory| memory.instances.iter().any(|(id, _)| self.is_unsettled(zone, *id)));
        if unsettled {
            self.unsettle(zone);
        }
    }

    fn settle_one(&mut self, zone: u32, id: InstanceId, now: Millis, step: &mut Step<'_>) {
        let Some(instance) = self.zones.get(zone as usize).and_then(|memory| memory.instances.get(&id))
        else {
            return;
        };
        let (state, muted, cause) = (instance.state, instance.muted, instance.cause);
        if self.has_ended(zone, id) {
            if state.is_latched() {
                self.drive(zone, id, Input::False(now), step);
                self.rewatch(zone, id);
            }
        } else if matches!(state, State::Pending { held: true, .. }) && !self.judges_view(id) {
            self.drive_for(zone, id, Input::True(now), cause, step);
        }
        if muted && !self.is_muted(zone, id) {
            self.unmute(zone, id, step);
        }
    }

    /// Whether an instance waits for the next record on time.
    pub(super) fn is_unsettled(&self, zone: u32, id: InstanceId) -> bool {
        let Some(instance) = self.zones.get(zone as usize).and_then(|memory| memory.instances.get(&id))
        else {
            return false;
        };
        let waits_for_room =
            matches!(instance.state, State::Pending { held: true, .. }) && !self.judges_view(id);
        instance.muted || waits_for_room || (instance.state.is_latched() && self.has_ended(zone, id))
    }

    fn judges_view(&self, id: InstanceId) -> bool {
        matches!(self.rules.get(id.rule).map(|rule| &rule.condition), Some(Condition::Threshold(_)))
    }

    /// Whether what the instance is about is over: the stay ended, the device was heard.
    fn has_ended(&self, zone: u32, id: InstanceId) -> bool {
        let Some(memory) = self.zones.get(zone as usize) else { return false };
        match self.rules.get(id.rule).map(|rule| &rule.condition) {
            Some(Condition::Dwell(_)) => !memory.stays.contains_key(&id.subject),
            Some(Condition::Absence(_)) => {
                self.silence_deadline(zone, id).is_none_or(|deadline| deadline > memory.now)
            }
            Some(Condition::Threshold(_)) | None => false,
        }
    }
}
