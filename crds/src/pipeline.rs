//! `ParkingPipeline`: one city's streams, workers, stores and routes.
//!
//! Must not: derive names, topics or worker settings (see `topology`).
//! Invariants: an absent optional field has the default that its accessor returns; the schema has no defaults.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    reference::{ConfigMapRef, NameRef},
    stream::Stream,
};

mod events;
mod kafka;
mod lifecycle;
mod object_store;
mod redis;
mod route;
mod worker;

pub use events::Events;
pub use kafka::{ExternalKafka, GroupProtocol, Kafka, SaslMechanism, SecurityProtocol, StrimziKafka};
pub use lifecycle::{DeletionPolicy, Lifecycle, Phase, Retention};
pub use object_store::ObjectStore;
pub use redis::{ExternalRedis, ManagedRedis, Redis, RedisTls};
pub use route::{Console, Email, Route, Target, Url, UrlTarget, Webhook};
pub use worker::{Autoscaling, RollAfter, Worker, Workers};

/// What one pipeline shall be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "parking.tinyx.io",
    version = "v1alpha1",
    kind = "ParkingPipeline",
    plural = "parkingpipelines",
    shortname = "pp",
    category = "parking",
    namespaced,
    status = "ParkingPipelineStatus",
    derive = "PartialEq",
    cel,
    validation = crate::rules::name(crate::names::PipelineName::MAX_LENGTH),
    doc = "A city's event pipeline: its streams, stores, workers and notification routes.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Workers", type_ = "string", json_path = ".status.workers"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag"),
    printcolumn(name = "Firing", type_ = "integer", json_path = ".status.firing"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ParkingPipelineSpec {
    /// Where the streams live. `parking up` uses its embedded log instead.
    pub kafka: Kafka,
    /// Where live state is kept. `parking up` uses its embedded store instead.
    pub redis: Redis,
    /// Where the lake and the snapshots are kept. `parking up` uses its data folder instead.
    pub object_store: ObjectStore,
    /// The zones, spaces, devices and policies of the city.
    pub inventory: Inventory,
    /// The streams and how time is read from them.
    pub events: Events,
    /// The workers, by role. Default: one replica of each required role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
    /// Where alerts are delivered. Default: nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub routes: Vec<Route>,
    /// Whether the pipeline runs. Default: `Running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// What happens to data when the pipeline is deleted. Default: everything is retained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Who may write events, and how fast. Default: anyone in reach, without limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Ingest>,
    /// Container image of the workers. Default: the one that the operator was released with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Secrets to pull the image with. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<NameRef>,
    /// Annotations of the workers' ServiceAccount, such as a cloud role. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub service_account_annotations: BTreeMap<String, String>,
    /// How the workers are monitored. Default: no monitoring objects are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// What the workers may talk to. Default: no NetworkPolicy is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
}

impl ParkingPipelineSpec {
    /// Whether the pipeline shall run.
    pub fn phase(&self) -> Phase {
        self.lifecycle.as_ref().map_or(Phase::Running, |lifecycle| lifecycle.phase)
    }
}

/// Where the inventory file is read from: exactly one member.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["configMapRef", "objectRef"]))]
pub struct Inventory {
    /// A key of a ConfigMap in the pipeline's namespace, up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,
    /// An object in the pipeline's bucket, of any size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<ObjectRef>,
}

/// A reference to an object in the pipeline's bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Key of the object within the bucket.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
}

/// Who may write events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// Secret with one API key per data key: the key itself, or YAML with `sha256` or `key`, and `tenant`,
    /// `rights`, `limits`. Keys named `replay-…` may write replayed records. Default: no key is asked for, and
    /// nobody may write replayed records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_secret_ref: Option<NameRef>,
    /// Secret of type `kubernetes.io/tls` to serve with. Default: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<NameRef>,
    /// Secret with the keys that replace licence plates by tokens: one per data key, of at least 32 bytes, and
    /// `current` with the name of the one for new tokens, needed where there are several.
    /// Default: records with a plate in clear are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate_keys_secret_ref: Option<NameRef>,
    /// Whether records are taken from a stream in the pipeline's Redis, too: `parking:{<namespace>/<name>}:ingest`,
    /// each entry with a field `record`.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_stream: Option<bool>,
    /// Bounds on what one client may send. Default: the bounds of each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<IngestLimits>,
}

/// Bounds on what one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestLimits {
    /// Events per second and API key. Default: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1_000_000))]
    pub events_per_second: Option<u32>,
    /// Longest request body, in bytes. Default: 8388608.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1024, max = 67_108_864))]
    pub max_body_bytes: Option<u32>,
}

/// How the workers are monitored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Labels of the PodMonitor and PrometheusRule, as the Prometheus in charge selects them. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
}

/// What the workers may talk to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether the operator makes a NetworkPolicy per role.
    pub enabled: bool,
    /// Further ingress rules, as in `networking.k8s.io/v1`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "rules_as_written")]
    pub extra_ingress: Vec<serde_json::Value>,
    /// Further egress rules, as in `networking.k8s.io/v1`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "rules_as_written")]
    pub extra_egress: Vec<serde_json::Value>,
}

fn rules_as_written(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

/// What the operator has seen of a pipeline.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkingPipelineStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the pipeline is between its phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PipelinePhase>,
    /// Ready, Progressing, Degraded, TopicsReady, UsersReady, RedisReady, BucketReady, WorkersAvailable, RulesLoaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Available and wanted workers, such as `9/9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 23))]
    pub workers: Option<String>,
    /// Records not yet processed by the role that is furthest behind, summed over all partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Alerts that are firing now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<i64>,
    /// What stages work off before they rest; absent while the pipeline runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Kafka's ids of the topics, by topic: an id that changes means that records are gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub topic_ids: BTreeMap<String, String>,
}

/// What stages work off before they rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// When the pause was noted.
    pub since: Time,
    /// End offsets of each stream at that time, by partition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "offsets_by_stream")]
    pub ends: BTreeMap<Stream, Vec<i64>>,
}

fn offsets_by_stream(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": Stream::ALL.len(),
        "additionalProperties": {
            "type": "array",
            "maxItems": 1024,
            "items": {"type": "integer", "format": "int64"},
        },
    })
}

/// Where a pipeline is between its phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum PipelinePhase {
    /// Dependencies or workers are not ready yet.
    Starting,
    /// All stages process records.
    Running,
    /// Stages work off what was there when the pause was noted.
    Draining,
    /// Stages are at rest; ingest goes on.
    Paused,
    /// Everything is at rest.
    Stopped,
    /// The pipeline is being deleted.
    Deleting,
    /// The spec cannot be followed.
    Failed,
}
