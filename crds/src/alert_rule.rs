//! `AlertRule`: what shall raise an alert, for whom, and when it is over.
//!
//! Must not: evaluate anything; the engine lives in the workers.
//! Invariants: an absent optional field has the default that its accessor returns; the schema has no defaults. A rule
//! is small: an operator holds thousands, so a few labels are a list and what most rules lack is boxed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as StatusCondition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema, core::Rule};
use litemap::LiteMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, names::ClassName, reference::NameRef};

mod anomaly;
mod check;
mod condition;
mod dwell_limit;
mod notify;
mod requirement;
mod window;

pub use anomaly::{Anomaly, Baseline};
pub use check::RuleError;
pub use condition::{
    Absence, Aggregate, Cel, Condition, ConditionKind, Devices, Dwell, Entitlement, EventMatch, Metric,
    OnLookupError, Op, Rate, RecordMatch, Sequence, Threshold,
};
pub use dwell_limit::{DwellLimit, DwellLimitError};
pub use notify::{Inhibition, Notify};
pub use requirement::Requirement;
pub use window::{ActiveWindow, RuleTime, TimeBasis};

/// What shall raise an alert.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "parking.tinyx.io",
    version = "v1alpha1",
    kind = "AlertRule",
    plural = "alertrules",
    shortname = "ar",
    category = "parking",
    namespaced,
    status = "AlertRuleStatus",
    derive = "PartialEq",
    cel,
    validation = crate::rules::name(crate::names::RuleName::MAX_LENGTH),
    validation = no_self_inhibition(),
    doc = "A condition on zones, spaces or devices that raises alerts.",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipelineRef.name"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".spec.severity"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Loaded", type_ = "string", json_path = ".status.loaded"),
    printcolumn(name = "Firing", type_ = "integer", json_path = ".status.instances.firing"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.instances.pending"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::immutable("pipelineRef.name", "make a new rule"))]
#[x_kube(validation = keeps_firing_for_a_day_at_most())]
pub struct AlertRuleSpec {
    /// The pipeline whose events are watched. Immutable.
    pub pipeline_ref: NameRef,
    /// Whether the rule is evaluated. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How bad it is.
    pub severity: Severity,
    /// What the rule looks at. Default: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Labels that tell one alert of this rule from another. Default: as the condition suggests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub instance_key: Vec<InstanceLabel>,
    /// What must hold.
    pub condition: Condition,
    /// How long the condition must hold before the alert fires. Default: 0s.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// How long the alert keeps firing after the condition ceased, at most 24h. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Duration>,
    /// What missing data means. Default: `KeepState`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// What a failed evaluation means. Default: `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// How the rule reads time. Default: as the pipeline does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Box<RuleTime>>,
    /// When the rule applies, in local time. Default: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub active_windows: Vec<ActiveWindow>,
    /// Labels of every alert, besides those of the instance. Default: none.
    #[serde(default, skip_serializing_if = "LiteMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>", extend("maxProperties" = 32))]
    pub labels: LiteMap<String, String>,
    /// Texts for people; `{{ zone.name }}` and `{{ value }}` are filled in. Default: none.
    #[serde(default, skip_serializing_if = "LiteMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>", extend("maxProperties" = 32))]
    pub annotations: LiteMap<String, String>,
    /// Who is told, and how often. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Box<Notify>>,
    /// Rules whose firing alerts silence this one. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["ruleRef".into()]))]
    pub inhibited_by: Vec<Inhibition>,
    /// Bounds on the rule. Default: as each bound says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

impl AlertRuleSpec {
    /// Whether the rule is evaluated; it is unless switched off.
    pub fn enabled(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// How long the condition must hold before the alert fires; no time unless set.
    pub fn hold(&self) -> Duration {
        self.hold.unwrap_or_default()
    }

    /// How long the alert keeps firing after the condition ceased; no time unless set.
    pub fn keep_firing_for(&self) -> Duration {
        self.keep_firing_for.unwrap_or_default()
    }

    /// What missing data means; the state is kept unless set.
    pub fn no_data(&self) -> NoData {
        self.no_data.unwrap_or_default()
    }

    /// What a failed evaluation means; an error unless set.
    pub fn on_error(&self) -> OnError {
        self.on_error.unwrap_or_default()
    }

    /// Most alerts that may be active at once; 5000 unless set.
    pub fn max_active(&self) -> u32 {
        self.limits.and_then(|limits| limits.max_active).unwrap_or(5_000)
    }
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Needs an action now.
    Critical,
}

impl Severity {
    /// The word that stands in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a rule looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Zones by their labels in the inventory. Default: every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_selector: Option<LabelSelector>,
    /// Classes of spaces. Default: every class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub space_classes: Vec<ClassName>,
}

/// A label that tells one alert from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceLabel {
    /// The zone.
    CurbZoneId,
    /// The space.
    CurbSpaceId,
    /// The area.
    CurbAreaId,
    /// The parking session.
    EventSessionId,
    /// The single event.
    EventId,
    /// The device.
    DataSourceDeviceId,
    /// The token of the vehicle's plate.
    VehicleLicensePlate,
    /// The reservation.
    ReservationId,
}

impl InstanceLabel {
    /// The label's name, as CDS writes the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CurbZoneId => "curb_zone_id",
            Self::CurbSpaceId => "curb_space_id",
            Self::CurbAreaId => "curb_area_id",
            Self::EventSessionId => "event_session_id",
            Self::EventId => "event_id",
            Self::DataSourceDeviceId => "data_source_device_id",
            Self::VehicleLicensePlate => "vehicle_license_plate",
            Self::ReservationId => "reservation_id",
        }
    }
}

