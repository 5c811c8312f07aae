//! Who is told of an alert, and which other alerts silence it.

use kube::KubeSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    duration::Duration,
    names::{RouteName, RuleName},
    time::TimeOfDay,
};

use super::InstanceLabel;

/// Who is told, and how often.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// Routes of the pipeline.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub routes: Vec<RouteName>,
    /// Labels whose equal values put alerts into one notification. Default: one notification per alert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub group_by: Vec<String>,
    /// How long a new group waits for more alerts. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_wait: Option<Duration>,
    /// How long a changed group waits before it is told again. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_interval: Option<Duration>,
    /// How often an unchanged group is told again. Default: 4h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<Duration>,
    /// Whether the end of an alert is told. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_resolved: Option<bool>,
    /// Local time of a daily digest that replaces single notifications; empty means none. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "time_or_empty")]
    #[schemars(
        with = "Option<String>",
        length(max = 5),
        regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)?$")
    )]
    pub digest_at: Option<TimeOfDay>,
}

impl Notify {
    /// How long a new group waits for more alerts; 30 seconds unless set.
    pub fn group_wait(&self) -> Duration {
        self.group_wait.unwrap_or(Duration::from_secs(30))
    }

    /// How long a changed group waits before it is told again; 5 minutes unless set.
    pub fn group_interval(&self) -> Duration {
        self.group_interval.unwrap_or(Duration::from_secs(300))
    }

    /// How often an unchanged group is told again; 4 hours unless set.
    pub fn repeat_interval(&self) -> Duration {
        self.repeat_interval.unwrap_or(Duration::from_secs(4 * 3_600))
    }

    /// Whether the end of an alert is told; it is unless switched off.
    pub fn send_resolved(&self) -> bool {
        self.send_resolved.unwrap_or(true)
    }
}

fn time_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeOfDay>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

/// A rule whose firing alerts silence this one.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inhibition {
    /// Name of the other rule, in the same namespace.
    pub rule_ref: RuleName,
    /// Labels that must be equal in both alerts. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub equal: Vec<InstanceLabel>,
}
