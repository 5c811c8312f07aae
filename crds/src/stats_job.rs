//! `StatsJob`: which statistics are computed, when, over which windows, and where they go.
//!
//! Must not: compute or schedule anything.
//! Invariants: an absent optional field has the default that its accessor returns; the schema has no defaults.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    names::TableName,
    reference::NameRef,
    time::{Schedule, ZoneName},
};

mod computation;
mod engine;
mod sink;
mod support;

pub use computation::Computation;
pub use engine::{DataFusion, Engine, EngineKind, Spark};
pub use sink::{KafkaSink, LakeSink, PostgresSink, RedisSink, Sink, SinkKind};
pub use support::{UnsupportedJob, check_support};

/// Which statistics are computed.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "parking.tinyx.io",
    version = "v1alpha1",
    kind = "StatsJob",
    plural = "statsjobs",
    shortname = "stj",
    category = "parking",
    namespaced,
    status = "StatsJobStatus",
    derive = "PartialEq",
    cel,
    validation = crate::rules::name(crate::names::JobName::MAX_LENGTH),
    doc = "Statistics over the lake, computed again and again for each complete window.",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "LastWindow", type_ = "string", json_path = ".status.lastWindow"),
    printcolumn(name = "LastResult", type_ = "string", json_path = ".status.lastResult"),
    printcolumn(name = "NextRun", type_ = "string", json_path = ".status.nextRun"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::immutable("pipelineRef.name", "make a new job"))]
#[x_kube(validation = computes_something())]
#[x_kube(validation = crate::rules::positive("granularity"))]
#[x_kube(validation = window_is_a_multiple())]
pub struct StatsJobSpec {
    /// The pipeline whose lake is read. Immutable.
    pub pipeline_ref: NameRef,
    /// When to run: minute, hour, day, month, weekday, in `timeZone`.
    pub schedule: Schedule,
    /// IANA time zone of schedule, windows and hours. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<ZoneName>,
    /// Length of a window, aligned in `timeZone`. Default: 1d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Length of a bucket within the window; the window is a multiple of it. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Duration>,
    /// What each row stands for. Default: `[zone]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub group_by: Vec<GroupBy>,
    /// What is computed. Default: nothing but the queries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub statistics: Vec<Statistic>,
    /// Further statistics in SQL. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub queries: Vec<Query>,
    /// Where results go.
    #[schemars(length(min = 1, max = 8))]
    pub sinks: Vec<Sink>,
    /// No window that begins earlier is computed. Default: the first event of the lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Time>,
    /// What happens to windows that were missed. Default: `CatchUpLatest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_runs: Option<MissedRuns>,
    /// What happens when a run is due while another goes on. Default: `Forbid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// What computes. Default: `DataFusion`, in one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Whether no new runs start. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Successful Jobs that are kept. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 100))]
    pub successful_runs_history_limit: Option<u32>,
    /// Failed Jobs that are kept. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 100))]
    pub failed_runs_history_limit: Option<u32>,
}

impl StatsJobSpec {
    /// Length of a window; one day unless set.
    pub fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_secs(86_400))
    }

    /// Length of a bucket within the window; one hour unless set.
    pub fn granularity(&self) -> Duration {
        self.granularity.unwrap_or(Duration::from_secs(3_600))
    }

    /// Name of the time zone of schedule, windows and hours; UTC unless set.
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_ref().map_or("UTC", ZoneName::as_str)
    }

    /// What each row stands for; a zone unless set.
    pub fn group_by(&self) -> &[GroupBy] {
        if self.group_by.is_empty() { &[GroupBy::Zone] } else { &self.group_by }
    }

    /// What happens to windows that were missed; the latest is caught up unless set.
    pub fn missed_runs(&self) -> MissedRuns {
        self.missed_runs.unwrap_or_default()
    }

    /// What happens when a run is due while another goes on; it is not started unless set.
    pub fn concurrency_policy(&self) -> ConcurrencyPolicy {
        self.concurrency_policy.unwrap_or_default()
    }

    /// Whether no new runs start; they do unless set.
    pub fn suspend(&self) -> bool {
        self.suspend.unwrap_or(false)
    }
}

/// What a row of statistics stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GroupBy {
    /// One zone.
    Zone,
    /// One area.
    Area,
    /// One space.
    Space,
    /// All zones or spaces of one class.
    Class,
}

/// What can be computed, as the parking field defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Statistic {
    /// Occupied time divided by known time, 0 to 1.
    Occupancy,
    /// Sessions per hour.
    Turnover,
    /// Length of stays: mean, median and 95th percentile, in minutes.
    Dwell,
    /// Money captured per space and hour, in the smallest unit.
    Revenue,
    /// The hour of the day with the highest mean occupancy.
    PeakHour,
    /// Share of stays beyond the limit.
    Overstay,
    /// Time online divided by time commissioned, 0 to 1.
    SensorAvailability,
}

/// A statistic in SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Name of the result.
    pub name: TableName,
    /// The query; tables are those of the lake, cut to the window.
    #[schemars(length(min = 1, max = 16_384))]
    pub sql: String,
}

/// What happens to windows that were missed: they are complete and have no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum MissedRuns {
    /// They are left out: only the newest window is computed, and only soon after a time of the schedule.
    Skip,
    /// Only the newest one is computed, however late.
    #[default]
    CatchUpLatest,
    /// All are computed, oldest first.
    CatchUpAll,
}

/// What happens when a run is due while another goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum ConcurrencyPolicy {
    /// Both run.
    Allow,
    /// The new one waits for its next turn.
    #[default]
    Forbid,
    /// The old one is ended.
    Replace,
}

/// What the operator has seen of a job.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsJobStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Ready, Complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The newest window with a result, as start and end in RFC 3339 with a slash between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_window: Option<String>,
    /// How the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<RunResult>,
    /// When the newest run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Time>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// Names of the Jobs that run now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub active: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum RunResult {
    /// Every sink has the result.
    Succeeded,
    /// The same table versions had been read before; nothing was written.
    Unchanged,
    /// The lake has not yet reached the end of the window.
    LakeBehind,
    /// The run failed.
    Failed,
}

fn computes_something() -> Rule {
    Rule::new("(has(self.statistics) && self.statistics.size() > 0) || (has(self.queries) && self.queries.size() > 0)")
        .message("statistics or queries must name something to compute")
        .field_path(".statistics")
}

fn window_is_a_multiple() -> Rule {
    let seconds = |field: &str, default: u32| {
        let text = crate::rules::seconds(&format!("self.{field}"));
        format!("(has(self.{field}) ? {text} : {default})")
    };
    let (window, granularity) = (seconds("window", 86_400), seconds("granularity", 3_600));
    Rule::new(format!("{granularity} < 1 || ({window} >= {granularity} && {window} % {granularity} == 0)"))
        .message("window must be a multiple of granularity, in whole seconds")
        .field_path(".window")
}
