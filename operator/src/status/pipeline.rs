//! The status of a pipeline.

use std::collections::BTreeMap;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use parking_crds::{
    condition::{ConditionType, Reason},
    pipeline::{Drain, ParkingPipelineStatus, PipelinePhase},
};

use crate::{error::Class, problem::Problem};

use super::{Conditions, PATIENT, data_loss};

/// Conditions on what the pipeline depends on, in the order in which they are shown.
const DEPENDENCIES: [(ConditionType, &str); 6] = [
    (ConditionType::TopicsReady, "every topic exists as planned"),
    (ConditionType::UsersReady, "every role has its credentials"),
    (ConditionType::RedisReady, "Redis has a master and answers"),
    (ConditionType::BucketReady, "the bucket exists and is writable"),
    (ConditionType::WorkersAvailable, "every role has its workers"),
    (ConditionType::RulesLoaded, "every alert worker has the newest rules"),
];

/// Conditions that appear only when there is something to say.
const OCCASIONAL: [ConditionType; 2] = [ConditionType::AutoscalingReady, ConditionType::MonitoringReady];

/// Everything that the status is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The status so far.
    pub before: Option<&'a ParkingPipelineStatus>,
    /// Generation of the spec.
    pub generation: i64,
    /// What is wrong or awaited, by condition.
    pub problems: &'a [Problem],
    /// What is still being changed, in words.
    pub progress: &'a [String],
    /// Draining, Paused, Stopped or Deleting; none while the pipeline shall run.
    pub phase: Option<PipelinePhase>,
    /// What stages work off.
    pub drain: Option<Drain>,
    /// Ready and wanted workers; none when they are not known.
    pub workers: Option<(u32, u32)>,
    /// What the workers report; none when they were not asked.
    pub counts: Option<Counts>,
    /// The loss of data that is dealt with, by its fingerprint.
    pub acknowledged: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// What the workers report, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Records not yet processed; none when no worker said.
    pub lag: Option<i64>,
    /// Alerts that fire; none when no worker said.
    pub firing: Option<i64>,
}

/// The status that follows from the facts.
pub fn status(facts: &Facts<'_>) -> ParkingPipelineStatus {
    let before = facts.before.map_or(&[][..], |status| &status.conditions);
    let mut conditions = Conditions::new(before, facts.generation, facts.now);
    for (kind, fine) in DEPENDENCIES {
        match first(facts.problems, kind) {
            Some((reason, message)) => conditions.set(kind, false, reason, message),
            None => conditions.set(kind, true, Reason::AsSpecified, fine),
        }
    }
    for kind in OCCASIONAL {
        if let Some((reason, message)) = first(facts.problems, kind) {
            conditions.set(kind, false, reason, message);
        }
    }
    set_alarms(&mut conditions, before, facts);
    set_progressing(&mut conditions, facts);
    let broken = set_degraded(&mut conditions, facts);
    set_ready(&mut conditions, facts);
    let ready = conditions.holds(ConditionType::Ready);
    let (lag, firing) = match facts.counts {
        Some(counts) => (counts.lag, counts.firing),
        None => facts.before.map_or((None, None), |before| (before.lag, before.firing)),
    };
    ParkingPipelineStatus {
        observed_generation: Some(facts.generation),
        phase: Some(facts.phase.unwrap_or(match (broken, ready) {
            (true, _) => PipelinePhase::Failed,
            (false, true) => PipelinePhase::Running,
            (false, false) => resting_or_starting(facts),
        })),
        conditions: conditions.done(),
        workers: facts.workers.map(|(ready, wanted)| format!("{ready}/{wanted}")),
        lag,
        firing,
        drain: facts.drain.clone(),
        topic_ids: BTreeMap::new(),
    }
}

/// A pipeline that ran once keeps running while something of it is renewed.
fn resting_or_starting(facts: &Facts<'_>) -> PipelinePhase {
    let ran = facts.before.and_then(|before| before.phase) == Some(PipelinePhase::Running);
    if ran { PipelinePhase::Running } else { PipelinePhase::Starting }
}

/// The gravest problem of a condition, with the others' messages behind it.
fn first(problems: &[Problem], kind: ConditionType) -> Option<(Reason, String)> {
    let mut of_kind: Vec<&Problem> = problems.iter().filter(|problem| problem.condition == kind).collect();
    of_kind.sort_by_key(|problem| (PATIENT.contains(&problem.reason), problem.class, &problem.message));
    let gravest = of_kind.first()?;
    let messages: Vec<&str> = of_kind.iter().map(|problem| problem.message.as_str()).collect();
    Some((gravest.reason, messages.join("; ")))
}

/// Alarms hold when something is wrong and are absent otherwise.
fn set_alarms(conditions: &mut Conditions<'_>, before: &[Condition], facts: &Facts<'_>) {
    if let Some((reason, message)) = first(facts.problems, ConditionType::RetentionAtRisk) {
        conditions.set(ConditionType::RetentionAtRisk, true, reason, message);
    }
    let losses = facts.problems.iter().filter(|problem| problem.condition == ConditionType::DataLost);
    let new: Vec<&str> = losses.map(|problem| problem.message.as_str()).collect();
    if let Some(lost) = data_loss::standing(before, &new, facts.acknowledged) {
        conditions.set(ConditionType::DataLost, true, Reason::RecordsLost, lost);
    }
}

