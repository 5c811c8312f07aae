//! How many workers of each role run, and where.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration, TopologySpreadConstraint};
use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{duration::Duration, names::ObjectName, role::Role};

/// The workers, by role.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = only_the_archive_rolls())]
#[x_kube(validation = lag_needs_partitions())]
pub struct Workers {
    /// Accepts events. Default: one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Worker>,
    /// Follows spaces and zones. Default: one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<Worker>,
    /// Evaluates the rules. Default: one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Worker>,
    /// Writes the lake. Default: one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Worker>,
    /// Delivers alerts. Default: one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Worker>,
    /// Keeps accounts. Default: not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Worker>,
    /// Serves the live picture. Default: not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Worker>,
    /// Takes reservations. Default: not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Worker>,
    /// Generates events. Default: not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<Worker>,
}

impl Workers {
    /// The settings of a role, if the spec has any.
    pub fn get(&self, role: Role) -> Option<&Worker> {
        match role {
            Role::Ingest => self.ingest.as_ref(),
            Role::Occupancy => self.occupancy.as_ref(),
            Role::Alert => self.alert.as_ref(),
            Role::Archive => self.archive.as_ref(),
            Role::Notify => self.notify.as_ref(),
            Role::Account => self.account.as_ref(),
            Role::Console => self.console.as_ref(),
            Role::Reserve => self.reserve.as_ref(),
            Role::Simulate => self.simulate.as_ref(),
        }
    }
}

/// How many workers of one role run, and where.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_source_of_replicas())]
pub struct Worker {
    /// Fixed number of workers; not together with `autoscaling`. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 1024))]
    pub replicas: Option<u16>,
    /// Number of workers by load; not together with `replicas`. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// When the archive closes a file; only for `archive`. Default: 1000000 rows or 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_after: Option<RollAfter>,
    /// CPU and memory of each worker. Default: the operator's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes to run on. Default: any node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the workers tolerate. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), schema_with = "crate::schema::bare::<Vec<Toleration>>")]
    pub tolerations: Vec<Toleration>,
    /// How workers spread over nodes and zones. Default: evenly over nodes, if possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), schema_with = "crate::schema::bare::<Vec<TopologySpreadConstraint>>")]
    pub topology_spread: Vec<TopologySpreadConstraint>,
    /// Priority class of the workers. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ObjectName>,
    /// Part of a pod template, merged over the operator's. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "as_written")]
    pub pod_template: Option<Map<String, Value>>,
}

fn as_written(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Number of workers by load: exactly one of `lagThreshold` and `cpuUtilization`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["lagThreshold", "cpuUtilization"]))]
#[x_kube(validation = bounds_in_order())]
pub struct Autoscaling {
    /// Fewest workers. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 1024))]
    pub min_replicas: Option<u16>,
    /// Most workers; partitions bound the useful number for occupancy, alert and archive.
    #[schemars(with = "i32", range(min = 1, max = 1024))]
    pub max_replicas: u16,
    /// Records of lag per worker above which one is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1_000_000_000))]
    pub lag_threshold: Option<u32>,
    /// Mean CPU use, in percent of the request, above which a worker is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 100))]
    pub cpu_utilization: Option<u16>,
}

impl Autoscaling {
    /// Fewest workers; 1 unless set.
    pub fn min_replicas(&self) -> u16 {
        self.min_replicas.unwrap_or(1)
    }
}

/// When the archive closes a file: at the first of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollAfter {
    /// Rows in the file. Default: 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 100_000_000))]
    pub rows: Option<u32>,
    /// Age of the oldest row. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
}

impl RollAfter {
    /// Rows in a file; a million unless set.
    pub fn rows(&self) -> u32 {
        self.rows.unwrap_or(1_000_000)
    }

    /// Age of the oldest row; 60 seconds unless set.
    pub fn age(&self) -> Duration {
        self.age.unwrap_or(Duration::from_secs(60))
    }
}

fn no_role_but(allowed: &[Role], setting: impl Fn(&str) -> String) -> String {
    let others = Role::ALL.into_iter().filter(|role| !allowed.contains(role));
    let rules: Vec<String> =
        others.map(|role| format!("(!has(self.{role}) || {})", setting(&format!("self.{role}")))).collect();
    rules.join(" && ")
}

fn only_the_archive_rolls() -> Rule {
    Rule::new(no_role_but(&[Role::Archive], |role| format!("!has({role}.rollAfter)")))
        .message("rollAfter belongs to archive only")
}

fn lag_needs_partitions() -> Rule {
    Rule::new(no_role_but(&[Role::Occupancy, Role::Alert, Role::Archive], |role| {
        format!("!has({role}.autoscaling) || !has({role}.autoscaling.lagThreshold)")
    }))
    .message("lagThreshold belongs to occupancy, alert and archive only; use cpuUtilization")
}

fn one_source_of_replicas() -> Rule {
    Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("replicas and autoscaling exclude each other")
        .field_path(".replicas")
}

fn bounds_in_order() -> Rule {
    Rule::new("(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas")
        .message("minReplicas must not be above maxReplicas")
        .field_path(".minReplicas")
}
