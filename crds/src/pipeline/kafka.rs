//! Where the streams live.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    names::{Namespace, ObjectName},
    reference::NameRef,
};

/// Where the streams live: exactly one member.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["strimzi", "external"]))]
#[x_kube(validation = cluster_is_immutable())]
pub struct Kafka {
    /// A cluster run by Strimzi; topics and users are made as its custom resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strimzi: Option<StrimziKafka>,
    /// Any other cluster; topics are made by the operator with the given credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
    /// How the workers of a role share its partitions, Kafka's `group.protocol`. With `consumer` the brokers decide
    /// when a silent worker is gone (`group.consumer.session.timeout.ms`, 45 s if nobody changed it). Default:
    /// `classic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_protocol: Option<GroupProtocol>,
}

/// How the members of a consumer group share partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum GroupProtocol {
    /// A member assigns: any broker; a worker that is silent for 15 s is gone, one that restarts is expected back.
    #[default]
    Classic,
    /// The brokers assign (KIP-848): Kafka 4.0 or later; no member waits for another one.
    Consumer,
}

impl GroupProtocol {
    /// Whether it is the default, which no configuration needs to say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A Kafka cluster run by Strimzi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrimziKafka {
    /// Name of the `Kafka` resource.
    pub cluster: ObjectName,
    /// Namespace of the `Kafka` resource. Default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Listener that the workers connect to. Default: `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25))]
    pub listener: Option<String>,
}

/// A Kafka cluster that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = sasl_needs_credentials())]
pub struct ExternalKafka {
    /// Comma-separated `host:port` of some brokers.
    #[schemars(length(min = 3, max = 1024))]
    pub bootstrap_servers: String,
    /// How to talk to the brokers. Default: `PLAINTEXT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_protocol: Option<SecurityProtocol>,
    /// How to log in with a `SASL_…` protocol. Default: `SCRAM-SHA-512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// Secret with `username` and `password`, or `user.crt` and `user.key`. Default: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,
    /// Secret with the certificate authority in `ca.crt`. Default: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<NameRef>,
}

/// How to talk to Kafka brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum SecurityProtocol {
    /// Without encryption or login.
    #[default]
    Plaintext,
    /// Encrypted, login by client certificate or none.
    Ssl,
    /// Login without encryption.
    SaslPlaintext,
    /// Encrypted login.
    SaslSsl,
}

/// How to log in to Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum SaslMechanism {
    /// User name and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge with SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Stands on the parent, or removing a member and adding another would pass.
fn cluster_is_immutable() -> Rule {
    Rule::new(
        "has(self.strimzi) == has(oldSelf.strimzi) && (!has(self.strimzi) || \
         (self.strimzi.cluster == oldSelf.strimzi.cluster \
         && has(self.strimzi.__namespace__) == has(oldSelf.strimzi.__namespace__) \
         && (!has(self.strimzi.__namespace__) || self.strimzi.__namespace__ == oldSelf.strimzi.__namespace__)))",
    )
    .message("the Kafka cluster cannot be changed: make a new pipeline and replay the events into it")
}

fn sasl_needs_credentials() -> Rule {
    Rule::new(
        "!has(self.securityProtocol) || !self.securityProtocol.startsWith('SASL') || has(self.credentialsSecretRef)",
    )
    .message("credentialsSecretRef must be set with a SASL protocol")
    .field_path(".credentialsSecretRef")
}
