//! What the double of a worker reports of itself as long as a test wants nothing else of it.
//!
//! Must not: evaluate a rule. Invariant: as a real worker, it loads a bundle only when manifest and lists belong
//! together; `ConfigMap`s change one after another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt as _;
use parking_crds::{
    names::RuleName,
    role::Role,
    topology::PipelineId,
    worker_status::{RuleReport, RulesReport, WorkerPhase, WorkerStatus},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::kubelet::Kubelet;

/// Label with the name of an object's pipeline.
pub const PIPELINE: &str = "parking.tinyx.io/pipeline";
/// Label with the part of a pipeline that an object belongs to.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Component of the `ConfigMap`s of a rule bundle.
pub const BUNDLE: &str = "rules";

/// A worker that runs; only those of alerts have loaded rules. None for a pod of another kind.
#[must_use]
pub fn running(pod: &Pod, rules: Option<RulesReport>) -> Option<WorkerStatus> {
    let component = pod.labels().get(COMPONENT)?;
    let role = Role::ALL.into_iter().find(|role| role.as_str() == component)?;
    let (namespace, name) = (pod.namespace()?.parse().ok()?, pod.labels().get(PIPELINE)?.parse().ok()?);
    Some(WorkerStatus {
        pipeline: PipelineId { namespace, name },
        role,
        version: "0.1.0".to_owned(),
        phase: WorkerPhase::Running,
        partitions: Vec::new(),
        rules: rules.filter(|_| role == Role::Alert),
        problems: Vec::new(),
    })
}

/// Lets every alert worker of a kubelet report the rules that it is given now; one that is given none stays as it is.
pub fn load(kubelet: &Kubelet, rules: impl Fn(&WorkerStatus) -> Option<RulesReport>) {
    let take = |status: &mut WorkerStatus| {
        if status.role == Role::Alert
            && let Some(rules) = rules(status)
        {
            status.rules = Some(rules);
        }
    };
    for pod in kubelet.workers() {
        kubelet.worker(&pod, |worker| worker.change(take));
    }
}

/// What alert workers report that have loaded the bundle of these `ConfigMap`s; none before it is whole.
#[must_use]
pub fn loaded(bundle: impl IntoIterator<Item = ConfigMap>) -> Option<RulesReport> {
    let files: BTreeMap<String, String> = bundle.into_iter().filter_map(|map| map.data).flatten().collect();
    let manifest: Value = serde_json::from_str(files.get("manifest.json")?).ok()?;
    let shards = files.iter().filter(|(file, _)| file.starts_with("shard-"));
    let hashes: Vec<BTreeMap<RuleName, String>> =
        shards.map(|(_, text)| serde_json::from_str(text).ok()).collect::<Option<_>>()?;
    let rules: BTreeMap<RuleName, String> = hashes.into_iter().flatten().collect();
    let lines: Vec<String> = rules.iter().map(|(name, hash)| format!("{name}={hash}\n")).collect();
    let bundle = format!("{:x}", Sha256::digest(lines.concat()));
    let reports = rules.into_iter().map(|(name, hash)| (name, RuleReport { hash, ..RuleReport::default() }));
    (manifest.get("hash")?.as_str()? == bundle).then(|| RulesReport { bundle, rules: reports.collect() })
}
