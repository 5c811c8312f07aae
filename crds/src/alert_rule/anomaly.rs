//! A metric that is far from what is usual.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::decimal::Decimal;

/// A metric is far from what is usual at this hour of the week.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = deviates_above_zero())]
pub struct Anomaly {
    /// What is measured.
    pub metric: Metric,
    /// What is usual.
    pub baseline: Baseline,
    /// Median absolute deviations from the baseline that are too far, above 0.
    pub mads: Decimal,
    /// Weeks of history that must exist. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 104))]
    pub min_weeks: Option<u32>,
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Baseline {
    /// The median at the same hour of the week.
    HourOfWeekMedian,
}

fn deviates_above_zero() -> Rule {
    Rule::new("double(self.mads) > 0.0").message("mads must be above 0").field_path(".mads")
}
