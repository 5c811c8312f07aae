//! What the operator was told at its start; built once from the command line and never changed.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use parking_crds::names::{Namespace, ObjectName};

/// Settings that shape what is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// Worker image where a pipeline names none.
    pub worker_image: String,
    /// Redis image where a pipeline names none.
    pub redis_image: String,
    /// Domain of the cluster's DNS.
    pub cluster_domain: String,
    /// Namespace of the operator's own pods, which may read `/status` through a `NetworkPolicy`.
    pub operator_namespace: Namespace,
}

impl Default for PlanSettings {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            worker_image: format!("ghcr.io/tinyx/parking-workers:{version}"),
            redis_image: "docker.io/library/redis:7.4-bookworm".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            operator_namespace: Namespace::EXAMPLE
                .parse()
                .unwrap_or_else(|_| unreachable!("a tested example")),
        }
    }
}

/// Everything that the operator was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What shapes the plan.
    pub plan: PlanSettings,
    /// Namespaces whose objects are reconciled; empty means all.
    pub namespaces: Vec<Namespace>,
    /// Namespaces of Kafka clusters, and the pipelines' namespaces that may use each.
    pub kafka_namespaces: BTreeMap<Namespace, Vec<Namespace>>,
    /// Pipelines whose pods may roll at once.
    pub max_rolling_pipelines: u16,
    /// Objects reconciled at once, for each kind.
    pub concurrency: u16,
    /// Writes to the API server a second, over all objects.
    pub writes_per_second: u32,
    /// Pause between two looks at an object that nothing happened to.
    pub resync: Duration,
    /// Pause between two rounds of questions to the workers of a pipeline.
    pub worker_poll: Duration,
    /// Where probes, metrics and `/status` are served.
    pub listen: SocketAddr,
    /// Name of the lease by which one replica leads, in the operator's namespace.
    pub lease_name: ObjectName,
    /// What the lease calls this replica: unique among them, such as the name of its pod.
    pub identity: String,
    /// Whether endpoints on this machine may be contacted: for tests and laptops.
    pub allow_loopback_endpoints: bool,
}
