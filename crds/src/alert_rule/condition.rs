//! What must hold for an alert: one of eight kinds of condition.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    decimal::Decimal,
    duration::Duration,
    event::{EventType, SourceType},
    names::ClassName,
};

use super::{Anomaly, DwellLimit, InstanceLabel};

/// What must hold: exactly one member.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&[
    "threshold", "dwell", "absence", "rate", "sequence", "entitlement", "anomaly", "cel"
]))]
pub struct Condition {
    /// A zone's metric crosses a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Box<Threshold>>,
    /// A vehicle stays too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell: Option<Box<Dwell>>,
    /// A device is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Box<Absence>>,
    /// Something happens too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Box<Rate>>,
    /// Something is not followed by what should follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Box<Sequence>>,
    /// A space of a class is used without the right to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<Box<Entitlement>>,
    /// A metric is far from what is usual at this hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<Box<Anomaly>>,
    /// An expression over one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cel: Option<Box<Cel>>,
}

/// The one member of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionKind<'a> {
    /// A zone's metric crosses a value.
    Threshold(&'a Threshold),
    /// A vehicle stays too long.
    Dwell(&'a Dwell),
    /// A device is silent.
    Absence(&'a Absence),
    /// Something happens too often.
    Rate(&'a Rate),
    /// Something is not followed by what should follow.
    Sequence(&'a Sequence),
    /// A space of a class is used without the right to it.
    Entitlement(&'a Entitlement),
    /// A metric is far from what is usual at this hour.
    Anomaly(&'a Anomaly),
    /// An expression over one event.
    Cel(&'a Cel),
}

impl ConditionKind<'_> {
    /// The name of the member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Threshold(_) => "threshold",
            Self::Dwell(_) => "dwell",
            Self::Absence(_) => "absence",
            Self::Rate(_) => "rate",
            Self::Sequence(_) => "sequence",
            Self::Entitlement(_) => "entitlement",
            Self::Anomaly(_) => "anomaly",
            Self::Cel(_) => "cel",
        }
    }
}

impl Condition {
    /// The condition's member, unless it has none or several.
    pub fn kind(&self) -> Option<ConditionKind<'_>> {
        let mut kinds = [
            self.threshold.as_deref().map(ConditionKind::Threshold),
            self.dwell.as_deref().map(ConditionKind::Dwell),
            self.absence.as_deref().map(ConditionKind::Absence),
            self.rate.as_deref().map(ConditionKind::Rate),
            self.sequence.as_deref().map(ConditionKind::Sequence),
            self.entitlement.as_deref().map(ConditionKind::Entitlement),
            self.anomaly.as_deref().map(ConditionKind::Anomaly),
            self.cel.as_deref().map(ConditionKind::Cel),
        ]
        .into_iter()
        .flatten();
        kinds.next().filter(|_| kinds.next().is_none())
    }
}

/// A zone's metric crosses a value.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = recovers_on_the_far_side())]
#[x_kube(validation = coverage_is_a_share())]
#[x_kube(validation = crate::rules::positive("window"))]
pub struct Threshold {
    /// What is measured.
    pub metric: Metric,
    /// How the metric is compared with `value`.
    pub op: Op,
    /// The value to cross; ratios from 0 to 1, spaces as numbers.
    pub value: Decimal,
    /// The value at which the condition ceases, on the far side of `value`. Default: `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Decimal>,
    /// How the readings in `window` become one number. Default: `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// How far `aggregate` looks back; not used by `last`. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Share of the zone's spaces that must be known, 0 to 1; below it there is no data. Default: 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<Decimal>,
}

impl Threshold {
    /// The value at which the condition ceases; `value` unless set.
    pub fn recover(&self) -> Decimal {
        self.recover.unwrap_or(self.value)
    }

    /// How readings become one number; the last one counts unless set.
    pub fn aggregate(&self) -> Aggregate {
        self.aggregate.unwrap_or_default()
    }

    /// How far the aggregate looks back; 60 seconds unless set.
    pub fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_secs(60))
    }

    /// Share of spaces that must be known; one half unless set.
    pub fn min_coverage(&self) -> Decimal {
        self.min_coverage.unwrap_or(Decimal::HALF)
    }
}

/// What can be measured of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Occupied spaces divided by known spaces.
    OccupancyNow,
    /// Occupied spaces.
    Occupied,
    /// Free spaces.
    Free,
    /// Known spaces divided by all spaces.
    Coverage,
}

