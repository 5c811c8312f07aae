//! How many workers of a role may be evicted at once.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Plan, metadata};
use crate::{labels, owned_kinds::OwnedKind, validate::ValidPipeline};

/// Adds one budget for each role: one worker at a time, and a broken one never holds up a node's drain.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        let component = labels::component(worker.config.role);
        let budget = PodDisruptionBudget {
            metadata: metadata::owned(pipeline, component, worker.name.as_str()),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(metadata::pods_of(pipeline, component)),
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        };
        plan.add(OwnedKind::PodDisruptionBudget, &budget);
    }
}
