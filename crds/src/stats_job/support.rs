//! What of a job's wishes can be computed by this version.

use super::{EngineKind, GroupBy, Statistic, StatsJobSpec};

/// A job that wants what is not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct UnsupportedJob {
    /// Path of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Whether `DataFusion` and Spark jobs of this version can compute all that the job wants.
pub fn check_support(spec: &StatsJobSpec) -> Result<(), UnsupportedJob> {
    let refuse = |field, reason: String| Err(UnsupportedJob { field, reason });
    for statistic in &spec.statistics {
        if matches!(statistic, Statistic::Revenue | Statistic::Overstay) {
            return refuse("spec.statistics", format!("{statistic:?} is not computed yet"));
        }
    }
    if spec.group_by() != [GroupBy::Zone] {
        return refuse("spec.groupBy", "only [zone] is computed yet".to_owned());
    }
    if spec.engine.as_ref().is_some_and(|engine| engine.kind().is_none()) {
        return refuse("spec.engine", "exactly one of datafusion, spark must be set".to_owned());
    }
    Ok(())
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
