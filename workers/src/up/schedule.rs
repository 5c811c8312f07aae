//! Statistics jobs of a running pipeline, at the times of their schedules.
//!
//! Must not run beside an end of the input: there every job runs once, when all is archived.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use parking_crds::{duration::Duration, stats_job::StatsJob};
use tokio::task::JoinSet;

use crate::{
    adapters::{
        embedded::SystemClock,
        lake::{DeltaLake, statistics},
    },
    ports::clock::Clock,
};

/// Jobs that wait for their time.
pub(super) struct Schedules(JoinSet<()>);

/// Starts them.
pub(super) fn start(lake: &Arc<DeltaLake>, jobs: &[StatsJob], until_idle: bool) -> Schedules {
    let jobs = jobs.iter().filter(|job| !until_idle && !job.spec.suspend());
    Schedules(jobs.map(|job| repeat(Arc::clone(lake), job.clone())).collect())
}

impl Schedules {
    /// Ends them; a result is replaced in one commit, so nothing is left half-written.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn repeat(lake: Arc<DeltaLake>, job: StatsJob) {
    let clock = SystemClock::new();
    let name = job.metadata.name.clone().unwrap_or_default();
    while let Some(wait) = until_next(&job, clock.now()) {
        clock.pause(wait).await;
        match statistics::run(&lake, &name, &job.spec).await {
            Ok(report) => {
                tracing::info!(
                    job = name,
                    windows = report.windows,
                    rows = report.rows,
                    "{:?}",
                    report.outcome
                );
            }
            Err(error) => {
                tracing::error!(job = name, "statistics failed, trying again at the next run: {error}");
            }
        }
    }
    tracing::warn!(job = name, "the schedule has no next run");
}

fn until_next(job: &StatsJob, now: i64) -> Option<Duration> {
    let zone = TimeZone::get(job.spec.time_zone()).ok()?;
    let now = Timestamp::from_millisecond(now).ok()?.to_zoned(zone.clone());
    let next = job.spec.schedule.next_after(&now, &zone)?;
    Some(Duration::from_millis(next.timestamp().as_millisecond() - now.timestamp().as_millisecond()))
}
