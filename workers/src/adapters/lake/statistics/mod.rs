//! Statistics over the lake's tables, by `DataFusion`: many windows in one scan.
//!
//! Must not decide what a value means: sums go to [`crate::domain::stats`], which knows. A window is
//! computed once every table that it reads has a watermark at or past its end in every partition.
//!
//! Invariants: what is computed depends on the table versions and the job alone; a run on versions
//! that already have a result writes nothing; a result replaces the one before in one commit.

mod query;
mod result;
mod session;

use std::error::Error;

use parking_crds::{
    event::Millis,
    stats_job::{Statistic, StatsJobSpec, UnsupportedJob},
    time::{Bucket, Window},
};

pub use self::result::{exists, read};
use self::{
    result::{ResultTable, Run},
    session::Session,
};
use super::DeltaLake;
use crate::{
    domain::stats::{calendar_of, rows},
    ports::{PortError, lake::Table},
};

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
    let session = Session::open(lake).await?;
    let zones = session.zones().await?;
    let Some((first, last)) = session.range_of_events().await? else {
        return Ok(Report { outcome: Outcome::LakeBehind, windows: 0, rows: 0 });
    };
    let needed = tables_of(spec, zones.iter().any(|zone| !zone.count_only));
    let complete_until = session.complete_until(&needed);
    let windows: Vec<Window> = select(spec, calendar.windows(first, last), complete_until);
    let (Some(oldest), Some(newest)) = (windows.first(), windows.last()) else {
        return Ok(Report { outcome: Outcome::LakeBehind, windows: 0, rows: 0 });
    };
    let range = Window { start: oldest.start, end: newest.end };
    let key = result::key(spec, range, &session.versions());
    let table = ResultTable::open(lake, job).await?;
    if let Some(run) = table.unchanged(key).await? {
        return Ok(Report { outcome: Outcome::Unchanged, windows: run.windows, rows: run.rows });
    }
    let buckets: Vec<Bucket> = windows.iter().flat_map(|window| calendar.buckets(*window)).collect();
    let facts = query::facts(&session, spec, &zones, &buckets, range).await?;
    let rows = rows(&spec.statistics, &zones, &buckets, &facts);
    let mut written = rows.len() as u64;
    for wanted in &spec.queries {
        let (name, sql) = (wanted.name.as_str(), &wanted.sql);
        let answered = session.answer(sql, range).await;
        let batches = answered.map_err(|error| StatsError::Query {
            job: job.to_owned(),
            query: name.to_owned(),
            reason: innermost(&error),
        })?;
        written += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        result::replace_query(lake, job, name, batches).await?;
    }
    let run = Run { key, windows: windows.len() as u64, rows: written };
    table.replace(&rows, &run, &session.versions()).await?;
    Ok(Report { outcome: Outcome::Succeeded, windows: run.windows, rows: run.rows })
}

/// Time of the first accepted event.
pub(super) async fn first_event(lake: &DeltaLake) -> Result<Option<Millis>, StatsError> {
    Session::open(lake).await?.first_event().await
}

/// The cause of all others: the engine's own layers say nothing to people.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The tables whose watermarks bound the run.
fn tables_of(spec: &StatsJobSpec, has_spaces: bool) -> Vec<Table> {
    let stays = |statistic: &Statistic| matches!(statistic, Statistic::Turnover | Statistic::Dwell);
    let named = |table: Table| spec.queries.iter().any(|query| query.sql.contains(table.as_str()));
    let mut tables = vec![Table::Events];
    if (has_spaces && spec.statistics.iter().any(stays)) || named(Table::Sessions) {
        tables.push(Table::Sessions);
    }
    if named(Table::Alerts) {
        tables.push(Table::Alerts);
    }
    tables
}

fn select(spec: &StatsJobSpec, mut windows: Vec<Window>, complete_until: Option<Millis>) -> Vec<Window> {
    use parking_crds::stats_job::MissedRuns;
    windows.retain(|window| complete_until.is_some_and(|until| window.end <= until));
    match spec.missed_runs() {
        MissedRuns::CatchUpAll => windows,
        MissedRuns::CatchUpLatest | MissedRuns::Skip => windows.into_iter().next_back().into_iter().collect(),
    }
}