/// What missing data means for an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum NoData {
    /// The state stays as it is.
    #[default]
    KeepState,
    /// Missing data is reported as an alert.
    Alerting,
    /// The condition counts as false.
    Ok,
}

/// What a failed evaluation means for an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum OnError {
    /// The failure is reported in the rule's status.
    #[default]
    Error,
    /// The state stays as it is.
    KeepState,
}

/// Bounds on a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most alerts active at once; above it one alert stands for all. Default: 5000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 100_000))]
    pub max_active: Option<u32>,
}

/// What the operator has seen of a rule.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRuleStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Active, Saturated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<StatusCondition>,
    /// Hash of the rule as it was compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub compiled_hash: Option<String>,
    /// Engines that have loaded the rule and engines that should, such as `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 23))]
    pub loaded: Option<String>,
    /// The same as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Engines>,
    /// Alerts by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// When an alert of this rule last changed its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// How many engines evaluate a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engines {
    /// Engines that should have the rule.
    pub desired: i64,
    /// Engines that have it.
    pub loaded: i64,
}

/// Alerts of a rule by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instances {
    /// Alerts waiting for `for` to pass.
    pub pending: i64,
    /// Alerts that fire.
    pub firing: i64,
    /// Alerts waiting for `keepFiringFor` to pass.
    pub recovering: i64,
    /// Alerts without data.
    pub no_data: i64,
}

fn no_self_inhibition() -> Rule {
    Rule::new("!has(self.spec.inhibitedBy) || self.spec.inhibitedBy.all(other, other.ruleRef != self.metadata.name)")
        .message("a rule cannot inhibit itself")
        .field_path(".spec.inhibitedBy")
}

fn keeps_firing_for_a_day_at_most() -> Rule {
    let below_a_day = crate::rules::below_a_day("self.keepFiringFor");
    let one_day = "self.keepFiringFor.matches('^0*1d(0+(h|ms|m|s))*$')";
    let no_day = "!self.keepFiringFor.contains('d') || self.keepFiringFor.matches('^0+d')";
    Rule::new(format!(
        "!has(self.keepFiringFor) || {one_day} || (({no_day}) && {below_a_day} <= duration('24h'))"
    ))
    .message("keepFiringFor must be at most 24h")
    .field_path(".keepFiringFor")
}
