//! `bench track`: from the embedded log through occupancy and alert, beside the bound of reading and parsing.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    BenchError, Row,
    folder::{Filled, Folder, fill, open},
    gauge::{Spent, Stopwatch, disk_bytes, peak_resident, per, to_f64},
    row,
    scenario::Scenario,
    stages::{Ports, Runners, decode_all, ends, expected, found},
};

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackFigures {
    /// Records of the log.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records a second through occupancy and alert, every commit synced.
    pub events_per_second: f64,
    /// Processor seconds of all threads for a million records.
    pub cpu_seconds_per_million: Option<f64>,
    /// Records a second where they are only read and parsed, once.
    pub bound_events_per_second: f64,
    /// Processor seconds of that.
    pub bound_cpu_seconds_per_million: Option<f64>,
    /// The one over the other.
    pub cpu_ratio: Option<f64>,
    /// Until all stages stand where they stood, from the store.
    pub restore_milliseconds: u128,
    /// Records that the oracle and the stages accepted.
    pub accepted: u64,
    /// Alerts that both raised.
    pub alerts: u64,
    /// Stays that both began.
    pub sessions: u64,
    /// Most memory of the process up to the end of the stages.
    pub peak_resident_bytes: Option<u64>,
    /// Log, state and outputs on disk.
    pub disk_bytes: u64,
}

/// Fills a log, runs the stages over it, and has the answer checked.
pub(super) async fn measure(events: u64, parent: &Path) -> Result<TrackFigures, BenchError> {
    let scenario = Scenario::new(1_000, 200)?;
    let place = Folder::new(parent, "track")?;
    let filled = {
        let folder = open(place.path())?;
        fill(&folder.event_log(), &mut scenario.feed()?, events).await?.0
    };
    let folder = open(place.path())?;
    let ports = Ports::of(&folder);
    let ends = ends(ports.log.as_ref()).await?;
    // The first reading also brings the log into memory; the faster of two is the bound.
    let mut bound = decode(&ports, filled).await?;
    let watch = Stopwatch::start();
    let runners = Runners::new(&scenario, &ports).run_to(&ends).await?;
    let spent = watch.stop();
    let peak_resident_bytes = peak_resident("self");
    let again = decode(&ports, filled).await?;
    if again.wall < bound.wall {
        bound = again;
    }
    drop(runners);
    let watch = Stopwatch::start();
    let restored = Runners::new(&scenario, &ports).run_to(&ends).await?;
    let restore = watch.stop();
    let answer = found(&ports, &restored, &scenario).await?;
    drop(restored);
    let oracle = expected(&ports, &scenario).await?;
    if let Some(difference) = answer.difference(&oracle) {
        return Err(BenchError::Wrong(difference));
    }
    let (cpu, bound_cpu) = (spent.per_million(filled.records), bound.per_million(filled.records));
    Ok(TrackFigures {
        events: filled.records,
        bytes: filled.bytes,
        events_per_second: spent.rate(filled.records),
        cpu_seconds_per_million: cpu,
        bound_events_per_second: bound.rate(filled.records),
        bound_cpu_seconds_per_million: bound_cpu,
        cpu_ratio: cpu.zip(bound_cpu).map(|(cpu, bound)| cpu / bound.max(f64::EPSILON)),
        restore_milliseconds: restore.wall.as_millis(),
        accepted: answer.accepted,
        alerts: answer.alerts.len() as u64,
        sessions: answer.sessions,
        peak_resident_bytes,
        disk_bytes: disk_bytes(place.path()),
    })
}

async fn decode(ports: &Ports, filled: Filled) -> Result<Spent, BenchError> {
    let watch = Stopwatch::start();
    let read = decode_all(ports).await?;
    let spent = watch.stop();
    if read == filled.records {
        return Ok(spent);
    }
    Err(BenchError::Wrong(format!("{read} records were read of {} that were appended", filled.records)))
}

impl TrackFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let size = per(self.bytes, to_f64(self.events));
        let seconds =
            |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |cpu| format!("{cpu:.2} s"));
        vec![
            row("log", format!("{} events of {size:.0} bytes", self.events)),
            row("log → occupancy + alert", format!("{:.0} events/s", self.events_per_second)),
            row("  processor for a million", seconds(self.cpu_seconds_per_million)),
            row("read and parse only", format!("{:.0} events/s", self.bound_events_per_second)),
            row("  processor for a million", seconds(self.bound_cpu_seconds_per_million)),
            row("  times the bound", self.cpu_ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))),
            row("restart with this state", format!("{} ms", self.restore_milliseconds)),
            row(
                "checked by the oracle",
                format!("{} accepted, {} stays, {} alerts", self.accepted, self.sessions, self.alerts),
            ),
        ]
    }
}
