//! A city in a namespace of its own: everything that a pipeline needs around it, and an operator that serves only it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use parking_crds::{
    names::RuleName,
    pipeline::ParkingPipeline,
    role::Role,
    topology::PipelineId,
    worker_status::{RuleReport, RulesReport, WorkerPhase, WorkerStatus},
};
use parking_e2e::{
    kubernetes::{
        chart,
        cluster::Cluster,
        interceptor::Interceptor,
        kubelet::{Kubelet, Rules},
        namespace::Namespace,
        operator::{Identity, Operator},
        strimzi::{Listener, Mode, Strimzi, make_kafka},
        wait::eventually,
        worker::Behaviour,
    },
    minio::{KEYS, Minio},
};
use serde_json::{Value, json};

/// How long anything may take, on a machine that does other things as well.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Name of the pipeline.
pub(crate) const PIPELINE: &str = "city";

/// What exists around a pipeline; gone with the value.
pub(crate) struct City {
    pub(crate) operator: Option<Operator>,
    pub(crate) identity: Identity,
    pub(crate) kubelet: Kubelet,
    pub(crate) strimzi: Strimzi,
    pub(crate) namespace: Namespace,
    loaded: Arc<Mutex<Option<RulesReport>>>,
}

/// One object store for all tests of this binary.
fn object_store() -> &'static Minio {
    static STORE: OnceLock<Minio> = OnceLock::new();
    STORE.get_or_init(|| Minio::start().unwrap())
}

impl City {
    /// Surroundings and operator, and no pipeline yet.
    pub(crate) async fn start() -> Self {
        let mut city = Self::without_operator().await;
        city.start_operator().await;
        city
    }

    pub(crate) async fn without_operator() -> Self {
        let cluster = Cluster::join().await.unwrap();
        let namespace = Namespace::create(&cluster).await.unwrap();
        let listener = Listener { name: "tls", port: 9093, tls: true, authentication: Some("tls") };
        make_kafka(&namespace, "events", &[listener], Some("simple")).await.unwrap();
        let strimzi = Strimzi::start(&namespace, "events", Mode::Prompt).unwrap();
        let loaded: Arc<Mutex<Option<RulesReport>>> = Arc::default();
        let (rules, name) = (Arc::clone(&loaded), namespace.name().to_owned());
        let workers = Box::new(move |pod: &Pod| {
            let role = role_of(pod)?;
            Some(Behaviour::Answers(status(&name, role, rules.lock().unwrap().clone())))
        });
        let kubelet = Kubelet::start(&namespace, Rules { workers, ..Rules::default() }).await.unwrap();
        namespace.apply(&surroundings()).await.unwrap();
        let rendered = chart::render(
            &cluster,
            namespace.name(),
            namespace.name(),
            &[
                "scope=namespaced",
                &format!("namespaces={{{}}}", namespace.name()),
                &format!("kafkaNamespaces.{0}={{{0}}}", namespace.name()),
            ],
        )
        .unwrap();
        let (rights, account) = chart::rights(&rendered).unwrap();
        let identity = Identity { namespace: namespace.name().to_owned(), account };
        let identity = identity.create(&cluster, &rights).await.unwrap();
        Self { operator: None, identity, kubelet, strimzi, namespace, loaded }
    }

    pub(crate) async fn start_operator(&mut self) {
        let operator = self.another_operator("operator-0", None).await;
        self.operator = Some(operator);
    }

    /// The same, with all that it asks of the API server going through the interceptor.
    pub(crate) async fn start_operator_through(&mut self, interceptor: &Interceptor) {
        let operator = self.another_operator("operator-0", Some(interceptor)).await;
        self.operator = Some(operator);
    }

    /// A replica that the city does not keep.
    pub(crate) async fn another_operator(&self, replica: &str, through: Option<&Interceptor>) -> Operator {
        let name = self.namespace.name();
        let arguments = [
            "run",
            "--namespace",
            name,
            "--operator-namespace",
            name,
            "--lease-name",
            &self.identity.account,
            "--kafka-namespace",
            &format!("{name}={name}"),
            "--identity",
            replica,
            "--listen",
            "127.0.0.1:0",
            "--allow-loopback-endpoints",
        ];
        let cluster = self.namespace.cluster();
        let started = match through {
            Some(interceptor) => {
                Operator::start_through(interceptor, cluster, &self.identity, &arguments).await
            }
            None => Operator::start(cluster, &self.identity, &arguments).await,
        };
        started.unwrap()
    }

    /// Kills the operator, and removes the Lease of the dead: the next one need not wait for its end.
    pub(crate) async fn kill_operator(&mut self) {
        self.operator.take().unwrap().kill().unwrap();
        let leases: Api<Lease> = self.namespace.api();
        let gone = leases.delete(&self.identity.account, &DeleteParams::default()).await;
        assert!(
            gone.is_ok() || matches!(&gone, Err(kube::Error::Api(status)) if status.code == 404),
            "{gone:?}"
        );
    }

