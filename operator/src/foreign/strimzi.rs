//! Strimzi's `Kafka`, `KafkaTopic` and `KafkaUser` as far as they are set or read here.
//!
//! Must not: decide anything. Invariants: the same types serve `v1` and `v1beta2`, whose members used here are
//! equal; unknown members are ignored.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Serialize};

use crate::apis::StrimziVersion;

/// Group of all resources of Strimzi.
pub const GROUP: &str = "kafka.strimzi.io";
/// Label that names the `Kafka` resource which a topic or user belongs to.
pub const CLUSTER: &str = "strimzi.io/cluster";
/// Annotation of a topic: `"false"` makes Strimzi forget it, so that a deleted resource leaves the topic in Kafka.
pub const MANAGED: &str = "strimzi.io/managed";

macro_rules! resource {
    ($(#[$doc:meta])* $name:ident, $plural:literal, $spec:ty, $status:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// Name, labels and what else every object has.
            pub metadata: ObjectMeta,
            /// What is wanted.
            #[serde(default)]
            pub spec: $spec,
            /// What Strimzi says of it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<$status>,
        }

        impl Resource for $name {
            type DynamicType = StrimziVersion;
            type Scope = NamespaceResourceScope;

            fn kind(_: &StrimziVersion) -> Cow<'_, str> {
                stringify!($name).into()
            }

            fn group(_: &StrimziVersion) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version(version: &StrimziVersion) -> Cow<'_, str> {
                version.as_str().into()
            }

            fn plural(_: &StrimziVersion) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource! {
    /// A Kafka cluster; only read.
    Kafka, "kafkas", KafkaSpec, KafkaStatus
}

resource! {
    /// A topic.
    KafkaTopic, "kafkatopics", KafkaTopicSpec, KafkaTopicStatus
}

resource! {
    /// A user with its rights.
    KafkaUser, "kafkausers", KafkaUserSpec, KafkaUserStatus
}

/// A condition; unlike those of Kubernetes it has no generation, and its reason may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Such as `Ready`, `Warning`, `Unmanaged`, `ReconciliationPaused`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// The condition of a type, if there is one.
pub fn condition<'a>(conditions: &'a [Condition], wanted: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == wanted)
}

/// What a Kafka cluster shall be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// The brokers.
    #[serde(default)]
    pub kafka: Brokers,
}

/// The brokers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Brokers {
    /// Where clients come in.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// How rights are checked; absent means not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Typed>,
}

/// Where clients come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name within the cluster.
    pub name: String,
    /// Whether it encrypts.
    #[serde(default)]
    pub tls: bool,
    /// How clients prove who they are; absent means not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Typed>,
}

/// Something of which only the type matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    /// The type's word.
    #[serde(rename = "type")]
    pub type_: String,
}

/// What Strimzi says of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaStatus {
    /// How it stands.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where clients come in.
    #[serde(default)]
    pub listeners: Vec<ListenerStatus>,
    /// Kafka's own id of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

/// Where clients come in, as it turned out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name within the cluster.
    #[serde(default)]
    pub name: String,
    /// `host:port` list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// The authorities that sign its certificate, as PEM.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// What a topic shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicSpec {
    /// Name in Kafka; absent means the name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Number of partitions; absent means the brokers' default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Copies of every record; absent means the brokers' default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Settings as Kafka names them; values may be numbers where somebody else wrote them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
}

/// What Strimzi says of a topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// How it stands; without `Ready` when Strimzi leaves it alone.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Kafka's own id of the topic: another id is another topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
}

/// What a user shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserSpec {
    /// How the user proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Typed>,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
}

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// `simple`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The rights, one a resource.
    #[serde(default)]
    pub acls: Vec<Acl>,
}

/// Rights on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acl {
    /// What they are about.
    pub resource: AclResource,
    /// What is allowed.
    #[serde(default)]
    pub operations: Vec<AclOperation>,
}

/// What rights are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclResource {
    /// Kind of resource.
    #[serde(rename = "type")]
    pub type_: AclResourceType,
    /// Its name, or the beginning of its name.
    #[serde(default)]
    pub name: String,
    /// How the name is meant.
    #[serde(default)]
    pub pattern_type: PatternType,
}

/// Kind of a resource in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AclResourceType {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The identity of a transactional producer.
    TransactionalId,
    /// The cluster; never granted here.
    Cluster,
}

/// How the name in a right is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatternType {
    /// The name itself.
    #[default]
    Literal,
    /// Every name that begins so.
    Prefix,
}

/// What a right allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AclOperation {
    /// To see that it exists, and its offsets.
    Describe,
    /// To read records or commit offsets.
    Read,
    /// To append records.
    Write,
    /// Anything else, which is never granted here.
    #[serde(other)]
    Other,
}

/// What Strimzi says of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaUserStatus {
    /// How it stands.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name by which Kafka knows the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Secret with the login, in the user's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}
