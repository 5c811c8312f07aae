//! Whether a pipeline runs, and what remains of it when it is deleted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// What the pipeline shall do.
    pub phase: Phase,
}

/// What a pipeline shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// All roles work.
    Running,
    /// Stages drain to the end offsets noted at the pause, then rest; ingest goes on.
    Paused,
    /// Ingest refuses, stages drain, then everything rests.
    Stopped,
}

/// What happens to data when the pipeline is deleted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionPolicy {
    /// Topics and their users. Default: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Retention>,
    /// The pipeline's objects in the bucket. Default: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Retention>,
    /// Volumes and password of a managed Redis; its pods always go. Default: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Retention>,
}

impl DeletionPolicy {
    /// What happens to topics and users; they are retained unless set.
    pub fn topics(&self) -> Retention {
        self.topics.unwrap_or_default()
    }

    /// What happens to the objects in the bucket; they are retained unless set.
    pub fn bucket(&self) -> Retention {
        self.bucket.unwrap_or_default()
    }

    /// What happens to Redis' volumes; they are retained unless set.
    pub fn redis(&self) -> Retention {
        self.redis.unwrap_or_default()
    }
}

/// Whether data outlives its pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum Retention {
    /// The data stays.
    #[default]
    Retain,
    /// The data is deleted with the pipeline.
    Delete,
}
