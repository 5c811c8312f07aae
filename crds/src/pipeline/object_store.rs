//! Where the lake and the snapshots are kept.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, names::BucketName, reference::NameRef};

/// A bucket that speaks the S3 protocol.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::immutable("bucket", "the lake would stay behind; make a new pipeline"))]
#[x_kube(validation = crate::rules::http("endpoint"))]
#[x_kube(validation = crate::rules::positive("retention"))]
pub struct ObjectStore {
    /// URL of the service. Default: AWS in the given region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    pub endpoint: Option<String>,
    /// Region of the bucket. Default: `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// Name of the bucket. Immutable.
    pub bucket: BucketName,
    /// Secret with `accessKey` and `secretKey`. Default: the workers' ServiceAccount is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,
    /// Secret with the certificate authority in `ca.crt`. Default: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<NameRef>,
    /// Whether the bucket stands in the path instead of the host name. Default: true with an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Whether the operator makes a missing bucket. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// How long the lake keeps rows, counted back from each table's watermark. Default: forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
}

impl ObjectStore {
    /// Region of the bucket; `us-east-1` unless set.
    pub fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    /// Whether the bucket stands in the path; unless set, it does when an endpoint is given.
    pub fn path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}
