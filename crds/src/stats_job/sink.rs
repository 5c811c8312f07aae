//! Where statistics go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, names::TableName, reference::NameRef};

/// Where results go: exactly one member.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["lake", "redis", "kafka", "postgres"]))]
pub struct Sink {
    /// A table of the lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lake: Option<LakeSink>,
    /// Keys of the pipeline's Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSink>,
    /// A topic of the pipeline's Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSink>,
    /// A table of a Postgres database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresSink>,
}

/// The one member of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind<'a> {
    /// A table of the lake.
    Lake(&'a LakeSink),
    /// Keys of the pipeline's Redis.
    Redis(&'a RedisSink),
    /// A topic of the pipeline's Kafka.
    Kafka(&'a KafkaSink),
    /// A table of a Postgres database.
    Postgres(&'a PostgresSink),
}

impl Sink {
    /// The sink's member, unless it has none or several.
    pub fn kind(&self) -> Option<SinkKind<'_>> {
        let mut kinds = [
            self.lake.as_ref().map(SinkKind::Lake),
            self.redis.as_ref().map(SinkKind::Redis),
            self.kafka.as_ref().map(SinkKind::Kafka),
            self.postgres.as_ref().map(SinkKind::Postgres),
        ]
        .into_iter()
        .flatten();
        kinds.next().filter(|_| kinds.next().is_none())
    }
}

/// A table of the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LakeSink {
    /// Name of the table, below `stats/`.
    pub table: TableName,
}

/// Keys of the pipeline's Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisSink {
    /// How long a result is kept. Default: 2d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
}

impl RedisSink {
    /// How long a result is kept; two days unless set.
    pub fn ttl(&self) -> Duration {
        self.ttl.unwrap_or(Duration::from_secs(2 * 86_400))
    }
}

/// A topic of the pipeline's Kafka; it has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KafkaSink {}

/// A table of a Postgres database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresSink {
    /// Secret with the connection string in `url`.
    pub credentials_secret_ref: NameRef,
    /// Name of the table; it is made when missing.
    pub table: TableName,
}
