//! Where live state is kept.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names::ObjectName, quantity::Bytes, reference::NameRef};

/// Where live state is kept: exactly one member.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["managed", "external"]))]
pub struct Redis {
    /// A Redis with Sentinel that the operator makes and repairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
    /// A Redis that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
}

/// A Redis with Sentinel that the operator makes and repairs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = odd_sentinels())]
pub struct ManagedRedis {
    /// Redis servers, one of them master. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 9))]
    pub replicas: Option<u16>,
    /// Sentinels; an odd number, so that a majority exists. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 9))]
    pub sentinels: Option<u16>,
    /// Size of each server's volume. Default: 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Bytes>,
    /// Storage class of the volumes. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
    /// Container image of Redis. Default: the one that the operator was released with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// CPU and memory of each server. Default: requests of 100m and 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
}

impl ManagedRedis {
    /// Redis servers; 3 unless set.
    pub fn replicas(&self) -> u16 {
        self.replicas.unwrap_or(3)
    }

    /// Sentinels; 3 unless set.
    pub fn sentinels(&self) -> u16 {
        self.sentinels.unwrap_or(3)
    }

    /// Replicas that must have a commit before it counts: one, where there is one.
    pub fn wait_replicas(&self) -> u8 {
        u8::from(self.replicas() > 1)
    }

    /// Size of each server's volume; 1 GiB unless set.
    pub fn storage(&self) -> Bytes {
        self.storage.unwrap_or(Bytes::gibibytes(1))
    }
}

/// A Redis with Sentinel that somebody else runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRedis {
    /// `host:port` of each sentinel.
    #[schemars(length(min = 1, max = 9), inner(length(min = 3, max = 262)))]
    pub sentinels: Vec<String>,
    /// Name under which the sentinels know the master. Default: `mymaster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub master_name: Option<String>,
    /// Secret with `password` and optionally `username`. Default: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,
    /// Secret with `password` and optionally `username` for the sentinels. Default: no login there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_credentials_secret_ref: Option<NameRef>,
    /// Replicas that must have a commit before it counts; 0 waits for none, and a fail-over may then take back the
    /// newest commits. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 8))]
    pub wait_replicas: Option<u8>,
    /// Encrypted connections. Default: plain ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
}

impl ExternalRedis {
    /// Name under which the sentinels know the master; `mymaster` unless set.
    pub fn master_name(&self) -> &str {
        self.master_name.as_deref().unwrap_or("mymaster")
    }

    /// Replicas that must have a commit before it counts; none unless set.
    pub fn wait_replicas(&self) -> u8 {
        self.wait_replicas.unwrap_or(0)
    }
}

/// Encrypted connections to Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisTls {
    /// Secret with the certificate authority in `ca.crt`. Default: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<NameRef>,
}

fn odd_sentinels() -> Rule {
    Rule::new("!has(self.sentinels) || self.sentinels % 2 == 1")
        .message("sentinels must be an odd number, so that a majority exists")
        .field_path(".sentinels")
}
