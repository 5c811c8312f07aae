//! Whether the planned network is open exactly along the edges of the topology.
//!
//! Asked for each pair of parties: components of the pipeline, the operator, a scraper of metrics, a stranger
//! in another namespace. What the user's own rules open beside the edges is only warned about.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use parking_crds::{role::Role, topology::WorkerPlan};

use super::{
    Finding, Severity,
    network::{Endpoint, Pod, Port, allowed},
};
use crate::{
    labels,
    owned_kinds::OwnedKind,
    plan::{
        Plan,
        network::{
            Destination, OPERATOR_NAME, PROGRAM, Place, REDIS, SCRAPERS, SENTINEL, SENTINEL_PORT,
            SERVER_PORT, STATS, WORKER_PORT, bucket_servers, needs_bucket,
        },
    },
    validate::{ValidKafka, ValidPipeline, ValidRedis},
};

const FIELD: &str = "spec.networkPolicy";
/// An address of the documentation's range: any server outside the cluster.
const OUTSIDE: Endpoint = Endpoint::Address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
/// A port that no part of the system uses.
const UNUSED: Port = Port::tcp(22);

/// Who may be at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Worker(Role),
    Redis,
    Sentinel,
    Stats,
    Operator,
    Scraper,
    Stranger,
}

impl Party {
    fn name(self) -> &'static str {
        match self {
            Self::Worker(role) => labels::component(role),
            Self::Redis => REDIS,
            Self::Sentinel => SENTINEL,
            Self::Stats => STATS,
            Self::Operator => "the operator",
            Self::Scraper => "a scraper of metrics",
            Self::Stranger => "a pod of another namespace",
        }
    }

    fn endpoint(self, pipeline: &ValidPipeline) -> Endpoint {
        let (namespace, labels) = match self {
            Self::Worker(_) | Self::Redis | Self::Sentinel | Self::Stats => {
                (pipeline.id.namespace.as_str(), labels::of(&pipeline.id, self.name()))
            }
            Self::Operator => (pipeline.settings.operator_namespace.as_str(), program(OPERATOR_NAME)),
            Self::Scraper => ("monitoring", program(SCRAPERS[0])),
            Self::Stranger => ("elsewhere", BTreeMap::new()),
        };
        pod(namespace, labels)
    }

    /// Whether policies of ours bind what the party sends.
    fn is_bound(self) -> bool {
        matches!(self, Self::Worker(_) | Self::Redis | Self::Sentinel)
    }
}

fn program(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(PROGRAM.to_owned(), name.to_owned())])
}

fn pod(namespace: &str, labels: BTreeMap<String, String>) -> Endpoint {
    let namespace_labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    Endpoint::Pod(Pod {
        namespace: namespace.to_owned(),
        namespace_labels,
        labels,
        named_ports: BTreeMap::from([("http".to_owned(), WORKER_PORT)]),
    })
}

pub(super) fn check(pipeline: &ValidPipeline, plan: &Plan) -> Vec<Finding> {
    let planned: Vec<&serde_json::Value> = plan
        .objects
        .iter()
        .filter(|object| object.kind == OwnedKind::NetworkPolicy)
        .map(|object| &object.manifest)
        .collect();
    if planned.is_empty() {
        return Vec::new();
    }
    let read = |manifest: &serde_json::Value| serde_json::from_value::<NetworkPolicy>(manifest.clone());
    let (policies, failures): (Vec<_>, Vec<_>) = planned.into_iter().map(read).partition(Result::is_ok);
    let unreadable = failures.into_iter().filter_map(Result::err).map(|error| {
        Finding::error(
            FIELD,
            format!("extraIngress or extraEgress holds no rule of networking.k8s.io/v1: {error}"),
        )
    });
    let mut findings: Vec<Finding> = unreadable.collect();
    let network = Network { pipeline, policies: policies.into_iter().filter_map(Result::ok).collect() };
    if findings.is_empty() {
        findings.extend(network.inside());
        findings.extend(network.outside());
    }
    findings.sort();
    findings.dedup();
    findings
}

struct Network<'a> {
    pipeline: &'a ValidPipeline,
    policies: Vec<NetworkPolicy>,
}

