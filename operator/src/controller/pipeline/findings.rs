//! What the workers' answers mean for a pipeline's conditions.
//!
//! Must not: name a client.

use parking_crds::{
    condition::{ConditionType, Reason},
    role::Role,
    topology::Topology,
};

use crate::{
    error::Class,
    lifecycle::{self, Position, Positions},
    poll::workers::LastRound,
    problem::Problem,
    validate::ValidPipeline,
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

pub(super) fn rules_not_loaded(valid: &ValidPipeline, round: &LastRound) -> Option<Problem> {
    let hash = crate::plan::rule_bundle::bundle_hash(&valid.rules);
    let loaded = round.summary.bundles.get(&hash).copied().unwrap_or(0);
    let (_, asked) = round.summary.answered.get(&Role::Alert).copied().unwrap_or((0, 0));
    (loaded < asked).then(|| {
        Problem::waiting(
            ConditionType::RulesLoaded,
            format!("{loaded} of {asked} alert workers have loaded the newest rules"),
        )
    })
}

/// Conditions that nobody could look at, because what they rest on is missing.
pub(super) fn unplanned(problems: &[Problem]) -> Vec<Problem> {
    [ConditionType::RedisReady, ConditionType::WorkersAvailable, ConditionType::RulesLoaded]
        .into_iter()
        .filter(|kind| problems.iter().all(|problem| problem.condition != *kind))
        .map(|kind| Problem::waiting(kind, "nothing is changed until TopicsReady and UsersReady can be"))
        .collect()
}
