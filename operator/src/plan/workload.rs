//! What runs the workers of a role: a StatefulSet for stages, which own partitions and keep their names, a
//! Deployment for all others.
//!
//! # A bad image, applied and then mended
//! Stages start and stop in parallel. With ordered starts a StatefulSet whose newest revision never becomes
//! ready waits for it for ever, also after the template was mended, until somebody deletes the pod. In parallel
//! the update goes on: the pod with the highest number that is not of the newest revision is replaced whether
//! it is ready or not, and the next one only once it is. So a bad revision stops at one pod, and the next
//! revision begins with just that one. `maxUnavailable` of StatefulSets is not served everywhere and not set.
//! A Deployment starts one worker more before it stops one: its bad revision takes nothing away.
//!
//! Invariant: `replicas` is written exactly if no autoscaler holds the number.

use k8s_openapi::{
    api::apps::v1::{
        DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment, StatefulSetSpec,
        StatefulSetUpdateStrategy,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::core::DynamicObject;
use parking_crds::{
    role::Role,
    topology::{Replicas, WorkerPlan},
};
use serde_json::Value;

use super::{
    Plan, metadata, pod,
    pod_template::{self, Fixed},
};
use crate::{
    labels,
    owned_kinds::OwnedKind,
    validate::{Run, ValidPipeline},
};

/// Seconds that a worker must be ready before the next one is replaced: one commit and one poll of the lag.
const SETTLED_SECONDS: i32 = 5;
/// Former templates that are kept for `kubectl rollout undo`.
const HISTORY: i32 = 3;

/// Adds one workload for each role.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        let kind = kind_of(worker.config.role);
        plan.add(kind, &workload(pipeline, worker));
    }
}

/// The kind that runs a role.
pub(super) const fn kind_of(role: Role) -> OwnedKind {
    if role.owns_partitions() { OwnedKind::StatefulSet } else { OwnedKind::Deployment }
}

/// How many workers run; a role that nothing was decided for runs as the topology says.
pub(super) fn run_of(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Run {
    let planned = match worker.replicas {
        Replicas::Fixed(count) => Run::Fixed(count),
        Replicas::Scaled { min, max } => Run::Scaled { min, max },
    };
    pipeline.run.get(&worker.config.role).copied().unwrap_or(planned)
}

fn replicas(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Option<i32> {
    match run_of(pipeline, worker) {
        Run::Fixed(count) => Some(i32::from(count)),
        Run::Scaled { .. } => None,
        Run::Resting => Some(0),
    }
}

fn workload(pipeline: &ValidPipeline, worker: &WorkerPlan) -> DynamicObject {
    let component = labels::component(worker.config.role);
    let metadata = metadata::owned(pipeline, component, worker.name.as_str());
    let mut object = match kind_of(worker.config.role) {
        OwnedKind::StatefulSet => metadata::with_spec(metadata, &stateful_set(pipeline, worker)),
        _ => metadata::with_spec(metadata, &deployment(pipeline, worker)),
    };
    if let Some(spec) = object.data.pointer_mut("/spec").and_then(Value::as_object_mut) {
        spec.insert("template".to_owned(), template(pipeline, worker));
    }
    object
}

fn stateful_set(pipeline: &ValidPipeline, worker: &WorkerPlan) -> StatefulSetSpec {
    StatefulSetSpec {
        min_ready_seconds: Some(SETTLED_SECONDS),
        pod_management_policy: Some("Parallel".to_owned()),
        replicas: replicas(pipeline, worker),
        revision_history_limit: Some(HISTORY),
        selector: metadata::pods_of(pipeline, labels::component(worker.config.role)),
        service_name: Some(worker.name.to_string()),
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some("RollingUpdate".to_owned()),
            ..StatefulSetUpdateStrategy::default()
        }),
        ..StatefulSetSpec::default()
    }
}

fn deployment(pipeline: &ValidPipeline, worker: &WorkerPlan) -> DeploymentSpec {
    DeploymentSpec {
        min_ready_seconds: Some(SETTLED_SECONDS),
        replicas: replicas(pipeline, worker),
        revision_history_limit: Some(HISTORY),
        selector: metadata::pods_of(pipeline, labels::component(worker.config.role)),
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        }),
        ..DeploymentSpec::default()
    }
}

/// The operator's template with the user's merged over it. As JSON, so that a field of a newer Kubernetes than
/// this program knows arrives as it was written.
fn template(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Value {
    let planned = pod::template(pipeline, worker);
    let metadata = planned.metadata.clone().unwrap_or_default();
    let value = serde_json::to_value(&planned).unwrap_or_default();
    let written = pod::settings(pipeline, worker.config.role).and_then(|role| role.pod_template.as_ref());
    match written {
        None => value,
        Some(written) => {
            let (labels, annotations) = (metadata.labels, metadata.annotations);
            let fixed =
                Fixed { labels: labels.unwrap_or_default(), annotations: annotations.unwrap_or_default() };
            pod_template::merge(value, written, fixed)
        }
    }
}
