//! How a rule reads time, and when it applies.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::Duration,
    time::{TimeOfDay, Weekday, ZoneName},
};

/// How a rule reads time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleTime {
    /// Which time counts. Default: `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<TimeBasis>,
    /// Lateness that this rule waits for; not below the pipeline's. Default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_lateness: Option<Duration>,
    /// Silence after which time goes on without events; not below the pipeline's. Default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<Duration>,
    /// Time zone of `activeWindows` and of the digest. Default: the zone's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
}

/// Which time counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::schema::leave_text_to_the_field)]
pub enum TimeBasis {
    /// When it happened on the ground.
    #[default]
    Event,
}

/// A span of local time on some days, in the words of a CDS time span.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveWindow {
    /// Days on which the span begins. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days_of_week: Vec<Weekday>,
    /// First minute of the span, `HH:MM`.
    pub time_of_day_start: TimeOfDay,
    /// First minute after the span, `HH:MM`; a span that ends at or before its start ends on the next day.
    pub time_of_day_end: TimeOfDay,
}
