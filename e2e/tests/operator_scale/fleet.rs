//! Many pipelines with their rules, what surrounds them, and one operator for all.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline};
use parking_e2e::{
    kubernetes::{
        audit::{AuditLog, Mark},
        chart,
        cluster::Cluster,
        error::{Error, Result},
        operator::{Identity, Operator},
        surroundings::{INVENTORY, KAFKA, STORE_KEYS},
        wait::eventually,
    },
    locate,
    minio::Minio,
    procfs,
};
use serde_json::{Value, json};

use crate::{
    clock,
    doubles::{Bundles, Town, load_bundles},
    machine,
    requests::{self, Requests},
};

/// Pipelines in one namespace; they share its Kafka.
const IN_A_TOWN: usize = 10;
/// Requests of the test itself that are under way at once.
const CONCURRENCY: usize = 8;

/// How many objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pipelines: usize,
    pub(crate) rules: usize,
}

impl Size {
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str, usual| {
            env::var(name)
                .map_or(usual, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        Self {
            pipelines: number("PARKING_SCALE_PIPELINES", 200),
            rules: number("PARKING_SCALE_RULES", 10_000),
        }
    }
}

/// All of it; gone with the value.
pub(crate) struct Fleet {
    pub(crate) size: Size,
    pub(crate) audit: AuditLog,
    operator: Option<Operator>,
    address: SocketAddr,
    identity: Identity,
    towns: Vec<Town>,
    bundles: Bundles,
    object_store: Minio,
    cluster: Cluster,
}

impl Fleet {
    /// Surroundings, and neither pipelines nor operator.
    pub(crate) async fn start(size: Size) -> Result<Self> {
        let cluster = Cluster::join().await?;
        let audit = cluster.audit_log().ok_or_else(|| {
            Error::Unavailable("the bench measures servers of its own: unset KUBECONFIG".to_owned())
        })?;
        let bundles = Bundles::default();
        let mut towns = Vec::new();
        for _ in 0..size.pipelines.div_ceil(IN_A_TOWN) {
            towns.push(Town::start(&cluster, &bundles).await?);
        }
        let home = towns.first().map(|town| town.namespace.name().to_owned()).unwrap_or_default();
        let (rights, account) = chart::rights(&chart::render(&cluster, &home, &home, &[])?)?;
        let identity = Identity { namespace: home, account }.create(&cluster, &rights).await?;
        let object_store = Minio::start()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        clock::say(&format!("{} namespaces with their doubles stand", towns.len()));
        Ok(Self { size, audit, operator: None, address, identity, towns, bundles, object_store, cluster })
    }

    /// Starts the operator, as the chart does but for the rate of writes where one is given.
    pub(crate) async fn start_operator(&mut self, writes_per_second: Option<u32>) -> Result<()> {
        let (listen, lease) = (self.address.to_string(), self.identity.account.clone());
        let home = self.identity.namespace.clone();
        let mut arguments = vec!["run", "--operator-namespace", &home, "--lease-name", &lease];
        arguments.extend(["--identity", "operator-0", "--listen", &listen, "--allow-loopback-endpoints"]);
        let writes = writes_per_second.map(|writes| writes.to_string());
        arguments.extend(writes.iter().flat_map(|writes| ["--writes-per-second", writes]));
        self.operator = Some(Operator::start(&self.cluster, &self.identity, &arguments).await?);
        Ok(())
    }

    pub(crate) fn stop_operator(&mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.terminate(Duration::from_secs(30))?;
        }
        Ok(())
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.cluster.client()
    }

    pub(crate) fn operator(&self) -> u32 {
        self.operator.as_ref().map(Operator::id).unwrap_or_default()
    }

    pub(crate) fn metrics(&self) -> String {
        // Before it listens, it has done nothing.
        requests::metrics(self.address).unwrap_or_default()
    }

    pub(crate) fn mark(&self) -> Result<Mark> {
        Ok(self.audit.mark()?)
    }

    /// What the operator asked of the API server since then.
    pub(crate) fn requests_since(&self, mark: Mark) -> Result<Requests> {
        Ok(Requests::since(&self.audit, mark, &self.identity.user())?)
    }

    pub(crate) fn namespace_of(&self, pipeline: usize) -> &str {
        self.towns[pipeline / IN_A_TOWN].namespace.name()
    }

    pub(crate) fn pipelines_beside(&self, pipeline: usize) -> Api<ParkingPipeline> {
        Api::namespaced(self.client(), self.namespace_of(pipeline))
    }

