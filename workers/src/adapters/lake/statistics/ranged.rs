//! A run over given windows: what a Job of the cluster computes.
//!
//! Must not choose windows, nor know a sink beside the lake: whoever runs it brings each stretch to the other sinks,
//! and has it committed afterwards. So a window that has a result in the lake has one in every sink.
//!
//! Invariants: windows with a result are left alone unless they are asked for again; the result of runs over
//! adjacent ranges is that of one run over all of them; a run that ends anywhere leaves whole stretches, and its
//! repetition does the rest.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow_json::ArrayWriter;
use jiff::Timestamp;
use parking_crds::{
    event::Millis,
    names::{JobName, TableName},
    stats_index::{DoneRanges, StatsIndex},
    stats_job::{Computation, RunResult, Sink, SinkKind, UnsupportedJob},
    time::{Calendar, Window, day::timestamp},
};

use super::{
    Outcome, Report, StatsError,
    compute::{Answer, Computing},
    index,
    result::batch_of,
    session::longs,
    stretches::{NewRows, StretchTable},
};
use crate::{
    adapters::lake::DeltaLake,
    domain::stats::{RangeError, StatRow, windows_of},
    ports::lake::Table,
};

/// Windows that are computed together: so many results fit into memory.
const WINDOWS_AT_ONCE: usize = 64;

/// Why a run over given windows failed.
#[derive(Debug, thiserror::Error)]
pub enum RangedError {
    /// The computation is not built.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedJob),
    /// The range is none of whole windows.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A table has not reached the end of the range.
    #[error("the lake is behind {until}: {}", standings(.tables))]
    LakeBehind {
        /// End of the last window that is to be computed.
        until: Timestamp,
        /// The tables that are behind, and their watermarks.
        tables: Vec<(Table, Option<Timestamp>)>,
    },
    /// The computation failed.
    #[error(transparent)]
    Stats(#[from] StatsError),
}

impl RangedError {
    /// Whether it fails however often it is tried.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Unsupported(_) | Self::Range(_) => true,
            Self::LakeBehind { .. } => false,
            Self::Stats(error) => {
                matches!(error, StatsError::Unsupported { .. } | StatsError::Query { is_wrong: true, .. })
            }
        }
    }
}

fn standings(tables: &[(Table, Option<Timestamp>)]) -> String {
    let standing = |(table, watermark): &(Table, Option<Timestamp>)| match watermark {
        Some(watermark) => format!("{} stands at {watermark}", table.as_str()),
        None => format!("{} has no watermark in some partition", table.as_str()),
    };
    tables.iter().map(standing).collect::<Vec<_>>().join(", ")
}

/// Windows that follow one another, and their results.
pub struct Stretch {
    /// The windows, oldest first.
    pub windows: Vec<Window>,
    /// Their rows, ordered by zone code, start and statistic.
    pub rows: Vec<StatRow>,
    answers: Vec<Answer>,
}

/// The answer to a query for one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StretchAnswer {
    /// Name of the query.
    pub query: String,
    /// Its rows, as one JSON array of objects.
    pub rows: String,
}

impl Stretch {
    /// The answers to the queries for one of its windows.
    pub fn answers(&self, window: Window) -> Result<Vec<StretchAnswer>, StatsError> {
        let answer = |answer: &Answer| {
            let rows = rows_of(&answer.rows, window)?;
            Ok(StretchAnswer { query: answer.query.clone(), rows: json(&rows)? })
        };
        self.answers.iter().map(answer).collect()
    }

    fn range(&self) -> Option<Window> {
        Some(Window { start: self.windows.first()?.start, end: self.windows.last()?.end })
    }
}

/// The rows of a window, which stand together.
fn rows_of(rows: &RecordBatch, window: Window) -> Result<RecordBatch, StatsError> {
    let starts = longs(rows, 0)?;
    let is_of = |start: &Option<i64>| *start == Some(window.start);
    let first = starts.iter().position(is_of).unwrap_or_default();
    Ok(rows.slice(first, starts.iter().filter(|start| is_of(start)).count()))
}

fn json(rows: &RecordBatch) -> Result<String, StatsError> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).unwrap_or_default();
    Ok(if text.is_empty() { "[]".to_owned() } else { text })
}

/// A run on its way.
pub struct RangedRun<'a> {
    lake: &'a DeltaLake,
    job: &'a JobName,
    wanted: &'a Computation,
    id: String,
    /// What is not computed yet; the tables are opened only where there is something.
    left: VecDeque<Vec<Window>>,
    computing: Option<Computing<'a>>,
    index: StatsIndex,
    changed: bool,
    report: Report,
}

impl<'a> RangedRun<'a> {
    /// Finds out which windows of a range are to be computed, and that the lake has all of them.
    pub async fn open(
        lake: &'a DeltaLake,
        job: &'a JobName,
        wanted: &'a Computation,
        range: Window,
        again: bool,
    ) -> Result<Self, RangedError> {
        let calendar = wanted.calendar()?;
        let windows = windows_of(&calendar, range)?;
        let id = wanted.id();
        let mut index = index::read(lake, job, &id).await?;
        if let Some(table) = table_of(wanted) {
            index.done = StretchTable::of_rows(lake, table).done(&id).await?;
        }
        let left = stretches(&windows, if again { None } else { Some(&index.done) });
        let mut computing = None;
        if let Some(last) = left.back().and_then(|stretch| stretch.last()) {
            computing = Some(open(lake, job, wanted, calendar, last.end).await?);
        }
        let report = Report { outcome: Outcome::Unchanged, windows: 0, rows: 0 };
        Ok(Self { lake, job, wanted, id, left, computing, index, changed: false, report })
    }

