//! The record of an alert as it travels on the `alerts` stream and stands in the lake.
//!
//! Invariants: no wall time and nothing random stands in it, so the same log and the same rules give
//! the same bytes (G3).

use std::collections::BTreeMap;

use parking_crds::{alert_rule::Severity, event::Millis};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One change of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Always `alert`.
    pub record_type: RecordType,
    /// The alert: the same from `firing` to `resolved`.
    pub alert_id: Uuid,
    /// The instance: the same for all its alerts; key of the record.
    pub fingerprint: String,
    /// Namespace and name of the rule.
    pub rule: String,
    /// Hash of the rule as it was compiled.
    pub rule_hash: String,
    /// What became of the alert.
    pub state: AlertStatus,
    /// Why it resolved, where that is not the condition.
    pub reason: Option<ResolvedReason>,
    /// How bad it is.
    pub severity: Severity,
    /// Labels of the zone, of the rule and of the instance; the later ones win.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// What was measured: a decimal or a duration.
    pub value: String,
    /// Since when the condition holds.
    pub active_at: Millis,
    /// When the alert began.
    pub starts_at: Millis,
    /// Event time at which that was seen.
    pub fired_at: Millis,
    /// When the alert was over.
    pub ends_at: Option<Millis>,
    /// Events that caused the change, at most 5.
    pub cause_event_ids: Vec<Uuid>,
    /// Counts the records of one alert, from 1.
    pub generation: u32,
    /// Old data, played again, raised it.
    pub replayed: bool,
    /// What it was made from.
    pub origin: Origin,
}

/// The one word of `record_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordType {
    /// A change of an alert.
    #[default]
    Alert,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// It is raised.
    Firing,
    /// It is raised for missing data.
    #[serde(rename = "nodata")]
    NoData,
    /// It is over.
    Resolved,
}

impl AlertStatus {
    /// The word that stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::NoData => "nodata",
            Self::Resolved => "resolved",
        }
    }
}

/// Why an alert resolved, where that is not the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedReason {
    /// The rule was edited or deleted.
    RuleChanged,
}

/// The input record that an output was made from, and which of its outputs this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Partition of the input.
    pub partition: u32,
    /// Offset of the input.
    pub offset: u64,
    /// Number among its outputs, from 0.
    pub ordinal: u32,
}
