//! A managed Redis: servers, their sentinels, and what both need.
//!
//! Must not: talk to a server; what is said to running servers is decided and sent elsewhere.
//!
//! # Who is who
//! Servers are the pods `<pipeline>-redis-<n>`, port [`SERVER_PORT`], each known by its DNS name alone
//! ([`member_host`]); sentinels are `<pipeline>-redis-sentinel-<n>`, port [`SENTINEL_PORT`]
//! ([`sentinel_host`]), and know the master as [`MASTER_NAME`]. All of them let in the user `default` with
//! the password of the Secret `<pipeline>-redis` (key `password`; during a rotation also the one in `previous`).
//!
//! # What a server does by itself (the script `redis.sh`)
//! It asks every sentinel for the master; only an answer on which a majority of all planned sentinels agrees
//! counts.
//! - They name another server: it follows that one.
//! - They name itself, and its volume holds data (or it is the only server): it leads.
//! - They name itself, but its volume is empty: it does not listen until they name another, so that they take
//!   it for dead and no empty server makes the others throw their data away.
//! - They name nobody, or no majority answers within ten seconds: it **waits**. A waiting server listens, says
//!   `role:master` and refuses writes, since it asks for [`WAITING`] replicas (`min-replicas-to-write`). It keeps
//!   asking the sentinels and leaves the wait as soon as they name somebody.
//!
//! No ordinal leads by itself. While it runs, a server also
//! - has `replica-priority 0` until it is in step with a master, and 100 from then on: Sentinel never promotes
//!   a server of which only the volume is known, since such a server reports the replication offset 0;
//! - as a leading master increments the key [`BEAT_KEY`] each second. The beat is part of the data: it is
//!   replicated and in the append-only file, so after all servers died it says whose data is the newest, which the
//!   replication offset cannot, since a restart with an append-only file begins again at 0. It tells apart
//!   what is a second apart, which is what `appendfsync everysec` may lose anyway;
//! - told to end while it leads, has a sentinel fail over first, and waits for that for ten seconds at most.
//!
//! # What the operator does
//! Seen of each server: `INFO replication` (`role`, `master_host`, `master_link_status`, `master_repl_offset` or
//! `slave_repl_offset`), `CONFIG GET min-replicas-to-write`, `GET parking:redis:beat` (absent is 0). Seen of each
//! sentinel: `SENTINEL MASTER mymaster` (`-ERR No such master` means that it knows none) and
//! `SENTINEL REPLICAS mymaster`.
//!
//! 1. **Nobody knows a master** (first start, or every sentinel lost its volume). Once all servers answer, or
//!    those missing were waited for: the server with the highest (beat, offset), at a tie the lowest ordinal, is
//!    elected. To it: `REPLICAOF NO ONE`, `CONFIG SET min-replicas-to-write` [`min_replicas_to_write`]. Then to each
//!    sentinel the commands of 2. The others follow by themselves.
//! 2. **A sentinel knows no master** while a majority of the others does, or one was elected:
//!    `SENTINEL MONITOR mymaster <host of the master> 6379 <quorum>`, then [`sentinel_settings`] each as
//!    `SENTINEL SET mymaster <setting> <value>`, then `SENTINEL SET mymaster auth-pass <password>`.
//! 3. **The sentinels know a master that stays away**, and none may be promoted (all servers died at once and
//!    the master does not come back; `SENTINEL FAILOVER` says `NOGOODSLAVE`). After a grace of 30 s: to the server
//!    with the highest (beat, offset) among the others `CONFIG SET replica-priority 100`, then to one sentinel
//!    `SENTINEL FAILOVER mymaster`, again after some seconds if it answers `NOGOODSLAVE` or `INPROG`. Sentinel
//!    promotes that server and tells the rest.
//! 4. **A server leads that the sentinels do not name** (and does not merely wait): it comes back from a
//!    partition. Sentinel demotes it; if it still leads after 30 s: `REPLICAOF <host> 6379` to it.
//! 5. **A new pod template**: pods are deleted one at a time, each after all servers were in step: replicas from
//!    the highest ordinal down, then `SENTINEL FAILOVER mymaster` to one sentinel, then, once it follows, the old
//!    master. Sentinels are rolled one at a time by their StatefulSet.
//! 6. **Fewer servers or sentinels**: a master beyond the new number is failed over first (to servers that stay:
//!    `CONFIG SET replica-priority 0` to those that go). After the pods are gone, `SENTINEL RESET mymaster` to
//!    one sentinel after the other, the next once the one before knows all others again.
//!    `SENTINEL SET mymaster quorum <quorum>` whenever [`quorum`] differs from what a sentinel reports, and
//!    `CONFIG SET min-replicas-to-write` whenever a server that does not wait differs from the plan.
//! 7. **A new password**, for each new value of the annotation `parking.tinyx.io/rotate-redis-password`. To every
//!    server and sentinel `ACL SETUSER default #<sha256 of the new>`; then the Secret holds the new one in `password`
//!    and the old one in `previous`, with the value as its own annotation; then to every server
//!    `CONFIG SET masterauth <new>`, to every sentinel `SENTINEL SET mymaster auth-pass <new>` and
//!    `SENTINEL CONFIG SET sentinel-pass <new>`. Then workers roll (their hash holds one password alone). Once all run
//!    with the new one and files in running pods are renewed, `previous` leaves the Secret and
//!    `ACL SETUSER default !<sha256 of the old>` goes to all.
//!
//! Invariants: pods, Services and scripts are the same for every server, so that whoever leads is decided by data
//! alone; passwords stand in files only, never in arguments or environments; claims carry our labels and no
//! owner, and outlive the StatefulSet.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{
            EnvVar, EnvVarSource, PersistentVolumeClaim, PersistentVolumeClaimSpec, ResourceFieldSelector,
            ResourceRequirements, Secret, Service, ServicePort, ServiceSpec, VolumeResourceRequirements,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use parking_crds::{
    names::{ObjectName, WorkloadName},
    pipeline::ManagedRedis,
    topology::PipelineId,
};

