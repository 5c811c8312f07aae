//! A city in a namespace of its own: everything that a pipeline needs around it, and an operator that serves only it.

use std::{sync::OnceLock, time::Duration};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, holds},
    pipeline::ParkingPipeline,
};
use parking_e2e::{
    kubernetes::{
        chart,
        cluster::Cluster,
        interceptor::Interceptor,
        kubelet::Kubelet,
        namespace::Namespace,
        operator::{Identity, Operator},
        strimzi::Strimzi,
        surroundings::{INVENTORY, KAFKA, STORE_KEYS, Surroundings},
        wait::eventually,
    },
    minio::Minio,
};
use serde_json::{Value, json};

use crate::{whole_suite, workers::Workers};

/// How long anything may take, on a machine that does other things as well.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Name of the pipeline.
pub(crate) const PIPELINE: &str = "city";

/// Probes at a port that is free.
const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// What exists around a pipeline; gone with the value.
pub(crate) struct City {
    pub(crate) operator: Option<Operator>,
    pub(crate) identity: Identity,
    pub(crate) kubelet: Kubelet,
    pub(crate) strimzi: Strimzi,
    pub(crate) namespace: Namespace,
    endpoint: String,
    /// Where the operator lives, when that is not the city's namespace.
    home: Option<Namespace>,
    workers: Workers,
}

/// Where the buckets of all cities are, but for those on a cluster of their own.
fn shared_store() -> String {
    static STORE: OnceLock<Minio> = OnceLock::new();
    STORE.get_or_init(|| Minio::start().unwrap()).endpoint()
}

impl City {
    /// Where the buckets are.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Surroundings and operator, and no pipeline yet.
    pub(crate) async fn start() -> Self {
        let mut city = Self::without_operator().await;
        city.start_operator().await;
        city
    }

    pub(crate) async fn without_operator() -> Self {
        let cluster = Cluster::join().await.unwrap();
        Self::around(&cluster, shared_store(), "namespaced", None).await
    }

    /// An operator that lives in a namespace of its own, with the rights of that scope of the chart.
    pub(crate) async fn with_operator_elsewhere(scope: &str) -> Self {
        let cluster = Cluster::join().await.unwrap();
        let home = Namespace::create(&cluster).await.unwrap();
        let mut city = Self::around(&cluster, shared_store(), scope, Some(home)).await;
        city.start_operator().await;
        city
    }

    /// Surroundings on any cluster, with an object store that can be reached from there.
    pub(crate) async fn on(cluster: &Cluster, endpoint: String) -> Self {
        Self::around(cluster, endpoint, "namespaced", None).await
    }

    async fn around(cluster: &Cluster, endpoint: String, scope: &str, home: Option<Namespace>) -> Self {
        let namespace = Namespace::create(cluster).await.unwrap();
        let workers = Workers::default();
        let Surroundings { kubelet, strimzi } =
            Surroundings::start(&namespace, workers.behaviour()).await.unwrap();
        let (scope, place) = (format!("scope={scope}"), home.as_ref().unwrap_or(&namespace).name());
        let mut values = vec![scope.clone()];
        if scope == "scope=namespaced" {
            values.push(format!("namespaces={{{}}}", namespace.name()));
            values.push(format!("kafkaNamespaces.{0}={{{0}}}", namespace.name()));
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let rendered = chart::render(cluster, place, place, &values).unwrap();
        let (rights, account) = chart::rights(&rendered).unwrap();
        let identity = Identity { namespace: place.to_owned(), account };
        let identity = identity.create(cluster, &rights).await.unwrap();
        whole_suite::granted(&identity, &rights);
        Self { operator: None, identity, kubelet, strimzi, namespace, endpoint, home, workers }
    }

    pub(crate) async fn start_operator(&mut self) {
        self.start_operator_with(&[]).await;
    }

    /// The same, with probes at a known address.
    pub(crate) async fn start_operator_listening(&mut self, address: &str) {
        self.operator = Some(self.replica("operator-0", &["--listen", address], None).await);
    }

    /// The same, with more arguments.
    pub(crate) async fn start_operator_with(&mut self, more: &[&str]) {
        let arguments = [&ANY_PORT, more].concat();
        self.operator = Some(self.replica("operator-0", &arguments, None).await);
    }

    /// The same, with all that it asks of the API server going through the interceptor.
    pub(crate) async fn start_operator_through(&mut self, interceptor: &Interceptor) {
        self.operator = Some(self.another_operator("operator-0", Some(interceptor)).await);
    }

    /// A replica that the city does not keep.
    pub(crate) async fn another_operator(&self, replica: &str, through: Option<&Interceptor>) -> Operator {
        self.replica(replica, &ANY_PORT, through).await
    }

    async fn replica(&self, replica: &str, more: &[&str], through: Option<&Interceptor>) -> Operator {
        let name = self.namespace.name();
        let kafka = format!("{name}={name}");
        let usual = [
            "run",
            "--namespace",
            name,
            "--operator-namespace",
            self.home.as_ref().unwrap_or(&self.namespace).name(),
            "--lease-name",
            &self.identity.account,
            "--kafka-namespace",
            &kafka,
            "--identity",
            replica,
            "--allow-loopback-endpoints",
            // What workers have loaded is waited for by most tests.
            "--worker-poll",
            "2s",
        ];
        let arguments = [&usual, more].concat();
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
        let client = self.namespace.client();
        let leases: Api<Lease> = Api::namespaced(client, &self.identity.namespace);
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
                "kafka": {"strimzi": {"cluster": KAFKA}},
                "redis": {"external": {"sentinels": ["sentinel.redis:26379"]}},
                "objectStore": {
                    "endpoint": self.endpoint, "bucket": self.namespace.name(),
                    "credentialsSecretRef": {"name": STORE_KEYS},
                },
                "inventory": {"configMapRef": {"name": INVENTORY}},
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
    pub(crate) async fn load_rules(&self, count: usize) {
        self.load_rules_of(PIPELINE, count).await;
    }

    /// The same of another pipeline.
    pub(crate) async fn load_rules_of(&self, pipeline: &str, count: usize) {
        let loaded = self.workers.load_rules(&self.namespace, &self.kubelet, pipeline, count).await;
        loaded.unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.log()));
    }

