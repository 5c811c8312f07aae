//! Who may talk to whom: a policy for each role and for a managed Redis, closed in both directions but for the
//! edges of the topology.
//!
//! Left open beside the edges: names (DNS of the cluster and of the node), the scrape of `/metrics` by pods that
//! say they are a Prometheus or an agent of one, and the operator's look at `/status` and at Redis. A scraper
//! that goes by another name, a DNS elsewhere and a Service that leads to another port of its pods need
//! `extraIngress` or `extraEgress`. The kubelet's probes come from the node, which no policy holds back.
//!
//! Invariant: roles reach each other through streams and stores alone, never directly.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use kube::core::DynamicObject;
use parking_crds::{
    pipeline::{Route, Target, Url},
    role::Role,
    topology::WorkerPlan,
    worker_config::{Lake, Log, Store, WorkerConfig},
};
use serde_json::Value;

use super::{
    Plan,
    destination::{Destination, Place, block, pods_in, tcp},
    metadata,
    redis::{COMPONENT as REDIS, SENTINEL_PORT, SERVER_PORT},
    secret_mount::needs_bucket,
    sentinel::COMPONENT as SENTINEL,
    service,
};
use crate::{
    labels,
    owned_kinds::OwnedKind,
    validate::{ValidKafka, ValidPipeline, ValidRedis},
};

/// Component of the Jobs that compute statistics.
pub(crate) const STATS: &str = "stats";
/// Name that the operator's own pods carry.
pub(crate) const OPERATOR_NAME: &str = "parking-operator";
/// Names under which scrapers of metrics are installed.
pub(crate) const SCRAPERS: [&str; 5] =
    ["prometheus", "prometheus-agent", "vmagent", "alloy", "opentelemetry-collector"];
/// Label with the name of an installed program.
pub(crate) const PROGRAM: &str = "app.kubernetes.io/name";

/// Adds the policies, if the spec asks for them.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    if !pipeline.spec.network_policy.as_ref().is_some_and(|settings| settings.enabled) {
        return;
    }
    for worker in &pipeline.topology.workers {
        plan.add(OwnedKind::NetworkPolicy, &of_worker(pipeline, worker));
    }
    if let ValidRedis::Managed { .. } = &pipeline.redis {
        plan.add(OwnedKind::NetworkPolicy, &of_redis(pipeline));
        plan.add(OwnedKind::NetworkPolicy, &of_sentinel(pipeline));
    }
}

fn policy(
    pipeline: &ValidPipeline,
    component: &str,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicySpec {
    NetworkPolicySpec {
        pod_selector: Some(metadata::pods_of(pipeline, component)),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress),
        egress: Some(egress),
    }
}

/// The user's rules stand behind ours as they were written, also with fields that this program does not know.
fn of_worker(pipeline: &ValidPipeline, worker: &WorkerPlan) -> DynamicObject {
    let component = labels::component(worker.config.role);
    let metadata = metadata::owned(pipeline, component, worker.name.as_str());
    let spec =
        policy(pipeline, component, worker_ingress(pipeline, worker.config.role), egress(pipeline, worker));
    let mut object = metadata::with_spec(metadata, &spec);
    if let Some(settings) = &pipeline.spec.network_policy {
        for (pointer, extra) in
            [("/spec/ingress", &settings.extra_ingress), ("/spec/egress", &settings.extra_egress)]
        {
            if let Some(rules) = object.data.pointer_mut(pointer).and_then(Value::as_array_mut) {
                rules.extend(extra.iter().cloned());
            }
        }
    }
    object
}

fn of_redis(pipeline: &ValidPipeline) -> NetworkPolicy {
    let users = Role::ALL.into_iter().filter(|role| role.uses_store()).map(labels::component);
    let clients = users.chain([REDIS, SENTINEL, STATS]);
    NetworkPolicy {
        // Redis outlives a foreground deletion of the pipeline, and so does its protection.
        metadata: metadata::unowned(pipeline, REDIS, pipeline.id.redis().as_str()),
        spec: Some(policy(
            pipeline,
            REDIS,
            vec![
                from(vec![pods(pipeline, clients)], vec![tcp(SERVER_PORT)]),
                from(vec![operator(pipeline)], vec![tcp(SERVER_PORT)]),
            ],
            vec![
                dns(),
                to_component(pipeline, REDIS, SERVER_PORT),
                to_component(pipeline, SENTINEL, SENTINEL_PORT),
            ],
        )),
    }
}

