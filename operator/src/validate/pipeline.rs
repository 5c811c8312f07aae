//! A pipeline that can be planned.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{
    names::{Namespace, ObjectName, RuleName},
    pipeline::{ParkingPipelineSpec, SecurityProtocol},
    role::Role,
    rule_bundle::BundledRule,
    topology::{PipelineId, Topology},
};

use super::RedisLogin;
use crate::{
    apis::{Apis, StrimziVersion},
    settings::PlanSettings,
};

/// A pipeline that can be planned: everything in it was checked.
#[derive(Clone, Debug)]
pub struct ValidPipeline {
    /// Namespace and name.
    pub id: PipelineId,
    /// The object that children refer to.
    pub owner: Owner,
    /// The spec as it was written.
    pub spec: Arc<ParkingPipelineSpec>,
    /// What the spec amounts to; `log` of each worker says what was observed of Kafka.
    pub topology: Topology,
    /// Where the streams live.
    pub kafka: ValidKafka,
    /// Where live state is kept.
    pub redis: ValidRedis,
    /// How many pods of each role run now.
    pub run: BTreeMap<Role, Run>,
    /// Hash over all Secrets that a role mounts; a change rolls its pods. Absent while one of them is missing: the
    /// role's workload is then neither made nor changed.
    pub secret_hashes: BTreeMap<Role, String>,
    /// Rules that were accepted, by name.
    pub rules: BTreeMap<RuleName, BundledRule>,
    /// Which optional APIs the cluster serves.
    pub apis: Apis,
    /// What the operator was told.
    pub settings: Arc<PlanSettings>,
}

/// The object that children refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind of the owner, of our group.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its uid; empty when planned offline, and then no reference is written.
    pub uid: String,
}

/// Where the streams live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidKafka {
    /// A cluster run by Strimzi.
    Strimzi(StrimziCluster),
    /// Any other cluster.
    External(ExternalCluster),
}

/// A cluster run by Strimzi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrimziCluster {
    /// Namespace of the `Kafka` resource; topics and users stand beside it.
    pub namespace: Namespace,
    /// Name of the `Kafka` resource.
    pub cluster: ObjectName,
    /// The version that is written.
    pub version: StrimziVersion,
    /// How the chosen listener lets workers in.
    pub authentication: Authentication,
    /// Whether the chosen listener encrypts.
    pub encrypted: bool,
    /// `host:port` list of the chosen listener.
    pub bootstrap_servers: String,
    /// Each role's credentials, once its KafkaUser is ready.
    pub credentials: BTreeMap<Role, Credentials>,
    /// KEDA's own login, once its KafkaUser is ready.
    pub scaler_credentials: Option<Credentials>,
    /// Certificate authority of the cluster, once it is known, as PEM in base64.
    pub ca: Option<String>,
}

/// How a listener lets workers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// By client certificate.
    Tls,
    /// By user and password.
    ScramSha512,
}

/// A role's login as the Secret of its KafkaUser holds it: data keys and base64 values.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The members that workers read: `user.crt` and `user.key`, or `username` and `password`.
    pub data: BTreeMap<String, String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("keys", &self.data.keys()).finish_non_exhaustive()
    }
}

/// Any other cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalCluster {
    /// `host:port` list.
    pub bootstrap_servers: String,
    /// How to talk to the brokers.
    pub security_protocol: SecurityProtocol,
}

/// Where live state is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidRedis {
    /// A Redis with Sentinel made by the operator.
    Managed {
        /// Its passwords: those that exist, or new ones.
        login: RedisLogin,
        /// Size of each volume: never below what exists.
        storage: parking_crds::quantity::Bytes,
    },
    /// A Redis that somebody else runs.
    External,
}

/// A secret text that is written into a Secret and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptSecret(pub String);

impl std::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptSecret(…)")
    }
}

/// How many pods of a role run, and who holds the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The operator holds the number: written into the workload, no autoscaler is planned.
    Fixed(u16),
    /// An autoscaler holds the number: it is omitted from the workload.
    Scaled {
        /// Fewest pods.
        min: u16,
        /// Most pods.
        max: u16,
    },
    /// Drained: the number is 0 and autoscalers are told to rest.
    Resting,
}