    /// A pipeline's manifest, as a user would write it.
    pub(crate) fn manifest(&self, pipeline: usize) -> Value {
        let namespace = self.namespace_of(pipeline);
        json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
            "metadata": {"name": pipeline_name(pipeline), "namespace": namespace},
            "spec": {
                "kafka": {"strimzi": {"cluster": KAFKA}},
                "redis": {"external": {"sentinels": ["sentinel.redis:26379"]}},
                "objectStore": {
                    "endpoint": self.object_store.endpoint(), "bucket": format!("{namespace}-{pipeline}"),
                    "credentialsSecretRef": {"name": STORE_KEYS},
                },
                "inventory": {"configMapRef": {"name": INVENTORY}},
                "events": {"partitions": 3, "replicationFactor": 1},
            },
        })
    }

    pub(crate) async fn make_pipelines(&self) -> Result<()> {
        for pipeline in 0..self.size.pipelines {
            let how = PatchParams::apply("bench").force();
            let manifest = Patch::Apply(self.manifest(pipeline));
            self.pipelines_beside(pipeline).patch(&pipeline_name(pipeline), &how, &manifest).await?;
        }
        Ok(())
    }

    /// The pipeline that a rule is of.
    pub(crate) fn pipeline_of(&self, rule: usize) -> usize {
        rule % self.size.pipelines
    }

    pub(crate) async fn make_rules(&self) -> Result<()> {
        let made = stream::iter(0..self.size.rules).map(|rule| async move {
            let pipeline = self.pipeline_of(rule);
            let api: Api<AlertRule> = Api::namespaced(self.client(), self.namespace_of(pipeline));
            let object = json!({
                "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule",
                "metadata": {"name": rule_name(rule)},
                "spec": {
                    "pipelineRef": {"name": pipeline_name(pipeline)}, "severity": "warning", "for": "5m",
                    "labels": {"team": "operations", "district": format!("district-{}", rule % 40)},
                    "annotations": {
                        "summary": "Zone {{ zone.name }} is almost full",
                        "description": "More than 98 % of the spaces of {{ zone.name }} have been taken for five minutes.",
                    },
                    "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.98"}},
                },
            });
            let object: AlertRule = serde_json::from_value(object).map_err(std::io::Error::from)?;
            api.create(&PostParams::default(), &object).await?;
            Ok::<_, Error>(())
        });
        made.buffer_unordered(CONCURRENCY).try_collect().await
    }

    /// Lets the workers follow until the operator has written nothing for a while.
    pub(crate) async fn settle(&self, span: Duration, limit: Duration) -> Result<()> {
        let (mut mark, mut last_write) = (self.mark()?, clock::now());
        eventually("the operator writes nothing more", limit, async || {
            let round = async {
                load_bundles(&self.client(), &self.towns, &self.bundles).await?;
                clock::pause(Duration::from_secs(2)).await;
                let next = self.mark()?;
                let writes = self.requests_since(mark)?.written();
                mark = next;
                Ok::<_, Error>(writes)
            };
            let writes = round.await.map_err(|error| error.to_string())?;
            if writes > 0 {
                last_write = clock::now();
            }
            if last_write.elapsed() >= span { Ok(()) } else { Err(format!("{writes} writes in 2 s")) }
        })
        .await
    }

    /// Processor time so far of the operator, the servers and this process with its doubles.
    pub(crate) fn processor(&self) -> Vec<(String, f64)> {
        let plane = self.cluster.plane().map(|plane| procfs::children(plane.id()));
        let mut processes = plane.and_then(std::io::Result::ok).unwrap_or_default();
        processes.extend([
            ("operator".to_owned(), self.operator()),
            ("doubles and bench".to_owned(), std::process::id()),
        ]);
        processes.into_iter().map(|(name, id)| (name, procfs::processor(id))).collect()
    }

    pub(crate) async fn facts(&self) -> Value {
        let kubernetes = self.client().apiserver_version().await.map(|version| version.git_version);
        let binary = locate::operator().ok();
        json!({
            "machine": machine::facts(),
            "pipelines": self.size.pipelines,
            "rules": self.size.rules,
            "kubernetes": kubernetes.unwrap_or_default(),
            "operator": binary.as_ref().map(|path| path.display().to_string()),
            "optimised": binary.is_some_and(|path| path.iter().any(|part| part == "release")),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// The end of the operator's log.
    pub(crate) fn last_words(&self) -> String {
        let log = self.operator.as_ref().and_then(|operator| operator.log().ok()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

pub(crate) fn pipeline_name(pipeline: usize) -> String {
    format!("city-{pipeline:03}")
}

pub(crate) fn rule_name(rule: usize) -> String {
    format!("almost-full-{rule:05}")
}