use super::{Plan, metadata, sentinel};
use crate::{
    labels,
    owned_kinds::OwnedKind,
    validate::{KeptSecret, RedisLogin, ValidPipeline, ValidRedis},
};

mod pod;

pub(super) use pod::{Part, pod_template};

/// Component of the servers and of what belongs to them.
pub const COMPONENT: &str = "redis";
/// Port of every server.
pub const SERVER_PORT: u16 = 6379;
/// Port of every sentinel.
pub const SENTINEL_PORT: u16 = 26379;
/// Name under which the sentinels know the master.
pub const MASTER_NAME: &str = "mymaster";
/// Replicas that a waiting server asks for before it takes writes: more than can exist.
pub const WAITING: u32 = 1000;
/// Key that the leading master increments each second.
pub const BEAT_KEY: &str = "parking:redis:beat";
/// Key of the password in its Secret.
pub const PASSWORD: &str = "password";
/// Key of the password that is let in besides, while it is changed.
pub const PREVIOUS: &str = "previous";

/// Whether a component is that of servers or that of sentinels.
pub fn is_component(component: &str) -> bool {
    [COMPONENT, sentinel::COMPONENT].contains(&component)
}

/// What a sentinel is told of the master besides its place: `SENTINEL SET mymaster <setting> <value>`.
pub const fn sentinel_settings() -> [(&'static str, &'static str); 3] {
    [("down-after-milliseconds", "5000"), ("failover-timeout", "30000"), ("parallel-syncs", "1")]
}

/// DNS name of a server, by which replicas and sentinels know it.
pub fn member_host(id: &PipelineId, cluster_domain: &str, ordinal: u16) -> String {
    host(&id.redis(), id, cluster_domain, ordinal)
}

/// DNS name of a sentinel.
pub fn sentinel_host(id: &PipelineId, cluster_domain: &str, ordinal: u16) -> String {
    host(&id.sentinel(), id, cluster_domain, ordinal)
}

fn host(name: &WorkloadName, id: &PipelineId, cluster_domain: &str, ordinal: u16) -> String {
    format!("{name}-{ordinal}.{}", subdomain(name, id, cluster_domain))
}

fn subdomain(name: &WorkloadName, id: &PipelineId, cluster_domain: &str) -> String {
    format!("{name}.{}.svc.{cluster_domain}", id.namespace)
}

/// Sentinels that must take the master for dead before one may be elected: a majority.
pub const fn quorum(sentinels: u16) -> u16 {
    sentinels / 2 + 1
}

/// Replicas in step that the master needs before it takes writes, by the number of servers.
pub const fn min_replicas_to_write(replicas: u16) -> u32 {
    if replicas > 1 { 1 } else { 0 }
}

/// What is planned of a managed Redis.
pub(super) struct Managed<'a> {
    pub(super) spec: &'a ManagedRedis,
    pub(super) storage: parking_crds::quantity::Bytes,
    login: &'a RedisLogin,
}

impl<'a> Managed<'a> {
    /// Nothing where somebody else runs Redis.
    pub(super) fn of(pipeline: &'a ValidPipeline) -> Option<Self> {
        match (&pipeline.redis, &pipeline.spec.redis.managed) {
            (ValidRedis::Managed { login, storage }, Some(spec)) => {
                Some(Self { spec, storage: *storage, login })
            }
            (ValidRedis::External | ValidRedis::Managed { .. }, _) => None,
        }
    }
}

