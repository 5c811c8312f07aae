//! What computes statistics.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{names::ObjectName, quantity::Bytes};

/// What computes: exactly one member.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["datafusion", "spark"]))]
pub struct Engine {
    /// `DataFusion` in one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datafusion: Option<DataFusion>,
    /// The same SQL as a `SparkApplication`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark: Option<Spark>,
}

/// The one member of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EngineKind<'a> {
    /// `DataFusion` in one process.
    DataFusion(&'a DataFusion),
    /// The same SQL as a `SparkApplication`.
    Spark(&'a Spark),
}

impl Engine {
    /// The engine's member, unless it has none or both.
    pub fn kind(&self) -> Option<EngineKind<'_>> {
        match (&self.datafusion, &self.spark) {
            (Some(datafusion), None) => Some(EngineKind::DataFusion(datafusion)),
            (None, Some(spark)) => Some(EngineKind::Spark(spark)),
            _ => None,
        }
    }
}

/// `DataFusion` in one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataFusion {
    /// CPU and memory of the process. Default: the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
}

/// A `SparkApplication` of the Spark operator.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spark {
    /// Executors. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1000))]
    pub executors: Option<u32>,
    /// Cores of each executor. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 128))]
    pub executor_cores: Option<u32>,
    /// Memory of each executor. Default: 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_memory: Option<Bytes>,
    /// Container image of driver and executors: it reads the run's file and computes the same SQL.
    /// Default: none, and a job on Spark is refused without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// ServiceAccount of the driver, which may make pods. Default: `spark`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ObjectName>,
    /// Spark settings. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub config: BTreeMap<String, String>,
}
