//! What of a job's wishes can be computed by this version.

use super::{Computation, EngineKind, GroupBy, Statistic, StatsJobSpec};
use crate::{
    event::Millis,
    time::{Calendar, ZoneName, day::DAY},
};

/// A job that wants what is not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct UnsupportedJob {
    /// Path of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

fn refuse<T>(field: &'static str, reason: impl Into<String>) -> Result<T, UnsupportedJob> {
    Err(UnsupportedJob { field, reason: reason.into() })
}

/// Whether `DataFusion` and Spark jobs of this version can compute all that the job wants.
pub fn check_support(spec: &StatsJobSpec) -> Result<(), UnsupportedJob> {
    check_rows(&spec.statistics, spec.group_by())?;
    if spec.engine.as_ref().is_some_and(|engine| engine.kind().is_none()) {
        return refuse("spec.engine", "exactly one of datafusion, spark must be set");
    }
    Ok(())
}

fn check_rows(statistics: &[Statistic], group_by: &[GroupBy]) -> Result<(), UnsupportedJob> {
    for statistic in statistics {
        if matches!(statistic, Statistic::Revenue | Statistic::Overstay) {
            return refuse("spec.statistics", format!("{statistic:?} is not computed yet"));
        }
    }
    if group_by != [GroupBy::Zone] {
        return refuse("spec.groupBy", "only [zone] is computed yet");
    }
    Ok(())
}

impl Computation {
    /// How it cuts time, where this version can compute it. It came as a file, so what the API server checks of a
    /// job's spec is checked once more.
    pub fn calendar(&self) -> Result<Calendar, UnsupportedJob> {
        check_rows(&self.statistics, &self.group_by)?;
        let (window, granularity): (Millis, Millis) = (self.window.millis(), self.granularity.millis());
        if granularity < 1_000 || window < granularity || window % granularity != 0 {
            let reason = format!("{} is no multiple of the granularity {}", self.window, self.granularity);
            return refuse("spec.window", reason);
        }
        if window > DAY && window % DAY != 0 {
            return refuse("spec.window", format!("{} is no number of whole days", self.window));
        }
        let zone: ZoneName = self
            .time_zone
            .parse()
            .or_else(|error: crate::time::ZoneNameError| refuse("spec.timeZone", error.to_string()))?;
        let zone = zone.zone().clone();
        Ok(Calendar { zone, window: self.window, granularity: self.granularity, holidays: Vec::new() })
    }
}

impl StatsJobSpec {
    /// Whether a `SparkApplication` computes; unless set, `DataFusion` does.
    pub fn spark(&self) -> Option<&super::Spark> {
        match self.engine.as_ref().and_then(super::Engine::kind) {
            Some(EngineKind::Spark(spark)) => Some(spark),
            Some(EngineKind::DataFusion(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(field: &str, value: &str) -> String {
        let mut computation = serde_json::json!({
            "timeZone": "UTC", "window": "1d", "granularity": "1h", "groupBy": ["zone"], "statistics": ["occupancy"],
            "queries": [], "sinks": [],
        });
        computation[field] = serde_json::from_str(value).unwrap();
        let computation: Computation = serde_json::from_value(computation).unwrap();
        computation.calendar().map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_its_field() {
        assert_eq!(refused("statistics", r#"["revenue"]"#), "spec.statistics: Revenue is not computed yet");
        assert_eq!(refused("groupBy", r#"["area"]"#), "spec.groupBy: only [zone] is computed yet");
        assert_eq!(refused("granularity", r#""7h""#), "spec.window: 1d is no multiple of the granularity 7h");
        assert_eq!(refused("granularity", r#""0s""#), "spec.window: 1d is no multiple of the granularity 0s");
        assert_eq!(refused("window", r#""36h""#), "spec.window: 1d12h is no number of whole days");
        assert!(refused("timeZone", r#""Mars""#).starts_with("spec.timeZone: `Mars` is not a time zone"));
    }
}
