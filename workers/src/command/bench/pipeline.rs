//! `bench pipeline`: appending alone, and appending while occupancy and alert follow.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    BenchError, Row,
    folder::{APPEND_RECORDS, Folder, open},
    gauge::Stopwatch,
    row,
    scenario::{PARTITIONS, Scenario},
    stages::{Ports, Runners, expected, found, join, spawn},
};
use crate::{
    adapters::embedded::DataFolder,
    ports::event_log::{EventLog, Offset, Records, StreamPartition},
};

/// Most records that are kept in memory, so that making them is not measured.
const MOST_EVENTS: u64 = 3_000_000;
/// Appends that wait for their answers at a time.
const APPENDERS: usize = 4;

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineFigures {
    /// Records.
    pub events: u64,
    /// Records a second that were appended and durable, nothing else running.
    pub append_events_per_second: f64,
    /// Processor seconds of that for a million.
    pub append_cpu_seconds_per_million: Option<f64>,
    /// Records a second from the first append until occupancy and alert had committed and published the last.
    pub end_to_end_events_per_second: f64,
    /// Processor seconds of that for a million.
    pub end_to_end_cpu_seconds_per_million: Option<f64>,
}

type Batch = Vec<(StreamPartition, Records)>;

/// Appends the same records twice, into new folders.
pub(super) async fn measure(events: u64, parent: &Path) -> Result<PipelineFigures, BenchError> {
    let scenario = Scenario::new(1_000, 200)?;
    let (batches, records) = make(&scenario, events.min(MOST_EVENTS))?;
    let alone = {
        let place = Folder::new(parent, "append")?;
        let folder = Arc::new(open(place.path())?);
        let watch = Stopwatch::start();
        append(&folder, &batches).await?;
        watch.stop()
    };
    let place = Folder::new(parent, "pipeline")?;
    let folder = Arc::new(open(place.path())?);
    let watch = Stopwatch::start();
    let ends = ends_of(&batches);
    let ports = Ports::of(&folder);
    let stages = Runners::new(&scenario, &ports).run_to(&ends);
    let (appended, ran) = tokio::join!(append(&folder, &batches), stages);
    let spent = watch.stop();
    appended?;
    let answer = found(&ports, &ran?, &scenario).await?;
    if let Some(difference) = answer.difference(&expected(&ports, &scenario).await?) {
        return Err(BenchError::Wrong(difference));
    }
    Ok(PipelineFigures {
        events: records,
        append_events_per_second: alone.rate(records),
        append_cpu_seconds_per_million: alone.per_million(records),
        end_to_end_events_per_second: spent.rate(records),
        end_to_end_cpu_seconds_per_million: spent.per_million(records),
    })
}

fn make(scenario: &Scenario, events: u64) -> Result<(Vec<Batch>, u64), BenchError> {
    let (mut feed, mut batches, mut records) = (scenario.feed()?, Vec::new(), 0);
    while records < events {
        let batch = feed.take(APPEND_RECORDS.min(events - records));
        if batch.is_empty() {
            break;
        }
        records += batch.iter().map(|(_, part)| part.len() as u64).sum::<u64>();
        batches.push(batch);
    }
    Ok((batches, records))
}

fn ends_of(batches: &[Batch]) -> Vec<Offset> {
    let mut ends = vec![0; PARTITIONS as usize];
    for (at, records) in batches.iter().flatten() {
        if let Some(end) = ends.get_mut(at.partition as usize) {
            *end += records.len() as Offset;
        }
    }
    ends
}

/// Appends all in order: each partition's records by one of the appenders, so that order holds.
async fn append(folder: &Arc<DataFolder>, batches: &[Batch]) -> Result<(), BenchError> {
    let mut tasks = tokio::task::JoinSet::new();
    for appender in 0..APPENDERS {
        let log = folder.event_log();
        let own = |(at, _): &&(StreamPartition, Records)| at.partition as usize % APPENDERS == appender;
        let parts: Vec<Batch> =
            batches.iter().map(|batch| batch.iter().filter(own).cloned().collect()).collect();
        spawn(&mut tasks, async move {
            for parts in parts {
                log.append(parts).await?;
            }
            Ok(())
        });
    }
    join(&mut tasks).await.map(drop)
}

impl PipelineFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let seconds =
            |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |cpu| format!("{cpu:.2} s"));
        vec![
            row("append, synced", format!("{:.0} events/s", self.append_events_per_second)),
            row("  processor for a million", seconds(self.append_cpu_seconds_per_million)),
            row("append + process", format!("{:.0} events/s", self.end_to_end_events_per_second)),
            row("  processor for a million", seconds(self.end_to_end_cpu_seconds_per_million)),
        ]
    }
}
