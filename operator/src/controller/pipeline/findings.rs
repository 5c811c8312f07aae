//! What the workers' answers mean for a pipeline's conditions.
//!
//! Must not: name a client.

use kube::core::DynamicObject;
use parking_crds::{
    condition::{ConditionType, Reason},
    role::Role,
    topology::{Topology, WorkerPlan},
};

use crate::{
    error::Class,
    lifecycle::{self, Position, Positions},
    live::{Key, Live},
    owned_kinds::OwnedKind,
    poll::workers::LastRound,
    problem::Problem,
    validate::Run,
    wall_clock,
};

pub(super) fn positions(round: Option<&LastRound>) -> Positions {
    let mut positions = Positions::new();
    for ((role, stream), partitions) in round.iter().flat_map(|round| &round.summary.partitions) {
        let seen = partitions
            .iter()
            .map(|(&partition, seen)| (partition, Position { position: seen.position, end: seen.end }));
        positions.insert((*role, *stream), seen.collect());
    }
    positions
}

pub(super) fn timed_out(decision: &lifecycle::Decision) -> Option<Problem> {
    let roles: Vec<&str> = decision.timed_out.iter().map(|role| role.as_str()).collect();
    (!roles.is_empty()).then(|| Problem {
        condition: ConditionType::WorkersAvailable,
        reason: Reason::DrainTimedOut,
        class: Class::Blocked,
        message: format!(
            "{} did not work off what there was within 10 minutes and rest now; the records stay in the log and are read when the pipeline runs again",
            roles.join(", ")
        ),
    })
}

/// The oldest unread record is older than half of the retention.
pub(super) fn retention_at_risk(round: &LastRound, topology: &Topology) -> Option<Problem> {
    let oldest = round.summary.oldest_unread()?;
    let retention = topology.streams.iter().map(|stream| stream.retention.millis()).min()?;
    let age = wall_clock::now().as_millisecond() - oldest.as_millisecond();
    (age > retention / 2).then(|| Problem {
        condition: ConditionType::RetentionAtRisk,
        reason: Reason::RecordsLost,
        class: Class::Blocked,
        message: format!(
            "the oldest unread record is of {oldest}: add workers, resume the pipeline or raise spec.events.retention before records go unread"
        ),
    })
}

/// What runs a role now.
pub(super) fn workload_of<'live>(
    worker: &WorkerPlan,
    topology: &Topology,
    live: &'live Live,
) -> Option<&'live DynamicObject> {
    let (namespace, name) = (topology.pipeline.namespace.as_str(), worker.name.as_str());
    let mut kinds = [OwnedKind::StatefulSet, OwnedKind::Deployment].into_iter();
    kinds.find_map(|kind| live.get(&Key::new(kind, namespace, name)))
}

/// Roles that shall run and have no workload yet.
pub(super) fn not_made(decision: &lifecycle::Decision, topology: &Topology, live: &Live) -> Option<Problem> {
    let rests = |worker: &WorkerPlan| decision.runs.get(&worker.config.role) == Some(&Run::Resting);
    let missing: Vec<&str> = topology
        .workers
        .iter()
        .filter(|worker| !rests(worker) && workload_of(worker, topology, live).is_none())
        .map(|worker| worker.config.role.as_str())
        .collect();
    (!missing.is_empty()).then(|| {
        let message = format!(
            "no workers yet of {}: they are made once what they need stands, see the other conditions",
            missing.join(", ")
        );
        Problem::waiting(ConditionType::WorkersAvailable, message)
    })
}

/// Fewer engines than shall run have the newest rules. `stood` tells whether all had these rules when the status was
/// written: that stands for as long as nobody can be asked.
pub(super) fn rules_not_loaded(
    bundle: &str,
    engines: u32,
    round: Option<&LastRound>,
    stood: bool,
) -> Option<Problem> {
    let Some(round) = round.filter(|round| round.incomplete.is_none()) else {
        return (engines > 0 && !stood).then(|| {
            let message =
                format!("{engines} alert workers could not be asked yet for the rules that they loaded");
            Problem::waiting(ConditionType::RulesLoaded, message)
        });
    };
    let loaded = round.summary.bundles.get(bundle).copied().unwrap_or(0);
    let asked = round.summary.answered.get(&Role::Alert).map_or(0, |(_, asked)| *asked);
    let wanted = engines.max(asked);
    (loaded < wanted).then(|| {
        Problem::waiting(
            ConditionType::RulesLoaded,
            format!("{loaded} of {wanted} alert workers have loaded the newest rules"),
        )
    })
}

