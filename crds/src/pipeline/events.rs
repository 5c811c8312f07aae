//! The streams of a pipeline and how time is read from them.

use kube::{KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// The streams and how time is read from them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::immutable("partitions", "every zone must stay on its partition; make a new pipeline and replay the events into it"))]
#[x_kube(validation = replication_never_shrinks())]
#[x_kube(validation = crate::rules::positive("idleAfter"))]
#[x_kube(validation = crate::rules::positive("retention"))]
pub struct Events {
    /// Partitions of every stream. Immutable: a zone must stay on its partition.
    #[schemars(with = "i32", range(min = 1, max = 1024))]
    pub partitions: u16,
    /// Copies of every record. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 7))]
    pub replication_factor: Option<u16>,
    /// How long the streams keep a record after it was appended. Default: 7d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// How far the watermark stays behind the newest event. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_lateness: Option<Duration>,
    /// Silence after which a partition gets a tick. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<Duration>,
    /// How far an event's time may lie before its publication. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// How far an event's time may lie after its publication. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ahead: Option<Duration>,
}

impl Events {
    /// Copies of every record; 3 unless set.
    pub fn replication_factor(&self) -> u16 {
        self.replication_factor.unwrap_or(3)
    }

    /// How long the streams keep a record; 7 days unless set.
    pub fn retention(&self) -> Duration {
        self.retention.unwrap_or(Duration::from_secs(7 * 86_400))
    }

    /// How far the watermark stays behind the newest event; 30 seconds unless set.
    pub fn allowed_lateness(&self) -> Duration {
        self.allowed_lateness.unwrap_or(Duration::from_secs(30))
    }

    /// Silence after which a partition gets a tick; 60 seconds unless set.
    pub fn idle_after(&self) -> Duration {
        self.idle_after.unwrap_or(Duration::from_secs(60))
    }

    /// How far an event's time may lie before its publication; 24 hours unless set.
    pub fn max_age(&self) -> Duration {
        self.max_age.unwrap_or(Duration::from_secs(86_400))
    }

    /// How far an event's time may lie after its publication; 5 minutes unless set.
    pub fn max_ahead(&self) -> Duration {
        self.max_ahead.unwrap_or(Duration::from_secs(300))
    }
}

fn replication_never_shrinks() -> Rule {
    let copies = |of: &str| format!("(has({of}.replicationFactor) ? {of}.replicationFactor : 3)");
    Rule::new(format!("{} >= {}", copies("self"), copies("oldSelf")))
        .message("replicationFactor cannot shrink; absent it is 3")
        .field_path(".replicationFactor")
}
