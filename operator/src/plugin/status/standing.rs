//! How a pipeline stands, as a tree: pure.
//!
//! Invariant: what was not read is left out or said to be unknown, never shown as zero.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
    jiff::Timestamp,
};
use kube::{ResourceExt, core::DynamicObject};
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, Reason, find},
    pipeline::PipelinePhase,
    role::Role,
    stats_job::StatsJob,
};

use super::{
    Seen,
    conditions::{branches, since},
};
use crate::{
    foreign::strimzi::{self, KafkaTopic, KafkaUser},
    labels,
    live::typed,
    owned_kinds::OwnedKind,
    plan::{redis, sentinel},
    plugin::{Branch, Tone},
    status::workers::workers,
};

/// The tree of a pipeline.
pub fn standing(seen: &Seen, now: Timestamp) -> Branch {
    let pipeline = &seen.pipeline;
    let status = pipeline.status.clone().unwrap_or_default();
    let mut below = vec![
        Branch::new("conditions", "", Tone::Plain).with(branches(
            &status.conditions,
            pipeline.metadata.generation,
            now,
        )),
        streams(seen, OwnedKind::KafkaTopic, "topics", now),
        streams(seen, OwnedKind::KafkaUser, "users", now),
        servers(seen, now),
        bucket(seen),
        roles(seen, now),
        rules(&seen.rules, now),
        jobs(&seen.jobs, now),
    ];
    let unreadable = seen.unreadable.iter().map(|what| Branch::new(what, "", Tone::Waiting));
    below.extend(unreadable);
    let (phase, tone) = phase(status.phase);
    let told = pipeline.annotations().get(labels::PHASE);
    Branch::new(
        format!("ParkingPipeline {}/{}", pipeline.namespace().unwrap_or_default(), pipeline.name_any()),
        phase,
        tone,
    )
    .since(since(pipeline.metadata.creation_timestamp.as_ref(), now))
    .because(told.map(|told| format!("told to be {told} by kubectl parking")).unwrap_or_default())
    .with(below)
}

fn phase(phase: Option<PipelinePhase>) -> (String, Tone) {
    let Some(phase) = phase else { return ("not looked at yet".to_owned(), Tone::Waiting) };
    let tone = match phase {
        PipelinePhase::Running => Tone::Good,
        PipelinePhase::Starting | PipelinePhase::Draining | PipelinePhase::Deleting => Tone::Waiting,
        PipelinePhase::Paused | PipelinePhase::Stopped => Tone::Plain,
        PipelinePhase::Failed => Tone::Bad,
    };
    (format!("{phase:?}"), tone)
}

/// `ready/all`, and how that is meant.
fn counted(name: &str, ready: usize, all: usize) -> Branch {
    Branch::new(name, format!("{ready}/{all}"), if ready == all { Tone::Good } else { Tone::Waiting })
}

fn streams(seen: &Seen, kind: OwnedKind, name: &str, now: Timestamp) -> Branch {
    if seen.pipeline.spec.kafka.strimzi.is_none() {
        return Branch::new(name, "made by whoever runs the external Kafka", Tone::Plain);
    }
    let below: Vec<Branch> = seen.live.of_kind(kind).map(|object| stream(object, kind, now)).collect();
    let ready = below.iter().filter(|branch| branch.tone == Tone::Good).count();
    counted(name, ready, below.len()).with(below)
}

fn stream(object: &DynamicObject, kind: OwnedKind, now: Timestamp) -> Branch {
    let conditions = match kind {
        OwnedKind::KafkaTopic => {
            typed::<KafkaTopic>(object).and_then(|topic| topic.status).map(|it| it.conditions)
        }
        _ => typed::<KafkaUser>(object).and_then(|user| user.status).map(|it| it.conditions),
    };
    let conditions = conditions.unwrap_or_default();
    let branch = match strimzi::condition(&conditions, "Ready") {
        Some(ready) if ready.status == "True" => Branch::new(object.name_any(), "ready", Tone::Good),
        Some(ready) => {
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            Branch::new(object.name_any(), "not ready", Tone::Bad).because(format!(
                "{}: {}",
                part(&ready.reason),
                part(&ready.message)
            ))
        }
        None => Branch::new(object.name_any(), "not looked at by Strimzi yet", Tone::Waiting),
    };
    branch.since(since(object.metadata.creation_timestamp.as_ref(), now))
}

