//! The file that tells the workers of a role what to do, and the hash that rolls them when it changes.
//!
//! Invariant: rules and inventory are not in the hash: workers load them again while they run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use parking_crds::topology::WorkerPlan;
use sha2::{Digest, Sha256};

use super::{Plan, metadata};
use crate::{labels, owned_kinds::OwnedKind, validate::ValidPipeline};

/// Key of the file in its `ConfigMap`.
pub(super) const KEY: &str = "worker.yaml";

/// Adds one `ConfigMap` for each role.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        let component = labels::component(worker.config.role);
        let file = ConfigMap {
            metadata: metadata::owned(pipeline, component, worker.name.as_str()),
            data: Some(BTreeMap::from([(KEY.to_owned(), text(worker))])),
            ..ConfigMap::default()
        };
        plan.add(OwnedKind::ConfigMap, &file);
    }
}

/// Hash over the file and the Secrets that the role mounts, in hexadecimal.
pub(crate) fn hash(pipeline: &ValidPipeline, worker: &WorkerPlan) -> String {
    let secrets = pipeline.secret_hashes.get(&worker.config.role).map_or("", String::as_str);
    let digest = Sha256::new().chain_update(text(worker)).chain_update([0]).chain_update(secrets).finalize();
    let mut hash = format!("{digest:x}");
    hash.truncate(32);
    hash
}

/// A configuration that cannot be written leaves a file that workers refuse with the same sentence.
fn text(worker: &WorkerPlan) -> String {
    worker.config.to_yaml().unwrap_or_else(|error| format!("refused: {:?}\n", error.to_string()))
}
