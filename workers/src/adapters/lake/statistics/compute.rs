//! The computation that every run shares: given windows in, rows and answers out.
//!
//! Must not choose windows, nor write. Invariant: what a window holds follows from the tables and the window alone,
//! never from the windows that are computed with it, so that any cut of a stretch into runs gives the same.

use std::{error::Error, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::error::DataFusionError;
use parking_crds::{
    stats_job::{Computation, Query, Statistic},
    time::{Bucket, Calendar, Window},
};

use super::{StatsError, query, session::Session};
use crate::{
    adapters::lake::DeltaLake,
    domain::stats::{StatRow, ZoneFacts, rows},
    ports::lake::Table,
};

/// The column of an answer that names the window of each row by its first instant.
pub(super) const WINDOW_START: &str = "window_start";

/// One version of the tables, and what is computed from them.
pub(super) struct Computing<'a> {
    pub(super) session: Session,
    pub(super) calendar: Calendar,
    job: &'a str,
    wanted: Computation,
    zones: Vec<ZoneFacts>,
}

/// What was computed.
pub(super) struct Computed {
    /// Ordered by zone code, start and statistic.
    pub(super) rows: Vec<StatRow>,
    /// One for each query, in the order of the job.
    pub(super) answers: Vec<Answer>,
}

/// The answer to a query over all windows.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Name of the query.
    pub(super) query: String,
    /// Its rows, each with its window in the first column.
    pub(super) rows: RecordBatch,
}

impl Computed {
    /// Rows of all results.
    pub(super) fn count(&self) -> u64 {
        let answers: usize = self.answers.iter().map(|answer| answer.rows.num_rows()).sum();
        (self.rows.len() + answers) as u64
    }
}

impl<'a> Computing<'a> {
    /// Fixes the versions of the tables.
    pub(super) async fn open(
        lake: &DeltaLake,
        job: &'a str,
        wanted: Computation,
        calendar: Calendar,
    ) -> Result<Self, StatsError> {
        let session = Session::open(lake).await?;
        let zones = session.zones().await?;
        Ok(Self { session, calendar, job, wanted, zones })
    }

    /// The tables whose watermarks bound a run.
    pub(super) fn tables(&self) -> Vec<Table> {
        let stays = |statistic: &Statistic| matches!(statistic, Statistic::Turnover | Statistic::Dwell);
        let named = |table: Table| self.wanted.queries.iter().any(|query| query.sql.contains(table.as_str()));
        let has_spaces = self.zones.iter().any(|zone| !zone.count_only);
        let mut tables = vec![Table::Events];
        if (has_spaces && self.wanted.statistics.iter().any(stays)) || named(Table::Sessions) {
            tables.push(Table::Sessions);
        }
        if named(Table::Alerts) {
            tables.push(Table::Alerts);
        }
        tables
    }

    /// Computes windows that follow one another.
    pub(super) async fn compute(&self, windows: &[Window]) -> Result<Computed, StatsError> {
        let (Some(oldest), Some(newest)) = (windows.first(), windows.last()) else {
            return Ok(Computed { rows: Vec::new(), answers: Vec::new() });
        };
        let range = Window { start: oldest.start, end: newest.end };
        let buckets: Vec<Bucket> = windows.iter().flat_map(|window| self.calendar.buckets(*window)).collect();
        let facts = query::facts(&self.session, &self.wanted, &self.zones, &buckets, range).await?;
        let rows = rows(&self.wanted.statistics, &self.zones, &buckets, &facts);
        let mut answers = Vec::new();
        for query in &self.wanted.queries {
            answers.push(Answer { query: query.name.to_string(), rows: self.answer(query, windows).await? });
        }
        Ok(Computed { rows, answers })
    }

    async fn answer(&self, query: &Query, windows: &[Window]) -> Result<RecordBatch, StatsError> {
        let failed = |error: &DataFusionError| self.failed(query, innermost(error), is_wrong(error));
        let mut found: Vec<RecordBatch> = Vec::new();
        for window in windows {
            let (schema, batches) =
                self.session.answer(&query.sql, *window).await.map_err(|error| failed(&error))?;
            if schema.column_with_name(WINDOW_START).is_some() {
                let reason = format!(
                    "its column `{WINDOW_START}` stands for the window of each row: name that of the query otherwise"
                );
                return Err(self.failed(query, reason, true));
            }
            let schema = with_window(&schema);
            found.push(RecordBatch::new_empty(Arc::clone(&schema)));
            for batch in batches {
                let starts: ArrayRef = Arc::new(Int64Array::from(vec![window.start; batch.num_rows()]));
                let columns = std::iter::once(starts).chain(batch.columns().iter().cloned()).collect();
                found.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
            }
        }
        match found.first() {
            Some(first) => Ok(concat_batches(&first.schema(), &found)?),
            None => Ok(RecordBatch::new_empty(with_window(&Schema::empty()))),
        }
    }

    fn failed(&self, query: &Query, reason: String, is_wrong: bool) -> StatsError {
        StatsError::Query { job: self.job.to_owned(), query: query.name.to_string(), reason, is_wrong }
    }
}

fn with_window(schema: &Schema) -> SchemaRef {
    let window = Arc::new(Field::new(WINDOW_START, DataType::Int64, true));
    let own = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Arc::new(Schema::new(std::iter::once(window).chain(own).collect::<Vec<_>>()))
}

/// Whether a query fails on any data.
fn is_wrong(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
    )
}

/// The cause of all others: the engine's own layers say nothing to people.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
