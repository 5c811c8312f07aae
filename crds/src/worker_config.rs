//! The one file that tells a worker what to do: the contract between operator and worker.
//!
//! Must not: hold a secret; secrets are named and read from files below `secrets`.
//! Invariants: unknown fields and other versions are refused; every setting is written out, so that the file
//! says what the worker does without knowledge of defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    names::{BucketName, GroupName, KeyPrefix, ObjectName, TopicName},
    pipeline::{GroupProtocol, IngestLimits, Route, SaslMechanism, SecurityProtocol},
    role::Role,
    stream::Stream,
    topology::PipelineId,
    version::Version,
};

/// Everything that a worker is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerConfig {
    /// Version of this contract.
    pub version: Version<1>,
    /// What the worker does.
    pub role: Role,
    /// The pipeline that it works for.
    pub pipeline: PipelineId,
    /// Where the streams are.
    pub log: Log,
    /// Topic of each stream.
    pub streams: BTreeMap<Stream, TopicName>,
    /// Consumer group whose committed offsets serve lag and tooling.
    pub group: GroupName,
    /// How its members share partitions.
    #[serde(default, skip_serializing_if = "GroupProtocol::is_default")]
    pub group_protocol: GroupProtocol,
    /// Where state is kept.
    pub store: Store,
    /// Where tables and snapshots are kept.
    pub lake: Lake,
    /// How time is read from the events.
    pub events: EventSettings,
    /// When a stage commits.
    pub commit: CommitSettings,
    /// Path of the inventory file.
    pub inventory: String,
    /// Key of the inventory in the lake's bucket; then it is read from there instead of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory_object: Option<String>,
    /// Path of the folder with the rule bundle.
    pub rules: String,
    /// Path of the folder with one folder per secret and one file per key.
    pub secrets: String,
    /// Address and port of the HTTP server.
    pub listen: String,
    /// When the archive closes a file; only for the role `archive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_after: Option<RollSettings>,
    /// Where alerts go; only for the role `notify`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Who may write; only for the role `ingest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestSettings>,
}

impl WorkerConfig {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, WorkerConfigError> {
        serde_saphyr::from_str(text).map_err(|error| WorkerConfigError(error.without_snippet().to_string()))
    }

    /// The file's text.
    pub fn to_yaml(&self) -> Result<String, WorkerConfigError> {
        serde_saphyr::to_string(self).map_err(|error| WorkerConfigError(error.to_string()))
    }
}

/// The text is no worker configuration of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker configuration cannot be read: {0}")]
pub struct WorkerConfigError(String);

/// Where the streams are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Log {
    /// In the data folder of this process.
    Embedded {},
    /// In Kafka.
    Kafka {
        /// Comma-separated `host:port` of some brokers.
        bootstrap_servers: String,
        /// How to talk to the brokers.
        security_protocol: SecurityProtocol,
        /// How to log in with a `SASL_…` protocol.
        sasl_mechanism: SaslMechanism,
        /// Secret with the login.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<ObjectName>,
        /// Secret with the certificate authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<ObjectName>,
    },
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Store {
    /// In the data folder of this process.
    Embedded {},
    /// In a Redis with Sentinel.
    Redis {
        /// `host:port` of each sentinel.
        sentinels: Vec<String>,
        /// Name under which the sentinels know the master.
        master_name: String,
        /// First part of every key.
        prefix: KeyPrefix,
        /// Secret with the login at the servers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<ObjectName>,
        /// Secret with the login at the sentinels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sentinel_credentials: Option<ObjectName>,
        /// Replicas that must have a commit before it counts.
        wait_replicas: u8,
        /// Whether connections are encrypted.
        tls: bool,
        /// Secret with the certificate authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<ObjectName>,
    },
}

/// Where tables and snapshots are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Lake {
    /// In the data folder of this process.
    Embedded {
        /// How long rows are kept, counted back from each table's watermark; absent means forever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention: Option<Duration>,
    },
    /// In a bucket that speaks the S3 protocol.
    S3 {
        /// URL of the service; absent means AWS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// Region of the bucket.
        region: String,
        /// Name of the bucket.
        bucket: BucketName,
        /// First part of every key.
        prefix: KeyPrefix,
        /// Whether the bucket stands in the path instead of the host name.
        path_style: bool,
        /// Secret with `accessKey` and `secretKey`; absent means that the ServiceAccount is trusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<ObjectName>,
        /// Secret with the certificate authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<ObjectName>,
        /// How long rows are kept, counted back from each table's watermark; absent means forever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention: Option<Duration>,
    },
}

/// How time is read from the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventSettings {
    /// Partitions of every stream.
    pub partitions: u16,
    /// How far the watermark stays behind the newest event.
    pub allowed_lateness: Duration,
    /// Silence after which a partition gets a tick.
    pub idle_after: Duration,
    /// How far an event's time may lie before its publication.
    pub max_age: Duration,
    /// How far an event's time may lie after its publication.
    pub max_ahead: Duration,
}

/// When a stage commits: at the first of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitSettings {
    /// Time since the last commit.
    pub interval: Duration,
    /// Changed blocks of state.
    pub max_blocks: u32,
    /// Time since an effect entered the outbox.
    pub outbox_delay: Duration,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), max_blocks: 50_000, outbox_delay: Duration::from_millis(10) }
    }
}

/// When the archive closes a file: at the first of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollSettings {
    /// Rows in the file.
    pub rows: u32,
    /// Age of the oldest row.
    pub age: Duration,
}

/// Who may write events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngestSettings {
    /// Secret with the API keys; absent means that no key is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ObjectName>,
    /// Secret with certificate and key; absent means plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ObjectName>,
    /// Secret with the keys that replace plates by tokens; absent means that plates in clear are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate_keys: Option<ObjectName>,
    /// Whether records are taken from a stream in Redis, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redis_stream: bool,
    /// Bounds on what one client may send; absent means the bounds of each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<IngestLimits>,
}
