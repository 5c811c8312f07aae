//! `parking stats run`: the windows that the operator asks for, from the lake to every sink of a job.
//!
//! Must not compute, nor choose windows. Invariants: a stretch of windows is in every other sink before it is in the
//! lake, whose table tells what is done, so a run that ends anywhere is repeated without a gap; what can never
//! succeed is told apart, so that nobody tries it again.

#[cfg_attr(
    not(all(feature = "kafka", feature = "redis")),
    allow(dead_code, reason = "what the servers that are left out would be sent")
)]
mod sinks;

use std::path::Path;

use parking_crds::{
    stats_job::RunResult,
    stats_run::{StatsRunConfig, StatsRunConfigError},
    time::Window,
};
use serde::Serialize;

use super::{WorkerError, connect, read};
use crate::{
    adapters::lake::{
        DeltaLake,
        statistics::{Outcome, RangedError, RangedRun},
    },
    ports::PortError,
};

/// Why a run did not leave its windows in every sink.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The configuration is none.
    #[error(transparent)]
    Config(#[from] StatsRunConfigError),
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Setting(#[from] WorkerError),
    /// A sink that is not built, or that the configuration has no place for.
    #[error("spec.sinks: {0}")]
    Sink(&'static str),
    /// There is no index of the lake.
    #[error("the lake is behind: nothing was archived yet")]
    Empty,
    /// The computation, or the lake.
    #[error(transparent)]
    Ranged(#[from] RangedError),
    /// A server failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl StatisticsError {
    /// Whether it fails however often it is tried.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Config(_) | Self::Sink(_) => true,
            // A Secret may come, and a server may come back.
            Self::Setting(error) => !matches!(error, WorkerError::Secret(_) | WorkerError::Port(_)),
            Self::Ranged(error) => error.is_refused(),
            Self::Empty | Self::Port(_) => false,
        }
    }

    /// What programs are told of it.
    pub fn told(&self) -> Told {
        let is_behind = matches!(self, Self::Empty | Self::Ranged(RangedError::LakeBehind { .. }));
        let outcome = if is_behind { RunResult::LakeBehind } else { RunResult::Failed };
        Told { outcome, windows: 0, rows: 0 }
    }
}

/// What programs are told of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// How it ended, as a job's status says it.
    pub outcome: RunResult,
    /// Windows that were computed.
    pub windows: u64,
    /// Rows of these windows.
    pub rows: u64,
}

/// Computes the windows from the start of `range` to its end, and brings them to every sink.
pub async fn run_statistics(config: &Path, range: Window, again: bool) -> Result<Told, StatisticsError> {
    let config = StatsRunConfig::parse(&read(config)?)?;
    let sinks = sinks::open(&config)?;
    let place = connect::lake(&config.lake, &config.secrets)?;
    let lake = DeltaLake::open_indexed(place, config.partitions.into()).await?;
    let lake = lake.ok_or(StatisticsError::Empty)?;
    let mut run = RangedRun::open(&lake, &config.job, &config.computation, range, again).await?;
    while let Some(stretch) = run.next().await? {
        if !sinks.is_empty() {
            for result in sinks::results(&stretch).map_err(RangedError::from)? {
                for sink in &sinks {
                    sink.put(&config.job, &result).await?;
                }
            }
        }
        run.commit(stretch).await?;
    }
    let report = run.finish().await?;
    let outcome = match report.outcome {
        Outcome::Succeeded => RunResult::Succeeded,
        Outcome::Unchanged => RunResult::Unchanged,
        Outcome::LakeBehind => RunResult::LakeBehind,
    };
    Ok(Told { outcome, windows: report.windows, rows: report.rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a run with a file of these lines.
    async fn refused(change: impl FnOnce(&mut serde_json::Value)) -> (bool, String) {
        let mut config = serde_json::json!({
            "version": 1, "job": "hourly", "pipeline": {"namespace": "parking", "name": "city"},
            "computation": {
                "timeZone": "UTC", "window": "1d", "granularity": "1h", "groupBy": ["zone"],
                "statistics": ["occupancy"], "queries": [], "sinks": [{"lake": {"table": "hourly"}}],
            },
            "partitions": 2,
            "lake": {"s3": {"region": "eu", "bucket": "lake", "prefix": "a/", "pathStyle": true, "credentials": "b"}},
            "secrets": "/nowhere",
        });
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        let error = run_statistics(&file, Window { start: 0, end: 86_400_000 }, false).await.unwrap_err();
        assert_eq!(error.told(), Told { outcome: RunResult::Failed, windows: 0, rows: 0 });
        (error.is_refused(), error.to_string())
    }

    #[tokio::test]
    async fn what_is_configured_and_not_built_is_refused_with_its_field() {
        let (is_refused, told) = refused(|config| {
            config["computation"]["sinks"][0] =
                serde_json::json!({"postgres": {"credentialsSecretRef": {"name": "a"}, "table": "b"}});
        })
        .await;
        assert!(is_refused && told.starts_with("spec.sinks: postgres is not written yet"), "{told}");
        let (is_refused, told) = refused(|config| config["lake"] = serde_json::json!({"embedded": {}})).await;
        assert!(is_refused && told.starts_with("lake: a worker of its own needs a server"), "{told}");
        let (is_refused, told) = refused(|config| config["more"] = 1.into()).await;
        assert!(is_refused && told.contains("more"), "{told}");
    }

    #[tokio::test]
    async fn a_missing_secret_may_come_later() {
        let (is_refused, told) = refused(|_| ()).await;
        assert!(!is_refused && told.starts_with("the Secret b has no readable accessKey"), "{told}");
    }
}