/// Engines that shall run, at least.
pub(super) fn engines(decision: &lifecycle::Decision) -> u32 {
    match decision.runs.get(&Role::Alert) {
        Some(Run::Fixed(count) | Run::Scaled { min: count, .. }) => (*count).into(),
        Some(Run::Resting) | None => 0,
    }
}

/// Conditions that nobody could look at, because what they rest on is missing.
pub(super) fn unplanned(problems: &[Problem]) -> Vec<Problem> {
    [ConditionType::RedisReady, ConditionType::WorkersAvailable, ConditionType::RulesLoaded]
        .into_iter()
        .filter(|kind| problems.iter().all(|problem| problem.condition != *kind))
        .map(|kind| Problem::waiting(kind, "nothing is changed until TopicsReady and UsersReady can be"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        plan,
        poll::workers::{PollFailure, Summary},
    };

    /// Of so many engines that were asked, so many have each bundle.
    fn round(asked: u32, bundles: &[(&str, u32)]) -> LastRound {
        let bundles = bundles.iter().map(|(hash, count)| ((*hash).to_owned(), *count)).collect();
        let answered = BTreeMap::from([(Role::Alert, (asked, asked))]);
        LastRound { incomplete: None, summary: Summary { answered, bundles, ..Summary::default() } }
    }

    fn said(engines: u32, round: Option<&LastRound>, stood: bool) -> Option<String> {
        rules_not_loaded("new", engines, round, stood).map(|problem| problem.message)
    }

    #[test]
    fn a_role_without_a_workload_is_no_role_that_has_its_workers() {
        let topology = plan::sample::pipeline("").topology;
        let mut runs: BTreeMap<Role, Run> =
            topology.workers.iter().map(|worker| (worker.config.role, Run::Fixed(1))).collect();
        let said = |runs: &BTreeMap<Role, Run>, live: &Live| {
            let decision =
                lifecycle::Decision { runs: runs.clone(), phase: None, drain: None, timed_out: Vec::new() };
            not_made(&decision, &topology, live).map(|problem| problem.message)
        };
        let mut live = Live::default();
        for worker in topology.workers.iter().filter(|worker| worker.config.role != Role::Archive) {
            let metadata = json!({"namespace": topology.pipeline.namespace, "name": worker.name});
            live.insert(
                OwnedKind::StatefulSet,
                serde_json::from_value(json!({"metadata": metadata})).unwrap(),
            );
        }
        assert!(said(&runs, &live).unwrap().starts_with("no workers yet of archive: "));
        runs.insert(Role::Archive, Run::Resting);
        assert_eq!(said(&runs, &live), None);
    }

    #[test]
    fn rules_are_loaded_once_every_engine_that_shall_run_said_so() {
        assert_eq!(said(2, Some(&round(2, &[("new", 2)])), false), None);
        let before_its_pods = said(2, Some(&round(0, &[])), true).unwrap();
        assert!(before_its_pods.starts_with("0 of 2 "), "{before_its_pods}");
        let one_of_them = said(2, Some(&round(1, &[("new", 1)])), true).unwrap();
        assert!(one_of_them.starts_with("1 of 2 "), "{one_of_them}");
        let beyond_the_fewest = said(1, Some(&round(3, &[("old", 1), ("new", 2)])), true).unwrap();
        assert!(beyond_the_fewest.starts_with("2 of 3 "), "{beyond_the_fewest}");
        assert_eq!(said(0, Some(&round(0, &[])), false), None, "a drained pipeline has no engines");
    }

    #[test]
    fn what_engines_said_stands_while_they_cannot_be_asked_and_nobody_speaks_for_them() {
        let unlisted = LastRound { incomplete: Some(PollFailure::NotListed), ..round(0, &[]) };
        for nobody in [None, Some(&unlisted)] {
            assert_eq!(said(2, nobody, true), None);
            assert!(said(2, nobody, false).unwrap().contains("could not be asked"));
            assert_eq!(said(0, nobody, false), None);
        }
    }
}