/// How a metric is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Op {
    /// At or above the value.
    #[serde(rename = ">=")]
    AtLeast,
    /// Above the value.
    #[serde(rename = ">")]
    Above,
    /// At or below the value.
    #[serde(rename = "<=")]
    AtMost,
    /// Below the value.
    #[serde(rename = "<")]
    Below,
}

/// How several readings become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum Aggregate {
    /// The newest.
    #[default]
    Last,
    /// The mean, weighted by time.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// A vehicle stays too long.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = fallback_needs_policy())]
#[x_kube(validation = crate::rules::positive("closeAfter"))]
pub struct Dwell {
    /// The longest allowed stay: `policy`, as the zone's policy says, or a duration.
    pub limit: DwellLimit,
    /// The limit where no policy says one. Default: no limit there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Duration>,
    /// Time beyond the limit that is tolerated. Default: the policy's, else 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// Stay after which a missed departure is assumed and the alert resolved. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_after: Option<Duration>,
}

impl Dwell {
    /// Stay after which a missed departure is assumed; 24 hours unless set.
    pub fn close_after(&self) -> Duration {
        self.close_after.unwrap_or(Duration::from_secs(86_400))
    }
}

/// A device is silent for longer than it should be.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::positive("expectedInterval"))]
pub struct Absence {
    /// Which devices are watched. Default: all in scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Devices>,
    /// How often a device reports. Default: as the inventory says, else 300s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_interval: Option<Duration>,
    /// Reports that must be missing. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 1000))]
    pub missed: Option<u32>,
}

impl Absence {
    /// Reports that must be missing; 3 unless set.
    pub fn missed(&self) -> u32 {
        self.missed.unwrap_or(3)
    }
}

/// Which devices are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// Kinds of devices, as CDS names source types. Default: every kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", length(max = 8), inner(length(max = 32)))]
    pub device_types: Vec<SourceType>,
}

/// Something happens too often.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::positive("window"))]
pub struct Rate {
    /// What is counted.
    #[serde(rename = "match")]
    pub matching: EventMatch,
    /// How many must happen.
    #[schemars(with = "i32", range(min = 1, max = 100_000))]
    pub count: u32,
    /// Within which time.
    pub window: Duration,
}

/// Events of certain types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventMatch {
    /// Types of CDS events; any of them counts.
    #[schemars(with = "Vec<String>", length(min = 1, max = 8), inner(length(max = 32)))]
    pub event_types: Vec<EventType>,
}

/// Something is not followed in time by what should follow.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::positive("within"))]
pub struct Sequence {
    /// What begins it.
    pub first: RecordMatch,
    /// What should follow.
    pub not_followed_by: RecordMatch,
    /// Labels that both must share. Default: the rule's instance key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub correlate_on: Vec<InstanceLabel>,
    /// Within which time.
    pub within: Duration,
}

/// A record of one kind: exactly one of `eventType` and `recordType`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["eventType", "recordType"]))]
pub struct RecordMatch {
    /// A CDS event of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 32))]
    pub event_type: Option<EventType>,
    /// A companion record of this type, such as `payment.captured`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub record_type: Option<String>,
}

/// A space of a class is used without the right to it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entitlement {
    /// Class of the spaces.
    pub space_class: ClassName,
    /// Facts any of which gives the right, such as `permit.disabled`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 64)))]
    pub any_of: Vec<String>,
    /// What a failed look-up means. Default: `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_lookup_error: Option<OnLookupError>,
}

/// What a failed look-up of a right means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum OnLookupError {
    /// The failure is reported in the rule's status; no alert is raised.
    #[default]
    Error,
    /// The right is assumed.
    Assume,
}

/// An expression over one event, in the Common Expression Language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cel {
    /// The expression; `event` is the CDS event. It must give a boolean.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
}

fn recovers_on_the_far_side() -> Rule {
    Rule::new(
        "!has(self.recover) || (self.op in ['>=', '>'] \
         ? double(self.recover) <= double(self.value) : double(self.recover) >= double(self.value))",
    )
    .message("recover must lie on the far side of value: below it for >= and >, above it for <= and <")
    .field_path(".recover")
}

fn coverage_is_a_share() -> Rule {
    Rule::new(
        "!has(self.minCoverage) || (double(self.minCoverage) >= 0.0 && double(self.minCoverage) <= 1.0)",
    )
    .message("minCoverage must be between 0 and 1")
    .field_path(".minCoverage")
}

fn fallback_needs_policy() -> Rule {
    Rule::new("!has(self.fallback) || self.limit == 'policy'")
        .message("fallback is used only with the limit `policy`")
        .field_path(".fallback")
}
