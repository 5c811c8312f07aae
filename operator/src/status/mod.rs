//! What the three kinds say of themselves: conditions, columns and events, from what was seen and done.
//!
//! Must not: name a client or read a clock.
//! Invariants: every condition names the generation that it judges; a transition time changes only with the
//! condition's status; a message says what to do.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use parking_crds::condition::{ConditionType, Reason, find};

pub mod alert_rule;
pub mod data_loss;
pub mod pipeline;
pub mod workers;

/// Longest message of a condition, in characters; the API server refuses more than 32768.
const LONGEST_MESSAGE: usize = 2_000;

/// Conditions of one object, as they are put together.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    before: &'a [Condition],
    generation: i64,
    now: Timestamp,
    made: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// None yet, after the given ones.
    pub const fn new(before: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self { before, generation, now, made: Vec::new() }
    }

    /// Adds a condition.
    pub fn set(&mut self, kind: ConditionType, holds: bool, reason: Reason, message: impl Into<String>) {
        let status = if holds { "True" } else { "False" };
        let since = find(self.before, kind)
            .filter(|before| before.status == status)
            .map_or(Time(self.now), |before| before.last_transition_time.clone());
        let message: String = message.into().chars().take(LONGEST_MESSAGE).collect();
        self.made.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message,
            observed_generation: Some(self.generation),
            last_transition_time: since,
        });
    }

    /// Whether the condition was added and holds.
    pub fn holds(&self, kind: ConditionType) -> bool {
        find(&self.made, kind).is_some_and(|condition| condition.status == "True")
    }

    /// The conditions, in the order in which they were added.
    pub fn done(self) -> Vec<Condition> {
        self.made
    }

    /// The same, and behind them those of before that were not added.
    pub fn and_the_others(mut self) -> Vec<Condition> {
        let others = self.before.iter().filter(|old| self.made.iter().all(|made| made.type_ != old.type_));
        let others: Vec<Condition> = others.cloned().collect();
        self.made.extend(others);
        self.made
    }
}

/// A change that an Event tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The condition that changed.
    pub condition: String,
    /// Whether it is worth a warning.
    pub warning: bool,
    /// Why.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// Conditions whose status changed, in words for Events.
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Transition> {
    after
        .iter()
        .filter(|now| {
            let earlier = before.iter().find(|condition| condition.type_ == now.type_);
            earlier.map_or(now.status == "True" || is_alarm(now), |earlier| earlier.status != now.status)
        })
        .map(|now| Transition {
            condition: now.type_.clone(),
            warning: is_alarm(now),
            reason: now.reason.clone(),
            message: format!("{} is {}: {}", now.type_, now.status, now.message),
        })
        .collect()
}

/// Conditions that are bad when they hold.
const BAD_WHEN_TRUE: [ConditionType; 4] = [
    ConditionType::Degraded,
    ConditionType::RetentionAtRisk,
    ConditionType::DataLost,
    ConditionType::Saturated,
];

/// Reasons that pass by themselves: nobody has to act.
const PATIENT: [Reason; 5] =
    [Reason::Waiting, Reason::Draining, Reason::Paused, Reason::RolloutWaiting, Reason::Deleting];

fn is_alarm(condition: &Condition) -> bool {
    let bad_when_true = BAD_WHEN_TRUE.iter().any(|kind| kind.as_str() == condition.type_);
    let patient = PATIENT.iter().any(|reason| reason.as_str() == condition.reason);
    !patient && (condition.status == "True") == bad_when_true && condition.type_ != "Progressing"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn made(before: &[Condition], holds: bool, reason: Reason, second: i64) -> Vec<Condition> {
        let mut conditions = Conditions::new(before, 1, at(second));
        conditions.set(ConditionType::TopicsReady, holds, reason, "all topics exist");
        conditions.done()
    }

    #[test]
    fn a_transition_time_changes_only_with_the_status() {
        let first = made(&[], true, Reason::AsSpecified, 1);
        let second = made(&first, true, Reason::AsSpecified, 2);
        assert_eq!(second[0].last_transition_time.0, at(1));
        let third = made(&second, false, Reason::Invalid, 3);
        assert_eq!(third[0].last_transition_time.0, at(3));
    }

    #[test]
    fn only_transitions_are_told() {
        let ready = made(&[], true, Reason::AsSpecified, 1);
        assert_eq!(transitions(&[], &ready).len(), 1);
        assert_eq!(transitions(&ready, &ready), []);
        let failed = made(&ready, false, Reason::Invalid, 2);
        assert!(transitions(&ready, &failed)[0].warning);
        let waiting = made(&ready, false, Reason::Waiting, 2);
        assert!(!transitions(&ready, &waiting)[0].warning);
    }

    #[test]
    fn a_long_message_is_cut() {
        let mut conditions = Conditions::new(&[], 1, at(0));
        conditions.set(ConditionType::Ready, false, Reason::Invalid, "ä".repeat(40_000));
        assert_eq!(conditions.done()[0].message.chars().count(), LONGEST_MESSAGE);
    }
}