fn set_progressing(conditions: &mut Conditions<'_>, facts: &Facts<'_>) {
    if facts.progress.is_empty() {
        conditions.set(ConditionType::Progressing, false, Reason::AsSpecified, "nothing is being changed");
    } else {
        conditions.set(ConditionType::Progressing, true, Reason::Waiting, facts.progress.join("; "));
    }
}

/// Whether the spec cannot be followed at all.
fn set_degraded(conditions: &mut Conditions<'_>, facts: &Facts<'_>) -> bool {
    let mut by_class: BTreeMap<Class, Vec<&Problem>> = BTreeMap::new();
    for problem in facts.problems.iter().filter(|problem| !PATIENT.contains(&problem.reason)) {
        by_class.entry(problem.class).or_default().push(problem);
    }
    let gravest = by_class.values().next().and_then(|problems| problems.first());
    match gravest {
        None => conditions.set(ConditionType::Degraded, false, Reason::AsSpecified, "nothing is broken"),
        Some(gravest) => {
            let messages: Vec<&str> = by_class.values().flatten().map(|p| p.message.as_str()).collect();
            conditions.set(ConditionType::Degraded, true, gravest.reason, messages.join("; "));
        }
    }
    by_class.contains_key(&Class::Invalid)
}

fn set_ready(conditions: &mut Conditions<'_>, facts: &Facts<'_>) {
    let failing: Vec<&str> = DEPENDENCIES
        .iter()
        .filter(|(kind, _)| !conditions.holds(*kind))
        .map(|(kind, _)| kind.as_str())
        .collect();
    match facts.phase {
        Some(PipelinePhase::Deleting) => {
            conditions.set(ConditionType::Ready, false, Reason::Deleting, "the pipeline is being deleted");
        }
        Some(PipelinePhase::Draining) => {
            conditions.set(ConditionType::Ready, false, Reason::Draining, "stages work off what there is");
        }
        Some(PipelinePhase::Paused | PipelinePhase::Stopped) if failing.is_empty() => {
            conditions.set(ConditionType::Ready, true, Reason::Paused, "the pipeline rests as it was told");
        }
        _ if failing.is_empty() => {
            conditions.set(
                ConditionType::Ready,
                true,
                Reason::AsSpecified,
                "the pipeline does what its spec says",
            );
        }
        _ => {
            let reason = if conditions.holds(ConditionType::Degraded) {
                Reason::DependencyFailed
            } else {
                Reason::Waiting
            };
            conditions.set(ConditionType::Ready, false, reason, format!("not yet: {}", failing.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_crds::condition::{find, holds};

    use super::*;

    fn facts<'a>(problems: &'a [Problem], progress: &'a [String]) -> Facts<'a> {
        Facts {
            before: None,
            generation: 3,
            problems,
            progress,
            phase: None,
            drain: None,
            workers: Some((9, 9)),
            counts: Some(Counts { lag: Some(4), firing: Some(2) }),
            acknowledged: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn without_problems_a_pipeline_is_ready_and_says_so_for_its_generation() {
        let status = status(&facts(&[], &[]));
        assert!(holds(&status.conditions, ConditionType::Ready, 3));
        assert_eq!(status.phase, Some(PipelinePhase::Running));
        assert_eq!(status.workers.as_deref(), Some("9/9"));
        assert_eq!((status.lag, status.firing), (Some(4), Some(2)));
        assert!(find(&status.conditions, ConditionType::DataLost).is_none());
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    }

    #[test]
    fn waiting_is_no_degradation() {
        let problems = [Problem::waiting(ConditionType::TopicsReady, "topic events is not ready yet")];
        let status = status(&facts(&problems, &["topics".to_owned()]));
        assert!(!holds(&status.conditions, ConditionType::Ready, 3));
        assert!(!holds(&status.conditions, ConditionType::Degraded, 3));
        assert!(holds(&status.conditions, ConditionType::Progressing, 3));
        assert_eq!(status.phase, Some(PipelinePhase::Starting));
    }

    #[test]
    fn what_only_an_edit_can_mend_fails_the_pipeline_and_names_it() {
        let problems = [
            Problem::waiting(ConditionType::UsersReady, "user alert is not ready yet"),
            Problem::invalid(ConditionType::UsersReady, "listener `plain` has no authentication"),
        ];
        let status = status(&facts(&problems, &[]));
        let users = find(&status.conditions, ConditionType::UsersReady).unwrap();
        assert_eq!(users.reason, "Invalid");
        assert!(users.message.starts_with("listener `plain`"), "{}", users.message);
        assert_eq!(status.phase, Some(PipelinePhase::Failed));
        assert!(holds(&status.conditions, ConditionType::Degraded, 3));
    }

    #[test]
    fn an_alarm_holds_when_something_is_wrong_and_is_absent_otherwise() {
        let problems = [Problem {
            condition: ConditionType::DataLost,
            reason: Reason::RecordsLost,
            class: Class::Blocked,
            message: "topic events was made anew".to_owned(),
        }];
        let status = status(&facts(&problems, &[]));
        assert!(holds(&status.conditions, ConditionType::DataLost, 3));
        assert!(holds(&status.conditions, ConditionType::Ready, 3), "the pipeline goes on");
    }

    #[test]
    fn a_resting_pipeline_is_ready_because_it_does_what_it_was_told() {
        let status = status(&Facts { phase: Some(PipelinePhase::Paused), ..facts(&[], &[]) });
        assert_eq!(find(&status.conditions, ConditionType::Ready).unwrap().reason, "Paused");
        assert!(holds(&status.conditions, ConditionType::Ready, 3));
    }
}
