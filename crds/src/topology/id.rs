//! Which pipeline is meant, and the names that follow from it.

use std::fmt;

use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    names::{
        GroupName, KeyPrefix, NameError, Namespace, ObjectName, PipelineName, TopicName, UserName,
        WorkloadName,
    },
    pipeline::ParkingPipeline,
    role::Role,
    stream::Stream,
};

/// Namespace and name of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineId {
    /// Namespace of the pipeline.
    pub namespace: Namespace,
    /// Name of the pipeline.
    pub name: PipelineName,
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl PipelineId {
    /// The identity of a pipeline; without a namespace it stands in `default`, as for `kubectl`.
    pub fn of(pipeline: &ParkingPipeline) -> Result<Self, NameError> {
        let namespace = pipeline.namespace();
        Ok(Self {
            namespace: namespace.as_deref().unwrap_or("default").parse()?,
            name: pipeline.name_any().parse()?,
        })
    }

    /// Topic of a stream. Neither part holds a dot, so no two pipelines share a topic.
    pub fn topic(&self, stream: Stream) -> TopicName {
        TopicName::derived(format!("{}.{}.{stream}", self.namespace, self.name))
    }

    /// Consumer group of a role.
    pub fn group(&self, role: Role) -> GroupName {
        GroupName::derived(format!("{}.{}.{role}", self.namespace, self.name))
    }

    /// Name of the workload of a role, in the pipeline's namespace.
    pub fn workload(&self, role: Role) -> WorkloadName {
        WorkloadName::derived(format!("{}-{role}", self.name))
    }

    /// Name of the workload with the Redis servers, in the pipeline's namespace.
    pub fn redis(&self) -> WorkloadName {
        WorkloadName::derived(format!("{}-redis", self.name))
    }

    /// Name of the workload with the sentinels, in the pipeline's namespace.
    pub fn sentinel(&self) -> WorkloadName {
        WorkloadName::derived(format!("{}-redis-sentinel", self.name))
    }

    /// Secret with the password of a managed Redis.
    pub fn redis_secret(&self) -> ObjectName {
        ObjectName::derived(format!("{}-redis", self.name))
    }

    /// Kafka user of a role. Users of all pipelines share Kafka's namespace, so a hash of the identity tells
    /// equal names apart.
    pub fn user(&self, role: Role) -> UserName {
        UserName::derived(format!("{}-{role}-{}", self.name, self.hash()))
    }

    /// Kafka user of the autoscaler, which looks at lag and nothing else.
    pub fn scaler_user(&self) -> UserName {
        UserName::derived(format!("{}-scaler-{}", self.name, self.hash()))
    }

    /// Secret with a role's login at a Kafka cluster run by Strimzi, in the pipeline's namespace. Never the name of
    /// the user's own Secret, which may stand in the same namespace.
    pub fn kafka_login(&self, role: Role) -> ObjectName {
        ObjectName::derived(format!("{}-{role}-kafka", self.name))
    }

    /// Secret with the autoscaler's login, as above.
    pub fn scaler_login(&self) -> ObjectName {
        ObjectName::derived(format!("{}-scaler-kafka", self.name))
    }

    /// Secret with the certificate authority of a Kafka cluster run by Strimzi.
    pub fn kafka_ca_secret(&self) -> ObjectName {
        ObjectName::derived(format!("{}-kafka-ca", self.name))
    }

    /// First part of every key in a shared store; the braces keep a pipeline on one cluster slot.
    pub fn store_prefix(&self) -> KeyPrefix {
        KeyPrefix::derived(format!("parking:{{{}/{}}}:", self.namespace, self.name))
    }

    /// First part of every key in a shared bucket.
    pub fn lake_prefix(&self) -> KeyPrefix {
        KeyPrefix::derived(format!("{}/{}/", self.namespace, self.name))
    }

    fn hash(&self) -> String {
        let digest: [u8; 32] = Sha256::digest(self.to_string()).into();
        let first_bytes = digest.iter().take(5).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        format!("{first_bytes:010x}")
    }
}
