//! How the workloads of a pipeline stand: pods wanted and ready, rolls under way, pods that fail.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::ResourceExt;
use parking_crds::condition::{ConditionType, Reason};

use crate::{
    error::Class,
    labels,
    live::{Live, typed},
    owned_kinds::OwnedKind,
    problem::Problem,
    removal::is_role,
};

/// How the workers of a pipeline stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkersStand {
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that shall run.
    pub wanted: u32,
    /// Whether pods are being replaced.
    pub rolling: bool,
    /// Whether pods fail.
    pub failing: bool,
    /// What is wrong or awaited.
    pub problems: Vec<Problem>,
}

/// Reasons of a waiting container that only an edit or another object ends.
const FAILURES: [&str; 7] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// One workload, whatever its kind.
struct Workload {
    component: String,
    wanted: u32,
    ready: u32,
    updated: bool,
    observed: bool,
}

/// Judges the workloads of the roles; Redis is judged by what its servers say.
pub fn workers(live: &Live, pods: &[Pod]) -> WorkersStand {
    let mut stand = WorkersStand::default();
    let sets = live.of_kind(OwnedKind::StatefulSet).filter_map(|o| typed(o).as_ref().map(stateful_set));
    let deployments = live.of_kind(OwnedKind::Deployment).filter_map(|o| typed(o).as_ref().map(deployment));
    for workload in sets.chain(deployments).filter(|workload| is_role(&workload.component)) {
        stand.ready += workload.ready.min(workload.wanted);
        stand.wanted += workload.wanted;
        stand.rolling |= !workload.observed || !workload.updated;
        if workload.ready < workload.wanted || !workload.observed {
            stand.problems.push(Problem::waiting(
                ConditionType::WorkersAvailable,
                format!("{} has {} of {} workers ready", workload.component, workload.ready, workload.wanted),
            ));
        }
    }
    for (pod, component, why) in pods.iter().filter_map(failure) {
        stand.failing = true;
        stand.problems.push(Problem {
            condition: ConditionType::WorkersAvailable,
            reason: Reason::RolloutFailed,
            class: Class::Blocked,
            message: format!(
                "pod {pod} of {component} does not start ({why}): see `kubectl describe pod {pod}`, then mend the image, Secret or setting that it names"
            ),
        });
    }
    stand
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn component<T: ResourceExt>(object: &T) -> String {
    object.labels().get(labels::COMPONENT).cloned().unwrap_or_default()
}

fn stateful_set(set: &StatefulSet) -> Workload {
    let wanted = count(set.spec.as_ref().and_then(|spec| spec.replicas));
    let status = set.status.clone().unwrap_or_default();
    Workload {
        component: component(set),
        wanted,
        ready: count(status.ready_replicas),
        updated: count(status.updated_replicas) >= wanted
            || status.current_revision == status.update_revision,
        observed: status.observed_generation == set.metadata.generation,
    }
}

fn deployment(deployment: &Deployment) -> Workload {
    let wanted = count(deployment.spec.as_ref().and_then(|spec| spec.replicas));
    let status = deployment.status.clone().unwrap_or_default();
    Workload {
        component: component(deployment),
        wanted,
        ready: count(status.ready_replicas),
        updated: count(status.updated_replicas) >= wanted
            && count(status.replicas) <= wanted.max(count(status.updated_replicas)),
        observed: status.observed_generation == deployment.metadata.generation,
    }
}

/// Why a pod of a role does not start, if it does not.
fn failure(pod: &Pod) -> Option<(String, String, String)> {
    let component = component(pod);
    if !is_role(&component) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let waiting = statuses.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let reason =
        waiting.filter_map(|waiting| waiting.reason.as_deref()).find(|reason| FAILURES.contains(reason))?;
    Some((pod.name_any(), component, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen_by_the_controller(generation: i64) -> Live {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "city-occupancy", "namespace": "parking", "generation": 2,
                         "labels": {labels::COMPONENT: "occupancy"}},
            "spec": {"replicas": 3, "selector": {}, "serviceName": "x", "template": {}},
            "status": {"observedGeneration": generation, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3},
        });
        let mut live = Live::default();
        live.insert(OwnedKind::StatefulSet, serde_json::from_value(set).unwrap());
        live
    }

    #[test]
    fn a_settled_workload_has_nothing_to_say() {
        let stand = workers(&seen_by_the_controller(2), &[]);
        assert_eq!((stand.ready, stand.wanted, stand.rolling), (3, 3, false));
        assert_eq!(stand.problems, []);
    }

    #[test]
    fn a_spec_that_nobody_looked_at_yet_is_no_state() {
        let stand = workers(&seen_by_the_controller(1), &[]);
        assert!(stand.rolling);
        assert_eq!(stand.problems[0].reason, Reason::Waiting);
    }

    #[test]
    fn a_pod_that_cannot_start_is_named_with_its_reason() {
        let pod = json!({
            "metadata": {"name": "city-occupancy-2", "labels": {labels::COMPONENT: "occupancy"}},
            "status": {"containerStatuses": [{"name": "worker", "image": "x", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
        });
        let stand = workers(&seen_by_the_controller(2), &[serde_json::from_value(pod).unwrap()]);
        assert!(stand.failing);
        assert!(
            stand.problems[0].message.contains("city-occupancy-2")
                && stand.problems[0].message.contains("ImagePullBackOff")
        );
    }
}