fn of_sentinel(pipeline: &ValidPipeline) -> NetworkPolicy {
    let users = Role::ALL.into_iter().filter(|role| role.uses_store()).map(labels::component);
    let clients = users.chain([REDIS, SENTINEL, STATS]);
    NetworkPolicy {
        metadata: metadata::unowned(pipeline, SENTINEL, pipeline.id.sentinel().as_str()),
        spec: Some(policy(
            pipeline,
            SENTINEL,
            vec![
                from(vec![pods(pipeline, clients)], vec![tcp(SENTINEL_PORT)]),
                from(vec![operator(pipeline)], vec![tcp(SENTINEL_PORT)]),
            ],
            vec![
                dns(),
                to_component(pipeline, REDIS, SERVER_PORT),
                to_component(pipeline, SENTINEL, SENTINEL_PORT),
            ],
        )),
    }
}

fn from(peers: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: Some(peers), ports: Some(ports) }
}

fn worker_ingress(pipeline: &ValidPipeline, role: Role) -> Vec<NetworkPolicyIngressRule> {
    let port = || vec![tcp(service::PORT)];
    let mut rules = vec![from(vec![operator(pipeline), scrapers()], port())];
    if role.serves_clients() {
        rules.push(NetworkPolicyIngressRule { from: None, ports: Some(port()) });
    }
    rules
}

fn operator(pipeline: &ValidPipeline) -> NetworkPolicyPeer {
    let labels = BTreeMap::from([(PROGRAM.to_owned(), OPERATOR_NAME.to_owned())]);
    pods_in(pipeline.settings.operator_namespace.as_str(), labels)
}

fn scrapers() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(any_of(PROGRAM, SCRAPERS.into_iter())),
        ..NetworkPolicyPeer::default()
    }
}

fn any_of<'a>(label: &str, values: impl Iterator<Item = &'a str>) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: label.to_owned(),
            operator: "In".to_owned(),
            values: Some(values.map(ToOwned::to_owned).collect()),
        }]),
        ..LabelSelector::default()
    }
}

/// Pods of the pipeline of any of the components.
fn pods<'a>(pipeline: &ValidPipeline, components: impl Iterator<Item = &'a str>) -> NetworkPolicyPeer {
    let mut selector = any_of(labels::COMPONENT, components);
    selector.match_labels =
        Some(BTreeMap::from([(labels::PIPELINE.to_owned(), pipeline.id.name.to_string())]));
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

fn to_component(pipeline: &ValidPipeline, component: &str, port: u16) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(metadata::pods_of(pipeline, component)),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![tcp(port)]),
    }
}

fn dns() -> NetworkPolicyEgressRule {
    let udp = NetworkPolicyPort { protocol: Some("UDP".to_owned()), ..tcp(53) };
    NetworkPolicyEgressRule {
        // The second one is the node's own cache, where there is one.
        to: Some(vec![pods_in("kube-system", BTreeMap::new()), block("169.254.20.10/32", &[])]),
        ports: Some(vec![udp, tcp(53)]),
    }
}

