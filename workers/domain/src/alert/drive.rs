//! Tells instances their inputs, keeps their timers, and writes down what they emit.
//!
//! Must not decide whether a condition holds. Invariant: an instance and its lifecycle timer change
//! together, here and on restore, nowhere else.

use std::collections::BTreeMap;

use parking_crds::{alert_rule::InstanceLabel, duration::Duration, event::Millis};
use uuid::Uuid;

use super::{
    AlertState, TimerKey, TimerKind,
    condition::Condition,
    id,
    instance::{Emit, Input, Pace, State},
    record::{AlertRecord, AlertStatus, Origin, RecordType, ResolvedReason},
    rule::Rule,
    zone::{Cause, Instance, InstanceId},
};
use crate::observation::Observed;

/// Most events named as causes of one record.
const MAX_CAUSES: usize = 5;

/// The record that is judged now, and what it makes.
pub(super) struct Step<'a> {
    pub(super) event_time: Millis,
    pub(super) watermark: Millis,
    pub(super) late: bool,
    replayed: bool,
    event: Uuid,
    origin: Origin,
    out: &'a mut Vec<AlertRecord>,
}

impl<'a> Step<'a> {
    pub(super) fn new(input: &Observed<'_>, partition: u32, out: &'a mut Vec<AlertRecord>) -> Self {
        Self {
            event_time: input.event_time,
            watermark: input.watermark,
            late: input.late,
            replayed: input.replayed,
            event: input.event_id,
            origin: Origin { partition, offset: input.offset, ordinal: 0 },
            out,
        }
    }

    /// The record as the cause of what it changes.
    pub(super) fn cause(&self) -> Cause {
        Cause { event: Some(self.event), replayed: self.replayed }
    }

    pub(super) fn emit(&mut self, record: &mut AlertRecord) {
        record.origin = self.origin;
        self.origin.ordinal += 1;
        self.out.push(record.clone());
    }
}

impl AlertState {
    /// Tells an instance an input by the record itself.
    pub(super) fn drive(&mut self, zone: u32, id: InstanceId, input: Input, step: &mut Step<'_>) {
        let cause = step.cause();
        self.drive_for(zone, id, input, cause, step);
    }

    /// Tells an instance an input; `cause` is what made its condition true.
    pub(super) fn drive_for(
        &mut self,
        zone: u32,
        id: InstanceId,
        input: Input,
        cause: Cause,
        step: &mut Step<'_>,
    ) {
        let Some(memory) = self.zones.get(zone as usize) else { return };
        let Some(rule) = self.rules.get(id.rule) else { return };
        let known = memory.instances.get(&id);
        let before = known.map_or(State::Inactive, |instance| instance.state);
        if (before, matches!(input, Input::False(_))) == (State::Inactive, true) {
            return;
        }
        let pace = self.pace(zone, id, rule);
        let (mut after, mut emit) = before.next(input, pace);
        if after == before && emit.is_none() {
            return;
        }
        if matches!(emit, Some(Emit::Raised { .. })) && self.is_saturated(zone, id.rule) {
            after = refuse(before, input);
            emit = None;
            self.drive_for(
                self.meta(),
                InstanceId { rule: id.rule, subject: Uuid::nil() },
                Input::True(step.watermark),
                cause,
                step,
            );
            self.unsettle(zone);
        }
        self.set_state(zone, id, after, cause, step.watermark);
        if let Some(emit) = emit {
            self.tell(zone, id, emit, step);
        }
        self.forget(zone, id);
    }

    /// Changes the state of an instance, with its timer and the counts of its rule.
    pub(super) fn set_state(
        &mut self,
        zone: u32,
        id: InstanceId,
        after: State,
        cause: Cause,
        watermark: Millis,
    ) {
        let meta = self.meta();
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let instance = memory.instances.entry(id).or_default();
        let before = std::mem::replace(&mut instance.state, after);
        if let Some(plan) = self.plans.get(zone as usize) {
            memory.follow(plan, id, after);
        }
        let Some(instance) = memory.instances.get_mut(&id) else { return };
        if matches!(before, State::Inactive | State::Resolved { .. }) {
            instance.cause = cause;
        }
        if zone != meta {
            self.census.moved(id.rule, before, after, watermark);
        }
        let key = TimerKey { zone, id, kind: TimerKind::Lifecycle };
        self.timers.rearm(key, before.deadline(), after.deadline());
        self.mark(zone);
    }

    /// The times of an instance: those of its rule, and the grace of its stay.
    fn pace(&self, zone: u32, id: InstanceId, rule: &Rule) -> Pace {
        if zone == self.meta() {
            return Pace::default();
        }
        let stay = self.zones.get(zone as usize).and_then(|memory| memory.stays.get(&id.subject));
        let grace =
            stay.and_then(|stay| self.allowance(zone, id.rule, stay)).map_or(0, |allowance| allowance.grace);
        Pace { hold: rule.pace.hold.saturating_add(grace), ..rule.pace }
    }

