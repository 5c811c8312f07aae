//! Namespaces with pipelines, and the doubles of what stands around them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use parking_crds::{
    names::RuleName,
    role::Role,
    topology::PipelineId,
    worker_status::{RuleReport, RulesReport, WorkerPhase, WorkerStatus},
};
use parking_e2e::{
    kubernetes::{
        cluster::Cluster,
        error::Result,
        kubelet::{Kubelet, Rules},
        namespace::Namespace,
        strimzi::{Listener, Mode, Strimzi, make_kafka},
        worker::Behaviour,
    },
    minio::KEYS,
};
use serde_json::{Value, json};

const PIPELINE: &str = "parking.tinyx.io/pipeline";
const NAMESPACE: &str = "parking.tinyx.io/pipeline-namespace";
const COMPONENT: &str = "app.kubernetes.io/component";

/// The rules that alert workers say they have loaded, by the namespace and name of their pipeline.
pub(crate) type Bundles = Arc<Mutex<BTreeMap<(String, String), RulesReport>>>;

/// A namespace with its Kafka and its kubelet; gone with the value.
pub(crate) struct Town {
    pub(crate) kubelet: Kubelet,
    pub(crate) _strimzi: Strimzi,
    pub(crate) namespace: Namespace,
}

impl Town {
    pub(crate) async fn start(cluster: &Cluster, bundles: &Bundles) -> Result<Self> {
        let namespace = Namespace::create(cluster).await?;
        let listener = Listener { name: "tls", port: 9093, tls: true, authentication: Some("tls") };
        make_kafka(&namespace, "events", &[listener], Some("simple")).await?;
        let strimzi = Strimzi::start(&namespace, "events", Mode::Prompt)?;
        let (bundles, name) = (Arc::clone(bundles), namespace.name().to_owned());
        let workers = Box::new(move |pod: &Pod| Some(Behaviour::Answers(status(&name, pod, &bundles)?)));
        let kubelet = Kubelet::start(&namespace, Rules { workers, ..Rules::default() }).await?;
        namespace.apply(&surroundings()).await?;
        Ok(Self { kubelet, _strimzi: strimzi, namespace })
    }
}

fn status(namespace: &str, pod: &Pod, bundles: &Bundles) -> Option<WorkerStatus> {
    let component = pod.labels().get(COMPONENT)?;
    let role = Role::ALL.into_iter().find(|role| role.as_str() == component)?;
    let pipeline = pod.labels().get(PIPELINE)?;
    let bundles = bundles.lock().unwrap_or_else(PoisonError::into_inner);
    let rules = bundles.get(&(namespace.to_owned(), pipeline.clone())).cloned();
    Some(WorkerStatus {
        pipeline: PipelineId { namespace: namespace.parse().ok()?, name: pipeline.parse().ok()? },
        role,
        version: "0.1.0".to_owned(),
        phase: WorkerPhase::Running,
        partitions: Vec::new(),
        rules: rules.filter(|_| role == Role::Alert),
        problems: Vec::new(),
    })
}

/// Lets every alert worker load what the bundle of its pipeline holds now.
pub(crate) async fn load_bundles(client: &Client, towns: &[Town], bundles: &Bundles) -> Result<()> {
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let list = maps.list(&ListParams::default().labels(&format!("{COMPONENT}=rules"))).await?;
    let mut found = BTreeMap::<(String, String), RulesReport>::new();
    for map in list {
        let label = |key| map.labels().get(key).cloned().unwrap_or_default();
        let empty = || RulesReport { bundle: String::new(), rules: BTreeMap::new() };
        let report = found.entry((label(NAMESPACE), label(PIPELINE))).or_insert_with(empty);
        for (key, text) in map.data.unwrap_or_default() {
            if key == "manifest.json" {
                let manifest: Value = serde_json::from_str(&text).unwrap();
                manifest["hash"].as_str().unwrap_or_default().clone_into(&mut report.bundle);
            } else if key.starts_with("shard-") {
                let hashes: BTreeMap<RuleName, String> = serde_json::from_str(&text).unwrap();
                let reports = hashes
                    .into_iter()
                    .map(|(name, hash)| (name, RuleReport { hash, ..RuleReport::default() }));
                report.rules.extend(reports);
            }
        }
    }
    let before = std::mem::replace(&mut *bundles.lock().unwrap(), found.clone());
    found.retain(|pipeline, report| before.get(pipeline) != Some(report));
    for town in towns.iter().filter(|_| !found.is_empty()) {
        for pod in town.kubelet.workers() {
            town.kubelet.worker(&pod, |worker| worker.change(|status| load(status, &found)));
        }
    }
    Ok(())
}

fn load(status: &mut WorkerStatus, changed: &BTreeMap<(String, String), RulesReport>) {
    let pipeline = (status.pipeline.namespace.to_string(), status.pipeline.name.to_string());
    if status.role == Role::Alert
        && let Some(report) = changed.get(&pipeline)
    {
        status.rules = Some(report.clone());
    }
}

fn surroundings() -> String {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"},
        "stringData": {"accessKey": KEYS.0, "secretKey": KEYS.1},
    });
    let inventory = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "city-inventory"},
        "data": {"inventory.yaml": "
revisions:
- validFrom: 2026-01-01T00:00:00Z
  timeZone: Europe/London
  zones:
  - id: b73d6a5b-0cf9-5c50-872b-fd025065eae2
    userZoneId: Z1
    name: First
    capacity: 10
    class: general
    staleAfter: 1h
    devices:
    - {id: 4063de01-e745-59a2-94db-1d0989b678b7, type: data_feed}
"},
    });
    format!("{secret}\n---\n{inventory}")
}
