//! The identity of a role's pods.
//!
//! Invariant: no token is mounted; workers never ask the API server.

use k8s_openapi::api::core::v1::ServiceAccount;
use parking_crds::topology::WorkerPlan;

use super::{Plan, metadata};
use crate::{labels, owned_kinds::OwnedKind, validate::ValidPipeline};

/// Adds one account for each role. It carries no owner: the pods need it until they are gone.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        plan.add(OwnedKind::ServiceAccount, &account(pipeline, worker));
    }
}

fn account(pipeline: &ValidPipeline, worker: &WorkerPlan) -> ServiceAccount {
    let component = labels::component(worker.config.role);
    let mut metadata = metadata::unowned(pipeline, component, worker.name.as_str());
    let written = &pipeline.spec.service_account_annotations;
    metadata.annotations = (!written.is_empty()).then(|| written.clone());
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}