impl Network<'_> {
    fn parties(&self) -> Vec<Party> {
        let workers = self.pipeline.topology.workers.iter().map(|worker| Party::Worker(worker.config.role));
        let stores = match self.pipeline.redis {
            ValidRedis::Managed { .. } => vec![Party::Redis, Party::Sentinel],
            ValidRedis::External => Vec::new(),
        };
        let others = [Party::Stats, Party::Operator, Party::Scraper, Party::Stranger];
        workers.chain(stores).chain(others).collect()
    }

    /// Every pair of parties, at every port that one of them serves.
    fn inside(&self) -> Vec<Finding> {
        let parties = self.parties();
        let mut findings = Vec::new();
        for &to in parties.iter().filter(|party| party.is_bound()) {
            for &from in &parties {
                for port in [WORKER_PORT, SERVER_PORT, SENTINEL_PORT] {
                    let wanted = wanted(from, to, port);
                    let open = self.open(
                        &from.endpoint(self.pipeline),
                        &to.endpoint(self.pipeline),
                        Port::tcp(port),
                    );
                    let what = format!("{} to {} on port {port}", from.name(), to.name());
                    findings.extend(self.judge(wanted, open, &what));
                }
            }
        }
        findings
    }

    fn open(&self, from: &Endpoint, to: &Endpoint, port: Port) -> bool {
        allowed(&self.policies, from, to, port)
    }

    fn judge(&self, wanted: bool, open: bool, what: &str) -> Option<Finding> {
        match (wanted, open) {
            (true, false) => {
                Some(Finding::error(FIELD, format!("{what} is closed, but the pipeline needs it")))
            }
            (false, true) => Some(Finding {
                severity: if self.is_widened() { Severity::Warning } else { Severity::Error },
                ..Finding::error(
                    FIELD,
                    format!(
                        "{what} is open, but no edge of the pipeline needs it: narrow the extra rules or the routes"
                    ),
                )
            }),
            _ => None,
        }
    }

    /// Whether somebody asked for more than the edges.
    fn is_widened(&self) -> bool {
        let settings = self.pipeline.spec.network_policy.as_ref();
        settings.is_some_and(|rules| !rules.extra_ingress.is_empty() || !rules.extra_egress.is_empty())
            || !self.pipeline.spec.routes.is_empty()
    }

    /// What each component needs outside, and something that it does not.
    fn outside(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let dns = pod("kube-system", BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]));
        for party in self.parties().into_iter().filter(|party| party.is_bound()) {
            let from = party.endpoint(self.pipeline);
            for port in [Port::udp(53), Port::tcp(53)] {
                let what = format!("{} to the cluster's DNS", party.name());
                findings.extend(self.judge(true, self.open(&from, &dns, port), &what));
            }
            let what = format!("{} to any address on port {}", party.name(), UNUSED.number);
            findings.extend(self.judge(false, self.open(&from, &OUTSIDE, UNUSED), &what));
        }
        for worker in &self.pipeline.topology.workers {
            findings.extend(self.servers(worker));
        }
        findings
    }

    fn servers(&self, worker: &WorkerPlan) -> Vec<Finding> {
        let role = worker.config.role;
        let from = Party::Worker(role).endpoint(self.pipeline);
        let domain = &self.pipeline.settings.cluster_domain;
        let mut wanted: Vec<(String, Endpoint, u16)> = Vec::new();
        if let (
            ValidKafka::Strimzi(strimzi),
            parking_crds::worker_config::Log::Kafka { bootstrap_servers, .. },
        ) = (&self.pipeline.kafka, &worker.config.log)
        {
            let labels = [("strimzi.io/cluster", strimzi.cluster.as_str()), ("strimzi.io/kind", "Kafka")];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let broker = pod(strimzi.namespace.as_str(), labels);
            for server in Destination::of_list(bootstrap_servers, domain) {
                let at = if matches!(server.place, Place::Namespace(_)) { broker.clone() } else { OUTSIDE };
                wanted.push(("the Kafka brokers".to_owned(), at, server.port));
            }
        }
        if needs_bucket(&worker.config) {
            for server in bucket_servers(&worker.config, domain) {
                wanted.push(("the object store".to_owned(), at(&server), server.port));
            }
        }
        let judged = wanted.into_iter().map(|(name, to, port)| {
            let what = format!("{role} to {name} on port {port}");
            self.judge(true, self.open(&from, &to, Port::tcp(port)), &what)
        });
        judged.flatten().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn at(server: &Destination) -> Endpoint {
    match &server.place {
        Place::Namespace(name) => pod(name, BTreeMap::new()),
        Place::Address(address) => Endpoint::Address(*address),
        Place::Anywhere => OUTSIDE,
    }
}

/// The edges between parties. Roles never call each other: streams and stores are between them.
fn wanted(from: Party, to: Party, port: u16) -> bool {
    match to {
        Party::Worker(role) => {
            let watches = matches!(from, Party::Operator | Party::Scraper);
            port == WORKER_PORT && (watches || (role.serves_clients() && !from.is_bound()))
        }
        Party::Redis => port == SERVER_PORT && uses_redis(from),
        Party::Sentinel => port == SENTINEL_PORT && uses_redis(from),
        Party::Stats | Party::Operator | Party::Scraper | Party::Stranger => false,
    }
}

fn uses_redis(from: Party) -> bool {
    match from {
        Party::Worker(role) => role.uses_store(),
        Party::Redis | Party::Sentinel | Party::Stats | Party::Operator => true,
        Party::Scraper | Party::Stranger => false,
    }
}