fn servers(seen: &Seen, now: Timestamp) -> Branch {
    let conditions =
        seen.pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let (state, tone, reason) = match find(conditions, ConditionType::RedisReady) {
        None => ("not looked at yet", Tone::Waiting, String::new()),
        Some(ready) if ready.status == "True" => ("ready", Tone::Good, String::new()),
        Some(ready) => ("not ready", Tone::Bad, ready.message.clone()),
    };
    if seen.pipeline.spec.redis.managed.is_none() {
        return Branch::new("redis", "external", Tone::Plain).because(reason);
    }
    let of = |component: &str| -> Vec<Branch> {
        pods_of(seen, component).map(|pod| pod_branch(pod, now)).collect()
    };
    let (servers, sentinels) = (of(redis::COMPONENT), of(sentinel::COMPONENT));
    let ready = |pods: &[Branch]| pods.iter().filter(|pod| pod.tone == Tone::Good).count();
    let part = |name: &str, pods: Vec<Branch>| counted(name, ready(&pods), pods.len()).with(pods);
    Branch::new("redis", state, tone)
        .because(reason)
        .with(vec![part("servers", servers), part("sentinels", sentinels)])
}

fn pods_of<'a>(seen: &'a Seen, component: &'a str) -> impl Iterator<Item = &'a Pod> {
    seen.pods.iter().filter(move |pod| pod.labels().get(labels::COMPONENT).is_some_and(|of| of == component))
}

fn pod_branch(pod: &Pod, now: Timestamp) -> Branch {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
    let phase = status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".to_owned());
    let branch = if pod.metadata.deletion_timestamp.is_some() {
        Branch::new(pod.name_any(), "terminating", Tone::Waiting)
    } else if ready {
        Branch::new(pod.name_any(), "ready", Tone::Good)
    } else {
        Branch::new(pod.name_any(), phase.to_lowercase(), Tone::Waiting)
    };
    branch.since(since(pod.metadata.creation_timestamp.as_ref(), now))
}

fn bucket(seen: &Seen) -> Branch {
    let store = &seen.pipeline.spec.object_store;
    let name = format!("bucket {}", store.bucket);
    let conditions =
        seen.pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match find(conditions, ConditionType::BucketReady) {
        Some(ready) if ready.status == "True" => Branch::new(name, "ready", Tone::Good),
        Some(ready) => Branch::new(name, "not ready", Tone::Bad).because(&ready.message),
        None => Branch::new(name, "not looked at yet", Tone::Waiting),
    }
}

fn roles(seen: &Seen, now: Timestamp) -> Branch {
    let stand = workers(&seen.live, &seen.pods);
    let mut by_role: BTreeMap<Role, Branch> = BTreeMap::new();
    for role in Role::ALL {
        let workload = seen
            .live
            .iter()
            .filter(|(key, _)| matches!(key.kind, OwnedKind::StatefulSet | OwnedKind::Deployment))
            .find(|(_, object)| object.labels().get(labels::COMPONENT).is_some_and(|of| of == role.as_str()));
        let Some((key, object)) = workload else { continue };
        let Some((ready, wanted)) = replicas(key.kind, object) else { continue };
        let lag = match seen.lag.get(&role) {
            Some(lag) => format!("{lag} records to read"),
            None if role.owns_partitions() && wanted > 0 => "records to read not known".to_owned(),
            None => String::new(),
        };
        let unready: Vec<Branch> = pods_of(seen, role.as_str())
            .map(|pod| pod_branch(pod, now))
            .filter(|pod| pod.tone != Tone::Good)
            .collect();
        by_role.insert(role, counted(role.as_str(), ready, wanted).because(lag).with(unready));
    }
    let mut below: Vec<Branch> = by_role.into_values().collect();
    let failing = stand.problems.iter().filter(|problem| problem.reason == Reason::RolloutFailed);
    below.extend(failing.map(|problem| Branch::new(&problem.message, "", Tone::Bad)));
    let (ready, wanted) = (stand.ready as usize, stand.wanted as usize);
    counted("workers", ready, wanted)
        .because(if stand.rolling { "pods are being replaced" } else { "" })
        .with(below)
}

