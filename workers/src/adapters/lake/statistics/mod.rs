//! Statistics over the lake's tables, by `DataFusion`: many windows in one scan.
//!
//! Must not decide what a value means: sums go to [`crate::domain::stats`], which knows. A window is
//! computed once every table that it reads has a watermark at or past its end in every partition.
//!
//! Invariants: what is computed depends on the table versions and the job alone; a run on versions
//! that already have a result writes nothing; a result replaces the one before in one commit.

mod compute;
mod index;
mod query;
mod ranged;
mod result;
mod session;
mod stretches;

use parking_crds::{
    event::Millis,
    stats_job::{Computation, StatsJobSpec, UnsupportedJob},
    time::Window,
};

use self::{
    compute::Computing,
    result::{ResultTable, Run},
    session::Session,
};
pub use self::{
    ranged::{RangedError, RangedRun, Stretch, StretchAnswer},
    result::{exists, read, read_table},
};
use super::DeltaLake;
use crate::{domain::stats::calendar_of, ports::PortError};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result was written.
    Succeeded,
    /// The versions that would be read already have a result.
    Unchanged,
    /// No window is complete.
    LakeBehind,
}

/// What a run left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Windows of the result.
    pub windows: u64,
    /// Rows of the result.
    pub rows: u64,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The job wants what is not built.
    #[error("job {job}, {source}")]
    Unsupported {
        /// The job.
        job: String,
        /// The field and what is wrong with it.
        source: UnsupportedJob,
    },
    /// A query of the user failed.
    #[error("job {job}, query {query}: {reason}")]
    Query {
        /// The job.
        job: String,
        /// Name of the query.
        query: String,
        /// The engine's reason.
        reason: String,
        /// Whether it fails on any data.
        is_wrong: bool,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] PortError),
    /// A table failed.
    #[error("statistics: {0}")]
    Table(#[from] deltalake::DeltaTableError),
    /// The engine failed.
    #[error("statistics: {0}")]
    Engine(#[from] datafusion::error::DataFusionError),
    /// Rows cannot be laid out.
    #[error("statistics: {0}")]
    Layout(#[from] arrow::error::ArrowError),
    /// The result cannot be encoded.
    #[error("statistics: {0}")]
    Encode(#[from] parquet::errors::ParquetError),
}

/// Computes the complete windows of a job and replaces its result.
pub async fn run(lake: &DeltaLake, job: &str, spec: &StatsJobSpec) -> Result<Report, StatsError> {
    let refuse = |source| StatsError::Unsupported { job: job.to_owned(), source };
    let calendar = calendar_of(spec).map_err(refuse)?;
    let computing = Computing::open(lake, job, Computation::of(spec), calendar).await?;
    let session = &computing.session;
    let Some((first, last)) = session.range_of_events().await? else {
        return Ok(Report { outcome: Outcome::LakeBehind, windows: 0, rows: 0 });
    };
    let complete_until = session.complete_until(&computing.tables());
    let windows = select(spec, computing.calendar.windows(first, last), complete_until);
    let (Some(oldest), Some(newest)) = (windows.first(), windows.last()) else {
        return Ok(Report { outcome: Outcome::LakeBehind, windows: 0, rows: 0 });
    };
    let range = Window { start: oldest.start, end: newest.end };
    let key = result::key(spec, range, &session.versions());
    let table = ResultTable::open(lake, job).await?;
    if let Some(run) = table.unchanged(key).await? {
        return Ok(Report { outcome: Outcome::Unchanged, windows: run.windows, rows: run.rows });
    }
    let computed = computing.compute(&windows).await?;
    let run = Run { key, windows: windows.len() as u64, rows: computed.count() };
    for answer in computed.answers {
        result::replace_query(lake, job, &answer.query, answer.rows).await?;
    }
    table.replace(&computed.rows, &run, &session.versions()).await?;
    Ok(Report { outcome: Outcome::Succeeded, windows: run.windows, rows: run.rows })
}

/// Time of the first accepted event.
pub(super) async fn first_event(lake: &DeltaLake) -> Result<Option<Millis>, StatsError> {
    Session::open(lake).await?.first_event().await
}

fn select(spec: &StatsJobSpec, mut windows: Vec<Window>, complete_until: Option<Millis>) -> Vec<Window> {
    use parking_crds::stats_job::MissedRuns;
    windows.retain(|window| complete_until.is_some_and(|until| window.end <= until));
    match spec.missed_runs() {
        MissedRuns::CatchUpAll => windows,
        MissedRuns::CatchUpLatest | MissedRuns::Skip => windows.into_iter().next_back().into_iter().collect(),
    }
}