    /// Waits until a condition of the pipeline has a status for its newest generation.
    pub(crate) async fn until(&self, condition: &str, status: &str) -> ParkingPipeline {
        self.until_within(LIMIT, PIPELINE, condition, status).await
    }

    /// The same of one of several pipelines, which take their time.
    pub(crate) async fn until_of(&self, name: &str, condition: &str, status: &str) -> ParkingPipeline {
        self.until_within(3 * LIMIT, name, condition, status).await
    }

    async fn until_within(
        &self,
        limit: Duration,
        name: &str,
        condition: &str,
        status: &str,
    ) -> ParkingPipeline {
        let found = eventually(&format!("{condition} of {name} is {status}"), limit, async || {
            self.standing(name, condition, status).await
        })
        .await;
        match found {
            Ok(pipeline) => pipeline,
            Err(error) => panic!("{error}\noperator:\n{}", self.log()),
        }
    }

    /// The pipeline, if a condition has a status for its newest generation; else what it tells.
    pub(crate) async fn standing(
        &self,
        name: &str,
        condition: &str,
        status: &str,
    ) -> Result<ParkingPipeline, String> {
        let pipeline = self.pipelines().get(name).await.map_err(|error| error.to_string())?;
        let holds = pipeline.status.iter().flat_map(|status| &status.conditions).any(|found| {
            found.type_ == condition
                && found.status == status
                && found.observed_generation == pipeline.metadata.generation
        });
        if holds { Ok(pipeline) } else { Err(told(&pipeline)) }
    }

    /// Waits until every rule that is switched on is evaluated as it is written: workers are asked for what they have
    /// loaded now and then only.
    pub(crate) async fn until_rules_are_active(&self) {
        let rules: Api<AlertRule> = self.namespace.api();
        eventually("active rules", 2 * LIMIT, async || {
            let list = rules.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let waits = list.items.iter().filter(|rule| rule.spec.enabled()).find(|rule| {
                let status = rule.status.clone().unwrap_or_default();
                let generation = rule.metadata.generation.unwrap_or_default();
                !holds(&status.conditions, ConditionType::Active, generation)
            });
            waits.map_or(Ok(()), |rule| Err(format!("{}: {:?}", rule.name_any(), rule.status)))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.log()));
    }

    /// Deletes the pipeline and waits for nothing.
    pub(crate) async fn delete(&self) {
        self.pipelines().delete(PIPELINE, &DeleteParams::background()).await.unwrap();
    }

    /// Waits until the pipeline of that name does not exist.
    pub(crate) async fn until_gone(&self, name: &str) {
        let pipelines = self.pipelines();
        eventually(&format!("{name} is gone"), LIMIT, async || {
            match pipelines.get_opt(name).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(pipeline) => Err(format!("{:?}", pipeline.status.map(|status| status.conditions))),
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.log()));
    }

    /// A pipeline that does what its spec says.
    pub(crate) async fn ready(&self) -> ParkingPipeline {
        self.ready_with(0).await
    }

    /// The same, with so many rules.
    pub(crate) async fn ready_with(&self, rules: usize) -> ParkingPipeline {
        self.apply(|_| ()).await;
        self.load_rules(rules).await;
        self.until("Ready", "True").await
    }

    pub(crate) fn log(&self) -> String {
        self.operator.as_ref().map(|operator| operator.log().unwrap()).unwrap_or_default()
    }
}

/// What the conditions of a pipeline say, one a line.
pub(crate) fn told(pipeline: &ParkingPipeline) -> String {
    let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
    let line =
        |found: &Condition| format!("{}={} {}: {}", found.type_, found.status, found.reason, found.message);
    conditions.map(line).collect::<Vec<_>>().join("\n  ")
}
