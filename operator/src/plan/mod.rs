//! What must exist for a pipeline: infallible and pure, one produced kind a file.
//!
//! Must not: name a client, a runtime or a clock.
//! Invariants: the same input gives the same objects; names are unique; every object carries the owner labels
//! and is of a kind in `owned_kinds`; no member of an object is null or an empty list that a server would drop.

use serde::Serialize;
use serde_json::Value;

use crate::{live::Key, owned_kinds::OwnedKind, validate::ValidPipeline};

mod autoscaler;
pub mod credentials;
mod destination;
mod disruption;
mod metadata;
mod monitoring;
mod network_policy;
mod pod;
mod pod_template;
pub mod redis;
pub mod redis_scripts;
pub mod rule_bundle;
#[cfg(test)]
pub(crate) mod sample;
mod secret_mount;
pub mod sentinel;
mod service;
mod service_account;
pub mod topic;
pub mod user;
mod volume;
pub mod warnings;
pub(crate) mod worker_config;
mod workload;

pub use secret_mount::{Keys, secrets_of};

/// What the static check must know of the network beside the policies themselves.
pub(crate) mod network {
    pub(crate) use super::{
        destination::{Destination, Place},
        network_policy::{OPERATOR_NAME, PROGRAM, SCRAPERS, STATS, bucket_servers},
        redis::{COMPONENT as REDIS, SENTINEL_PORT, SERVER_PORT},
        secret_mount::needs_bucket,
        sentinel::COMPONENT as SENTINEL,
        service::PORT as WORKER_PORT,
    };
}

/// What must exist for a pipeline, in the order of the owned-kinds table.
pub fn plan(pipeline: &ValidPipeline) -> Plan {
    let mut plan = Plan::default();
    topic::add(&mut plan, pipeline);
    user::add(&mut plan, pipeline);
    credentials::add(&mut plan, pipeline);
    redis::add(&mut plan, pipeline);
    redis_scripts::add(&mut plan, pipeline);
    sentinel::add(&mut plan, pipeline);
    rule_bundle::add(&mut plan, pipeline);
    worker_config::add(&mut plan, pipeline);
    service_account::add(&mut plan, pipeline);
    service::add(&mut plan, pipeline);
    network_policy::add(&mut plan, pipeline);
    workload::add(&mut plan, pipeline);
    disruption::add(&mut plan, pipeline);
    autoscaler::add(&mut plan, pipeline);
    monitoring::add(&mut plan, pipeline);
    plan.sort();
    plan
}

mod job;
mod spark_application;

pub use job::{stats_objects, stats_run};
pub use spark_application::PROGRAM as SPARK_PROGRAM;

/// One object as it shall be, without anything that the server adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its kind.
    pub kind: OwnedKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole manifest, with `apiVersion`, `kind` and `metadata`.
    pub manifest: Value,
}

impl Planned {
    /// An object of a Kubernetes type, which does not say itself what it is.
    fn of<T: Serialize + kube::ResourceExt>(kind: OwnedKind, object: &T) -> Self {
        let mut manifest = serde_json::to_value(object).unwrap_or_default();
        if let Some(map) = manifest.as_object_mut() {
            map.insert("apiVersion".to_owned(), kind.api_version().into());
            map.insert("kind".to_owned(), kind.row().name.into());
        }
        Self { kind, namespace: object.namespace().unwrap_or_default(), name: object.name_any(), manifest }
    }

    /// Which object is meant.
    pub fn key(&self) -> Key {
        Key::new(self.kind, &self.namespace, &self.name)
    }
}

/// Everything that must exist for one object of our kinds, in the order of the owned-kinds table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The objects.
    pub objects: Vec<Planned>,
}

impl Plan {
    /// By kind as the table orders them, then by name: the order in which parts were added says nothing.
    fn sort(&mut self) {
        let position = |kind| OwnedKind::all().position(|known| known == kind);
        self.objects.sort_by(|a, b| {
            let by_name = || (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name));
            position(a.kind).cmp(&position(b.kind)).then_with(by_name)
        });
    }

    /// Adds the objects of another plan.
    pub fn merge(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.sort();
    }

    /// Adds an object of a Kubernetes type.
    pub fn add<T: Serialize + kube::ResourceExt>(&mut self, kind: OwnedKind, object: &T) {
        self.objects.push(Planned::of(kind, object));
    }
}