/// Adds the servers of a managed Redis and its password.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let Some(managed) = Managed::of(pipeline) else { return };
    let name = pipeline.id.redis();
    plan.add(OwnedKind::Secret, &password(pipeline, &managed));
    plan.add(OwnedKind::Service, &service(pipeline, COMPONENT, &name, SERVER_PORT));
    let part = Part {
        component: COMPONENT,
        name: &name,
        script: "redis.sh",
        port: SERVER_PORT,
        resources: resources(managed.spec),
        environment: environment(managed.spec),
    };
    let servers = StatefulSet {
        metadata: metadata::unowned(pipeline, COMPONENT, name.as_str()),
        spec: Some(StatefulSetSpec {
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            ..stateful_set(pipeline, &managed, &part, managed.spec.replicas(), managed.storage.to_string())
        }),
        status: None,
    };
    plan.add(OwnedKind::StatefulSet, &servers);
    plan.add(OwnedKind::PodDisruptionBudget, &budget(pipeline, COMPONENT, &name));
}

fn password(pipeline: &ValidPipeline, managed: &Managed<'_>) -> Secret {
    let login = managed.login;
    let texts = [(PASSWORD, Some(&login.password)), (PREVIOUS, login.previous.as_ref())];
    let member = |(key, text): (&str, Option<&KeptSecret>)| {
        Some((key.to_owned(), ByteString(text?.0.clone().into_bytes())))
    };
    let adopted = (login.previous.is_some() && login.adopted).then(|| "true".to_owned());
    let notes = [(labels::ROTATE_REDIS_PASSWORD, login.asked.clone()), (labels::PASSWORD_ADOPTED, adopted)];
    let notes: BTreeMap<String, String> =
        notes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let mut metadata = metadata::unowned(pipeline, COMPONENT, pipeline.id.redis_secret().as_str());
    metadata.annotations = (!notes.is_empty()).then_some(notes);
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(texts.into_iter().filter_map(member).collect()),
        ..Secret::default()
    }
}

/// The Service that gives each pod of a StatefulSet its DNS name, also before the pod is ready.
pub(super) fn service(pipeline: &ValidPipeline, component: &str, name: &WorkloadName, port: u16) -> Service {
    Service {
        metadata: metadata::unowned(pipeline, component, name.as_str()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some(component.to_owned()),
                port: port.into(),
                target_port: Some(IntOrString::String(component.to_owned())),
                ..ServicePort::default()
            }]),
            selector: metadata::pods_of(pipeline, component).match_labels,
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// What servers and sentinels have in common. Pods start at once, for none waits for another.
pub(super) fn stateful_set(
    pipeline: &ValidPipeline,
    managed: &Managed<'_>,
    part: &Part<'_>,
    replicas: u16,
    storage: String,
) -> StatefulSetSpec {
    let keep = || Some("Retain".to_owned());
    StatefulSetSpec {
        replicas: Some(replicas.into()),
        service_name: Some(part.name.to_string()),
        selector: metadata::pods_of(pipeline, part.component),
        pod_management_policy: Some("Parallel".to_owned()),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: keep(),
            when_scaled: keep(),
        }),
        template: pod_template(pipeline, managed, part),
        volume_claim_templates: Some(vec![claim(pipeline, managed, part.component, storage)]),
        ..StatefulSetSpec::default()
    }
}

fn claim(
    pipeline: &ValidPipeline,
    managed: &Managed<'_>,
    component: &str,
    storage: String,
) -> PersistentVolumeClaim {
    let mut metadata = metadata::unowned(pipeline, component, "data");
    metadata.namespace = None;
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: managed.spec.storage_class_name.as_ref().map(ObjectName::to_string),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(storage))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// One pod at a time may be evicted, and a broken one always.
pub(super) fn budget(pipeline: &ValidPipeline, component: &str, name: &WorkloadName) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata::unowned(pipeline, component, name.as_str()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::pods_of(pipeline, component)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

fn resources(spec: &ManagedRedis) -> ResourceRequirements {
    spec.resources.clone().unwrap_or_else(|| requests("100m", "256Mi"))
}

/// Requests without limits.
pub(super) fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let requests = [("cpu", cpu), ("memory", memory)];
    ResourceRequirements {
        requests: Some(requests.map(|(key, value)| (key.to_owned(), Quantity(value.to_owned()))).into()),
        ..ResourceRequirements::default()
    }
}

/// The server bounds its data by its memory limit, where there is one.
fn environment(spec: &ManagedRedis) -> Vec<EnvVar> {
    let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let limit = limits.filter(|limits| limits.contains_key("memory")).map(|_| EnvVar {
        name: "MEMORY_LIMIT".to_owned(),
        value_from: Some(EnvVarSource {
            resource_field_ref: Some(ResourceFieldSelector {
                resource: "limits.memory".to_owned(),
                ..ResourceFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
    limit.into_iter().collect()
}

#[cfg(test)]
mod tests;
