//! Writing a pipeline's objects: which of them now, and which wait.

use std::collections::BTreeSet;

use parking_crds::{
    condition::{ConditionType, Reason},
    topology::PipelineId,
};

use crate::{
    apis::Apis,
    apply::{Applied, Writer, condition_of},
    error::Class,
    live::{Key, Observed},
    owned_kinds::OwnedKind,
    plan::{Plan, Planned, plan},
    problem::Problem,
    rollout::Turn,
    validate::{Assembled, ValidPipeline},
};

use super::super::{Context, redis};

/// What an apply came to, with what was found before it.
pub(super) struct Applying {
    pub(super) applied: Applied,
    /// Whether the rules that engines load are others now.
    pub(super) rules_changed: bool,
    pub(super) problems: Vec<Problem>,
}

pub(super) async fn apply(
    valid: &ValidPipeline,
    assembled: &Assembled,
    observed: &Observed,
    managed: &redis::Looked,
    apis: &Apis,
    context: &Context,
) -> Applying {
    let mut wanted = plan(valid);
    redis::keep_servers(&mut wanted, valid, managed.report.keep_servers);
    redis::grow(&mut wanted, valid, &assembled.grow);
    let mut problems = Vec::new();
    let mut keep = without_secrets(&wanted, valid);
    wanted.objects.retain(|object| !keep.contains(&object.key()));
    let rolls = rolling(&wanted, observed);
    if !rolls.is_empty()
        && let Turn::Wait { behind, failing } = context.rollouts.ask(&valid.id, &context.all_pipelines())
    {
        problems.push(waits_for_others(&behind, failing));
        wanted.objects.retain(|object| !rolls.contains(&object.key()));
        keep.extend(rolls);
    }
    let writer = Writer::new(&context.client, apis, &observed.live);
    let applied = writer.apply(&wanted, &keep).await;
    problems.extend(just_written(&wanted, &applied));
    let rules_changed = wanted
        .objects
        .iter()
        .filter(|object| condition_of(object) == ConditionType::RulesLoaded)
        .any(|object| applied.changed().contains(&object.key()));
    Applying { applied, rules_changed, problems }
}

/// Workloads of roles of which a Secret is missing: their pods could not start, and would roll once it comes.
fn without_secrets(wanted: &Plan, valid: &ValidPipeline) -> BTreeSet<Key> {
    let missing: BTreeSet<&str> = valid
        .topology
        .workers
        .iter()
        .filter(|worker| !valid.secret_hashes.contains_key(&worker.config.role))
        .map(|worker| worker.name.as_str())
        .collect();
    let workloads = wanted.objects.iter().filter(|object| is_workload(object.kind));
    workloads.filter(|object| missing.contains(object.name.as_str())).map(Planned::key).collect()
}

const fn is_workload(kind: OwnedKind) -> bool {
    matches!(kind, OwnedKind::StatefulSet | OwnedKind::Deployment)
}

/// What was seen of an object before it was written says nothing of how it stands now.
fn just_written(wanted: &Plan, applied: &Applied) -> Vec<Problem> {
    let counts = |kind| is_workload(kind) || matches!(kind, OwnedKind::KafkaTopic | OwnedKind::KafkaUser);
    wanted
        .objects
        .iter()
        .filter(|object| counts(object.kind) && applied.changed().contains(&object.key()))
        .map(|object| Problem::waiting(condition_of(object), format!("{} was just written", object.key())))
        .collect()
}

/// Workloads of roles whose pods would be replaced.
fn rolling(wanted: &Plan, observed: &Observed) -> BTreeSet<Key> {
    const TEMPLATE: &str = "/spec/template";
    let workloads = wanted.objects.iter().filter(|object| {
        is_workload(object.kind)
            && object.manifest.pointer("/spec/updateStrategy/type").is_none_or(|kind| kind != "OnDelete")
    });
    workloads
        .filter(|object| {
            let live = observed.live.get(&object.key()).and_then(|live| live.data.pointer(TEMPLATE));
            match (live, object.manifest.pointer(TEMPLATE)) {
                (Some(live), Some(planned)) => !crate::drift::covers(live, planned),
                _ => false,
            }
        })
        .map(Planned::key)
        .collect()
}

fn waits_for_others(behind: &[PipelineId], failing: bool) -> Problem {
    let names: Vec<String> = behind.iter().map(PipelineId::to_string).collect();
    let names =
        if names.is_empty() { "the first look at all pipelines".to_owned() } else { names.join(", ") };
    let cure = if failing { ", whose new pods fail: mend it first" } else { "" };
    Problem {
        condition: ConditionType::WorkersAvailable,
        reason: Reason::RolloutWaiting,
        class: Class::Blocked,
        message: format!("new pods wait for {names}{cure}"),
    }
}