    /// The pipeline's manifest, as a user would write it.
    pub(crate) fn manifest(&self) -> Value {
        json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
            "metadata": {"name": PIPELINE, "namespace": self.namespace.name()},
            "spec": {
                "kafka": {"strimzi": {"cluster": "events"}},
                "redis": {"external": {"sentinels": ["sentinel.redis:26379"]}},
                "objectStore": {
                    "endpoint": object_store().endpoint(), "bucket": self.namespace.name(),
                    "credentialsSecretRef": {"name": "minio"},
                },
                "inventory": {"configMapRef": {"name": "city-inventory"}},
                "events": {"partitions": 3, "replicationFactor": 1},
            },
        })
    }

    /// Applies the manifest with a change.
    pub(crate) async fn apply(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest = self.manifest();
        change(&mut manifest);
        self.namespace.apply(&manifest.to_string()).await.unwrap();
    }

    pub(crate) fn pipelines(&self) -> Api<ParkingPipeline> {
        self.namespace.api()
    }

    /// Patches the pipeline's spec as a user does.
    pub(crate) async fn patch(&self, patch: Value) {
        self.pipelines().patch(PIPELINE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Lets the alert workers load the bundle, once it holds so many rules.
    pub(crate) async fn load_rules(&self, count: u64) {
        let maps: Api<ConfigMap> = self.namespace.api();
        let report = eventually("the rule bundle", LIMIT, async || {
            let manifest = maps.get(&format!("{PIPELINE}-rules")).await.map_err(|error| error.to_string())?;
            let text = manifest.data.unwrap_or_default().remove("manifest.json").ok_or("no manifest.json")?;
            let manifest: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if manifest["rules"] != count {
                return Err(text);
            }
            let bundle = manifest["hash"].as_str().ok_or("no hash")?.to_owned();
            Ok(RulesReport { bundle, rules: self.bundled().await })
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.log()));
        *self.loaded.lock().unwrap() = Some(report.clone());
        for pod in self.kubelet.workers() {
            self.kubelet.worker(&pod, |worker| {
                worker.change(|status| {
                    if status.role == Role::Alert {
                        status.rules = Some(report.clone());
                    }
                });
            });
        }
    }

    async fn bundled(&self) -> BTreeMap<RuleName, RuleReport> {
        let maps: Api<ConfigMap> = self.namespace.api();
        let list = maps.list(&ListParams::default()).await.unwrap();
        let shards =
            list.items.into_iter().filter(|map| map.name_any().starts_with(&format!("{PIPELINE}-rules-")));
        shards
            .flat_map(|map| map.data.unwrap_or_default())
            .filter(|(key, _)| key.starts_with("shard-"))
            .flat_map(|(_, text)| serde_json::from_str::<BTreeMap<RuleName, String>>(&text).unwrap())
            .map(|(name, hash)| (name, RuleReport { hash, ..RuleReport::default() }))
            .collect()
    }

    /// Waits until a condition of the pipeline has a status for its newest generation.
    pub(crate) async fn until(&self, condition: &str, status: &str) -> ParkingPipeline {
        let pipelines = self.pipelines();
        let found = eventually(&format!("{condition} is {status}"), LIMIT, async || {
            let pipeline = pipelines.get(PIPELINE).await.map_err(|error| error.to_string())?;
            let conditions = pipeline.status.clone().unwrap_or_default().conditions;
            let holds = conditions.iter().any(|found| {
                found.type_ == condition
                    && found.status == status
                    && found.observed_generation == pipeline.metadata.generation
            });
            let told: Vec<String> = conditions
                .iter()
                .map(|found| format!("{}={} {}: {}", found.type_, found.status, found.reason, found.message))
                .collect();
            if holds { Ok(pipeline) } else { Err(told.join("\n  ")) }
        })
        .await;
        match found {
            Ok(pipeline) => pipeline,
            Err(error) => panic!("{error}\noperator:\n{}", self.log()),
        }
    }

    /// A pipeline that does what its spec says.
    pub(crate) async fn ready(&self) -> ParkingPipeline {
        self.ready_with(0).await
    }

    /// The same, with so many rules.
    pub(crate) async fn ready_with(&self, rules: u64) -> ParkingPipeline {
        self.apply(|_| ()).await;
        self.load_rules(rules).await;
        self.until("Ready", "True").await
    }

    pub(crate) fn log(&self) -> String {
        self.operator.as_ref().map(|operator| operator.log().unwrap()).unwrap_or_default()
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

fn role_of(pod: &Pod) -> Option<Role> {
    let component = pod.labels().get("app.kubernetes.io/component")?;
    Role::ALL.into_iter().find(|role| role.as_str() == component)
}

fn status(namespace: &str, role: Role, rules: Option<RulesReport>) -> WorkerStatus {
    WorkerStatus {
        pipeline: PipelineId { namespace: namespace.parse().unwrap(), name: PIPELINE.parse().unwrap() },
        role,
        version: "0.1.0".to_owned(),
        phase: WorkerPhase::Running,
        partitions: Vec::new(),
        rules: rules.filter(|_| role == Role::Alert),
        problems: Vec::new(),
    }
}