/// Ready and wanted pods of a workload; none where the object is none.
fn replicas(kind: OwnedKind, object: &DynamicObject) -> Option<(usize, usize)> {
    let (ready, wanted) = match kind {
        OwnedKind::StatefulSet => {
            let set: StatefulSet = typed(object)?;
            (set.status?.ready_replicas, set.spec?.replicas)
        }
        OwnedKind::Deployment => {
            let deployment: Deployment = typed(object)?;
            (deployment.status?.ready_replicas, deployment.spec?.replicas)
        }
        _ => return None,
    };
    let count = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).unwrap_or(0);
    Some((count(ready), count(wanted)))
}

fn rules(rules: &[AlertRule], now: Timestamp) -> Branch {
    let below: Vec<Branch> = rules.iter().map(|rule| rule_branch(rule, now)).collect();
    let good = below.iter().filter(|branch| branch.tone != Tone::Bad && branch.tone != Tone::Waiting).count();
    counted("rules", good, below.len()).with(below)
}

fn rule_branch(rule: &AlertRule, now: Timestamp) -> Branch {
    let name = rule.name_any();
    let age = since(rule.metadata.creation_timestamp.as_ref(), now);
    if !rule.spec.enabled() {
        return Branch::new(name, "switched off", Tone::Plain).since(age);
    }
    let status = rule.status.clone().unwrap_or_default();
    let accepted = find(&status.conditions, ConditionType::Accepted);
    let branch = match accepted {
        None => Branch::new(name, "not looked at yet", Tone::Waiting),
        Some(accepted) if accepted.status != "True" => {
            Branch::new(name, "refused", Tone::Bad).because(&accepted.message)
        }
        Some(_) => {
            let loaded = status.engines.is_none_or(|engines| engines.loaded >= engines.desired);
            let count = status.loaded.as_ref().map(|loaded| format!(", loaded {loaded}")).unwrap_or_default();
            let alerts = status
                .instances
                .map(|alerts| format!("{} firing, {} pending", alerts.firing, alerts.pending));
            Branch::new(name, format!("accepted{count}"), if loaded { Tone::Good } else { Tone::Waiting })
                .because(alerts.unwrap_or_default())
        }
    };
    branch.since(age)
}

fn jobs(jobs: &[StatsJob], now: Timestamp) -> Branch {
    let below: Vec<Branch> = jobs.iter().map(|job| job_branch(job, now)).collect();
    let good = below.iter().filter(|branch| branch.tone != Tone::Bad).count();
    counted("statistics", good, below.len()).with(below)
}

fn job_branch(job: &StatsJob, now: Timestamp) -> Branch {
    let status = job.status.clone().unwrap_or_default();
    let trouble = [ConditionType::Accepted, ConditionType::Ready, ConditionType::Complete]
        .into_iter()
        .filter_map(|kind| find(&status.conditions, kind))
        .find(|condition| condition.status == "False");
    let (state, tone) = if job.spec.suspend() {
        ("suspended".to_owned(), Tone::Plain)
    } else if let Some(result) = status.last_result {
        let failed = result == parking_crds::stats_job::RunResult::Failed;
        (format!("{result:?}"), if failed { Tone::Bad } else { Tone::Good })
    } else if trouble.is_some_and(|condition| condition.type_ != ConditionType::Complete.as_str()) {
        ("not ready".to_owned(), Tone::Bad)
    } else {
        ("no result yet".to_owned(), Tone::Waiting)
    };
    let mut words = Vec::new();
    words.extend(status.last_window.as_ref().map(|window| format!("last window {window}")));
    words.extend(status.next_run.as_ref().map(|next| format!("next run {}", next.0)));
    words.extend(trouble.map(|condition| condition.message.clone()));
    let active = status.active.iter().map(|run| Branch::new(format!("run {run}"), "goes on", Tone::Waiting));
    Branch::new(job.name_any(), state, tone)
        .because(words.join("; "))
        .since(since(job.metadata.creation_timestamp.as_ref(), now))
        .with(active.collect())
}

#[cfg(test)]
mod tests;
