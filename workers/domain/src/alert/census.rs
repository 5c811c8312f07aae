//! How the alerts of each rule stand on a partition, kept as they change.
//!
//! Must not look at instances. Invariant: the counts are those that a look at every instance would give.

use parking_crds::event::Millis;

use super::instance::State;

/// Alerts by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceCounts {
    /// The condition holds, but not for long enough.
    pub pending: u32,
    /// Raised.
    pub firing: u32,
    /// Raised, the condition ceased.
    pub recovering: u32,
    /// Raised for missing data.
    pub no_data: u32,
}

impl InstanceCounts {
    /// Alerts that are raised.
    pub fn raised(&self) -> u32 {
        self.firing.saturating_add(self.recovering).saturating_add(self.no_data)
    }

    fn of(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Pending { .. } => Some(&mut self.pending),
            State::Firing { no_data: true, .. } => Some(&mut self.no_data),
            State::Firing { .. } => Some(&mut self.firing),
            State::Recovering { .. } => Some(&mut self.recovering),
            State::Inactive | State::Resolved { .. } => None,
        }
    }

    fn add(&mut self, state: State) {
        if let Some(count) = self.of(state) {
            *count = count.saturating_add(1);
        }
    }

    fn remove(&mut self, state: State) {
        if let Some(count) = self.of(state) {
            *count = count.saturating_sub(1);
        }
    }
}

/// How one rule stands on the partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleStanding {
    /// Its alerts.
    pub counts: InstanceCounts,
    /// Whether it has no room for more.
    pub is_saturated: bool,
    /// Event time of the last change of an alert since this engine began.
    pub last_transition: Option<Millis>,
}

impl RuleStanding {
    /// The same rule on another partition besides.
    pub fn add(&mut self, other: &Self) {
        let Self { counts, is_saturated, last_transition } = other;
        let InstanceCounts { pending, firing, recovering, no_data } = counts;
        self.counts.pending = self.counts.pending.saturating_add(*pending);
        self.counts.firing = self.counts.firing.saturating_add(*firing);
        self.counts.recovering = self.counts.recovering.saturating_add(*recovering);
        self.counts.no_data = self.counts.no_data.saturating_add(*no_data);
        self.is_saturated |= is_saturated;
        self.last_transition = self.last_transition.max(*last_transition);
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    counts: InstanceCounts,
    last_transition: Option<Millis>,
    is_changed: bool,
}

/// See the module. Rules by their number.
#[derive(Clone, Debug)]
pub(super) struct Census {
    rules: Vec<Entry>,
    changed: Vec<u32>,
}

impl Census {
    /// Of so many rules; each counts as changed.
    pub(super) fn new(rules: usize) -> Self {
        let fresh = Entry { counts: InstanceCounts::default(), last_transition: None, is_changed: true };
        Self { rules: vec![fresh; rules], changed: (0..).take(rules).collect() }
    }

    /// An instance that was stored.
    pub(super) fn found(&mut self, rule: u32, state: State) {
        self.change(rule, |entry| entry.counts.add(state));
    }

    /// An instance moved.
    pub(super) fn moved(&mut self, rule: u32, before: State, after: State, at: Millis) {
        self.change(rule, |entry| {
            let stood = entry.counts;
            entry.counts.remove(before);
            entry.counts.add(after);
            if entry.counts != stood {
                entry.last_transition = Some(at);
            }
        });
    }

    fn change(&mut self, rule: u32, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.rules.get_mut(rule as usize) else { return };
        let stood = entry.counts;
        change(entry);
        if entry.counts != stood && !std::mem::replace(&mut entry.is_changed, true) {
            self.changed.push(rule);
        }
    }

    pub(super) fn raised(&self, rule: u32) -> u32 {
        self.rules.get(rule as usize).map_or(0, |entry| entry.counts.raised())
    }

    /// The rules that changed since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<(u32, RuleStanding)> {
        let rules = &mut self.rules;
        let told = std::mem::take(&mut self.changed).into_iter().filter_map(|rule| {
            let entry = rules.get_mut(rule as usize)?;
            entry.is_changed = false;
            let Entry { counts, last_transition, .. } = *entry;
            Some((rule, RuleStanding { counts, last_transition, is_saturated: false }))
        });
        told.collect()
    }
}