    /// The memory of the rules themselves stands after those of the zones.
    pub(super) fn meta(&self) -> u32 {
        u32::try_from(self.plans.len()).unwrap_or(u32::MAX)
    }

    fn is_saturated(&self, zone: u32, rule: u32) -> bool {
        let raised = self.census.raised(rule);
        zone != self.meta() && self.rules.get(rule).is_some_and(|rule| raised >= rule.max_active)
    }

    pub(super) fn mark(&mut self, zone: u32) {
        if let Some(memory) = self.zones.get_mut(zone as usize)
            && !std::mem::replace(&mut memory.dirty, true)
        {
            self.dirty.push(zone);
        }
    }

    pub(super) fn unsettle(&mut self, zone: u32) {
        if let Some(memory) = self.zones.get_mut(zone as usize) {
            memory.unsettled = true;
        }
    }

    /// Drops an instance of which nothing needs to be remembered.
    pub(super) fn forget(&mut self, zone: u32, id: InstanceId) {
        if let Some(memory) = self.zones.get_mut(zone as usize)
            && memory.instances.get(&id).is_some_and(Instance::is_forgettable)
        {
            memory.instances.remove(&id);
        }
    }

    /// Writes down what an instance emits, unless another rule silences it.
    fn tell(&mut self, zone: u32, id: InstanceId, emit: Emit, step: &mut Step<'_>) {
        let muted = self.is_muted(zone, id);
        let fresh = match emit {
            Emit::Raised { active_at, starts_at, no_data } => {
                self.describe(zone, id, active_at, starts_at, no_data, step)
            }
            _ => None,
        };
        let Some(memory) = self.zones.get_mut(zone as usize) else { return };
        let Some(instance) = memory.instances.get_mut(&id) else { return };
        let mut record = match fresh {
            Some(record) => Box::new(record),
            None => match instance.record.take() {
                Some(record) => record,
                None => return,
            },
        };
        match emit {
            Emit::Raised { .. } => instance.muted = muted,
            Emit::DataLost => record.state = AlertStatus::NoData,
            Emit::DataBack => record.state = AlertStatus::Firing,
            Emit::Resolved { ends_at, rule_changed } => {
                record.state = AlertStatus::Resolved;
                record.reason = rule_changed.then_some(ResolvedReason::RuleChanged);
                record.ends_at = Some(ends_at.max(record.starts_at));
            }
        }
        if !matches!(emit, Emit::Raised { .. }) {
            add_cause(&mut record.cause_event_ids, step);
        }
        if !instance.muted {
            record.generation += 1;
            step.emit(&mut record);
        }
        if matches!(emit, Emit::Resolved { .. }) {
            instance.muted = false;
            self.after_resolved(zone, id, step);
        } else {
            instance.record = Some(record);
            if instance.muted {
                memory.unsettled = true;
            }
        }
    }

    /// Room again: the alert that stood for those without room is over, instances may be unmuted.
    fn after_resolved(&mut self, zone: u32, id: InstanceId, step: &mut Step<'_>) {
        if zone == self.meta() || self.is_saturated(zone, id.rule) {
            return;
        }
        let id = InstanceId { rule: id.rule, subject: Uuid::nil() };
        let cause = step.cause();
        self.drive_for(self.meta(), id, Input::False(step.watermark), cause, step);
    }

    /// Tells an alert that another rule silenced until now.
    pub(super) fn unmute(&mut self, zone: u32, id: InstanceId, step: &mut Step<'_>) {
        let memory = self.zones.get_mut(zone as usize);
        let Some(instance) = memory.and_then(|memory| memory.instances.get_mut(&id)) else { return };
        instance.muted = false;
        if let Some(record) = &mut instance.record {
            record.generation += 1;
            step.emit(record);
        }
    }

    /// Whether an alert of another rule, raised in the same zone, silences the instance.
    pub(super) fn is_muted(&self, zone: u32, id: InstanceId) -> bool {
        let Some(rule) = self.rules.get(id.rule) else { return false };
        let Some(memory) = self.zones.get(zone as usize) else { return false };
        rule.inhibited_by.iter().any(|inhibition| {
            memory.instances.iter().any(|(other, instance)| {
                instance.state.is_raised()
                    && other.rule != id.rule
                    && self.rules.get(other.rule).is_some_and(|one| one.name == inhibition.rule_ref.as_str())
                    && inhibition
                        .equal
                        .iter()
                        .all(|label| self.label(zone, id, *label) == self.label(zone, *other, *label))
            })
        })
    }