    /// Computes the next windows; `None` when all are computed.
    pub async fn next(&mut self) -> Result<Option<Stretch>, RangedError> {
        let (Some(computing), Some(windows)) = (&self.computing, self.left.pop_front()) else {
            return Ok(None);
        };
        let computed = computing.compute(&windows).await?;
        self.report.windows += windows.len() as u64;
        self.report.rows += computed.count();
        Ok(Some(Stretch { windows, rows: computed.rows, answers: computed.answers }))
    }

    /// Makes a stretch part of the result in the lake, in the place of what is there.
    pub async fn commit(&mut self, stretch: Stretch) -> Result<(), RangedError> {
        let (Some(range), Some(computing)) = (stretch.range(), &self.computing) else { return Ok(()) };
        let (computation, versions) = (self.id.as_str(), &computing.session.versions());
        if let Some(table) = table_of(self.wanted) {
            for answer in &stretch.answers {
                let new = NewRows { computation, range, rows: &answer.rows, versions };
                let answers = StretchTable::of_answers(self.lake, table, &answer.query);
                self.changed |= answers.replace(&new).await?;
            }
            // The last one: it tells which windows are done.
            let rows = &batch_of(&stretch.rows).map_err(RangedError::Stats)?;
            let new = NewRows { computation, range, rows, versions };
            self.changed |= StretchTable::of_rows(self.lake, table).replace(&new).await?;
        } else {
            self.changed = true;
        }
        self.index.done.add(range);
        Ok(())
    }

    /// Tells in the job's index what is done.
    pub async fn finish(mut self) -> Result<Report, RangedError> {
        if let Some(table) = table_of(self.wanted) {
            // Together with what other runs committed meanwhile.
            self.index.done = StretchTable::of_rows(self.lake, table).done(&self.id).await?;
        }
        if let Some(computing) = &self.computing {
            let versions = computing.session.versions().into_iter();
            self.index.read = versions.map(|(table, version)| (table.to_owned(), version)).collect();
        }
        let (outcome, result) = if self.changed {
            (Outcome::Succeeded, RunResult::Succeeded)
        } else {
            (Outcome::Unchanged, RunResult::Unchanged)
        };
        self.index.last_result = Some(result);
        index::write(self.lake, self.job, &self.index).await?;
        Ok(Report { outcome, ..self.report })
    }
}

/// The tables as they stand, where all that are read have reached an instant.
async fn open<'a>(
    lake: &DeltaLake,
    job: &'a JobName,
    wanted: &Computation,
    calendar: Calendar,
    until: Millis,
) -> Result<Computing<'a>, RangedError> {
    let computing = Computing::open(lake, job.as_str(), wanted.clone(), calendar).await?;
    let watermark = |table: Table| (table, computing.session.watermark(table));
    let tables = computing.tables().into_iter().map(watermark);
    let behind: Vec<(Table, Option<Timestamp>)> = tables
        .filter(|(_, watermark)| watermark.is_none_or(|watermark| watermark < until))
        .map(|(table, watermark)| (table, watermark.map(timestamp)))
        .collect();
    if behind.is_empty() {
        Ok(computing)
    } else {
        Err(RangedError::LakeBehind { until: timestamp(until), tables: behind })
    }
}

/// The table of the lake that the result goes to, if it does.
fn table_of(wanted: &Computation) -> Option<&TableName> {
    wanted.sinks.iter().find_map(|sink: &Sink| match sink.kind() {
        Some(SinkKind::Lake(lake)) => Some(&lake.table),
        _ => None,
    })
}

/// The windows without those that are done, as far as they follow one another.
fn stretches(windows: &[Window], done: Option<&DoneRanges>) -> VecDeque<Vec<Window>> {
    let is_left = |window: &Window| done.is_none_or(|done| !done.covers(*window));
    let groups = windows.chunk_by(|a, b| is_left(a) == is_left(b));
    let left = groups.filter(|group| group.first().is_some_and(is_left));
    left.flat_map(|group| group.chunks(WINDOWS_AT_ONCE)).map(<[Window]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(number: i64) -> Window {
        Window { start: number * 10, end: (number + 1) * 10 }
    }

    #[test]
    fn windows_with_a_result_split_what_is_left() {
        let windows: Vec<Window> = (0..5).map(window).collect();
        let done: DoneRanges = [window(1), window(2)].into_iter().collect();
        assert_eq!(stretches(&windows, Some(&done)), [vec![window(0)], vec![window(3), window(4)]]);
        assert_eq!(stretches(&windows, None), std::slice::from_ref(&windows));
        let all: DoneRanges = windows.iter().copied().collect();
        assert!(stretches(&windows, Some(&all)).is_empty());
    }

    #[test]
    fn tables_that_are_behind_are_told_with_their_watermarks() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let error = RangedError::LakeBehind {
            until: at("2016-10-05T23:00:00Z"),
            tables: vec![(Table::Events, Some(at("2016-10-05T20:00:00Z"))), (Table::Sessions, None)],
        };
        let told = "the lake is behind 2016-10-05T23:00:00Z: events stands at 2016-10-05T20:00:00Z, \
                    sessions has no watermark in some partition";
        assert_eq!(error.to_string(), told);
        assert!(!error.is_refused());
    }
}