fn egress(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Vec<NetworkPolicyEgressRule> {
    let config = &worker.config;
    let domain = &pipeline.settings.cluster_domain;
    let mut rules = vec![dns()];
    let mut servers = BTreeSet::new();
    if let Log::Kafka { bootstrap_servers, .. } = &config.log {
        rules.extend(kafka(pipeline, bootstrap_servers));
        servers.extend(kafka_servers(pipeline, bootstrap_servers));
    }
    if let (true, Store::Redis { sentinels, .. }) = (config.role.uses_store(), &config.store) {
        match &pipeline.redis {
            ValidRedis::Managed { .. } => rules.extend([
                to_component(pipeline, REDIS, SERVER_PORT),
                to_component(pipeline, SENTINEL, SENTINEL_PORT),
            ]),
            ValidRedis::External => servers.extend(external_redis(sentinels, domain)),
        }
    }
    if needs_bucket(config) {
        servers.extend(bucket_servers(config, domain));
        if matches!(config.lake, Lake::S3 { credentials: None, .. }) {
            rules.push(cloud_identity());
            servers.insert(Destination::anywhere(443));
        }
    }
    servers.extend(config.routes.iter().flat_map(|route| route_servers(route, domain)));
    rules.extend(servers.iter().map(Destination::rule));
    rules
}

/// The brokers that Strimzi runs, where the listener is one inside the cluster.
fn kafka(pipeline: &ValidPipeline, bootstrap: &str) -> Option<NetworkPolicyEgressRule> {
    let ValidKafka::Strimzi(strimzi) = &pipeline.kafka else {
        return None;
    };
    let servers = Destination::of_list(bootstrap, &pipeline.settings.cluster_domain);
    let inside = servers.iter().filter(|server| matches!(server.place, Place::Namespace(_)));
    let ports: BTreeSet<u16> = inside.map(|server| server.port).collect();
    let labels = [("strimzi.io/cluster", strimzi.cluster.as_str()), ("strimzi.io/kind", "Kafka")];
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    (!ports.is_empty()).then(|| NetworkPolicyEgressRule {
        to: Some(vec![pods_in(strimzi.namespace.as_str(), labels)]),
        ports: Some(ports.into_iter().map(tcp).collect()),
    })
}

/// Brokers that no selector of ours can name.
fn kafka_servers(pipeline: &ValidPipeline, bootstrap: &str) -> Vec<Destination> {
    let mut servers = Destination::of_list(bootstrap, &pipeline.settings.cluster_domain);
    if matches!(pipeline.kafka, ValidKafka::Strimzi(_)) {
        servers.retain(|server| !matches!(server.place, Place::Namespace(_)));
    }
    servers
}

/// Sentinels say where the master is: beside them, or anywhere if they are known by address.
fn external_redis(sentinels: &[String], domain: &str) -> Vec<Destination> {
    let known: Vec<Destination> =
        sentinels.iter().flat_map(|sentinel| Destination::of_list(sentinel, domain)).collect();
    let servers = known.iter().map(|sentinel| match &sentinel.place {
        Place::Namespace(name) => Destination { place: Place::Namespace(name.clone()), port: SERVER_PORT },
        Place::Address(_) | Place::Anywhere => Destination::anywhere(SERVER_PORT),
    });
    servers.chain(known.iter().cloned()).collect()
}

/// Where a worker's bucket is.
pub(crate) fn bucket_servers(config: &WorkerConfig, domain: &str) -> Vec<Destination> {
    match &config.lake {
        Lake::Embedded { .. } => Vec::new(),
        Lake::S3 { endpoint: Some(url), .. } => Destination::of_url(url, domain),
        Lake::S3 { endpoint: None, .. } => vec![Destination::anywhere(443)],
    }
}

/// Where clouds hand a pod the credentials of its ServiceAccount, besides their public services.
fn cloud_identity() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![block("169.254.169.254/32", &[]), block("169.254.170.23/32", &[])]),
        ports: Some(vec![tcp(80)]),
    }
}

/// Of a URL that lies in a Secret only the scheme's ports are known.
fn route_servers(route: &Route, domain: &str) -> Vec<Destination> {
    match route.target() {
        Some(target @ (Target::Webhook(_) | Target::Slack(_) | Target::Discord(_))) => match target.url() {
            Some(Url::Plain(url)) => Destination::of_url(url, domain),
            Some(Url::Secret(_)) | None => vec![Destination::anywhere(80), Destination::anywhere(443)],
        },
        Some(Target::Email(email)) => Destination::of_list(&email.smtp, domain),
        Some(Target::Console) | None => Vec::new(),
    }
}