    /// The first record of a new alert.
    fn describe(
        &self,
        zone: u32,
        id: InstanceId,
        active_at: Millis,
        starts_at: Millis,
        no_data: bool,
        step: &Step<'_>,
    ) -> Option<AlertRecord> {
        let rule = self.rules.get(id.rule)?;
        let instance = self.zones.get(zone as usize)?.instances.get(&id)?;
        let identity = self.identity(zone, id, rule);
        let fingerprint = id::fingerprint(&self.settings.tenant, &rule.id, identity.iter().cloned());
        let value = self.value(zone, id, rule, starts_at);
        let mut causes = Vec::with_capacity(2);
        causes.extend(instance.cause.event);
        add_cause(&mut causes, step);
        Some(AlertRecord {
            record_type: RecordType::Alert,
            alert_id: id::alert_id(fingerprint, starts_at),
            fingerprint: fingerprint.simple().to_string(),
            rule: rule.id.clone(),
            rule_hash: rule.hash.clone(),
            state: if no_data { AlertStatus::NoData } else { AlertStatus::Firing },
            reason: None,
            severity: rule.severity,
            labels: self.labels(zone, rule, identity),
            annotations: self.annotations(zone, rule, &value),
            value,
            active_at,
            starts_at,
            fired_at: starts_at.max(step.watermark),
            ends_at: None,
            cause_event_ids: causes,
            generation: 0,
            replayed: instance.cause.replayed,
            origin: Origin::default(),
        })
    }

    /// The labels that make the fingerprint.
    fn identity(&self, zone: u32, id: InstanceId, rule: &Rule) -> Vec<(&'static str, String)> {
        if zone == self.meta() {
            return vec![("saturated", "true".to_owned())];
        }
        let label = |label: &InstanceLabel| Some((label.as_str(), self.label(zone, id, *label)?));
        rule.instance_key.iter().filter_map(label).collect()
    }

    /// What a label says of an instance, where it says something.
    fn label(&self, zone: u32, id: InstanceId, label: InstanceLabel) -> Option<String> {
        let plan = self.plans.get(zone as usize)?;
        let memory = self.zones.get(zone as usize)?;
        let stay = memory.stays.get(&id.subject);
        let place = || self.place(plan.id, memory.now);
        let condition = self.rules.get(id.rule).map(|rule| &rule.condition);
        let value = match label {
            InstanceLabel::CurbZoneId => plan.id,
            InstanceLabel::CurbAreaId => place()?.area?,
            InstanceLabel::CurbSpaceId => match stay {
                Some(stay) => stay.space?,
                None => place()?.devices.iter().find(|device| device.id == id.subject)?.space?,
            },
            InstanceLabel::EventSessionId if matches!(condition, Some(Condition::Dwell(_))) => id.subject,
            InstanceLabel::DataSourceDeviceId => match condition {
                Some(Condition::Absence(_)) => id.subject,
                _ => stay?.device,
            },
            _ => return None,
        };
        Some(value.to_string())
    }

    fn labels(&self, zone: u32, rule: &Rule, identity: Vec<(&str, String)>) -> BTreeMap<String, String> {
        let place = self.plans.get(zone as usize).and_then(|plan| self.place(plan.id, Millis::MAX));
        let mut labels = place.map(|place| place.labels.clone()).unwrap_or_default();
        labels.extend(rule.labels.clone());
        labels.insert("alertname".to_owned(), rule.name.clone());
        labels.extend(identity.into_iter().map(|(name, value)| (name.to_owned(), value)));
        labels
    }

    fn annotations(&self, zone: u32, rule: &Rule, value: &str) -> BTreeMap<String, String> {
        let place = self.plans.get(zone as usize).and_then(|plan| self.place(plan.id, Millis::MAX));
        let name =
            place.map_or("", |place| if place.name.is_empty() { &place.user_zone_id } else { &place.name });
        let fill = |text: &String| text.replace("{{ zone.name }}", name).replace("{{ value }}", value);
        rule.annotations.iter().map(|(key, text)| (key.clone(), fill(text))).collect()
    }

    fn value(&self, zone: u32, id: InstanceId, rule: &Rule, at: Millis) -> String {
        if zone == self.meta() {
            return self.census.raised(id.rule).to_string();
        }
        let Some(memory) = self.zones.get(zone as usize) else { return String::new() };
        let since = match &rule.condition {
            Condition::Threshold(threshold) => return threshold.describe(memory.view),
            Condition::Dwell(_) => memory.stays.get(&id.subject).map(|stay| stay.start),
            Condition::Absence(_) => {
                memory.devices.get(id.subject).and_then(|device| device.heard_in_service())
            }
        };
        since.map_or_else(String::new, |since| Duration::from_millis(at - since).to_string())
    }
}

/// The state of an instance for which there is no room: it waits for some.
fn refuse(before: State, input: Input) -> State {
    match (before, input) {
        (State::Pending { active_at, due, .. }, _) => State::Pending { active_at, due, held: true },
        (_, Input::True(now) | Input::Unknown { at: now, .. }) => {
            State::Pending { active_at: now, due: now, held: true }
        }
        (before, _) => before,
    }
}

fn add_cause(causes: &mut Vec<Uuid>, step: &Step<'_>) {
    if causes.len() < MAX_CAUSES && !causes.contains(&step.event) {
        causes.push(step.event);
    }
}
