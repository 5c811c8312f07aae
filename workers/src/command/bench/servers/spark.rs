//! Spark Structured Streaming on the same topic, where somebody installed it.
//!
//! Must not be taken for the whole job: see `spark.py` for what it does. Invariant: each drain's counts are compared
//! with those that the records come to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{
        BenchError, Row,
        folder::Folder,
        gauge::{Stopwatch, per},
        row,
    },
    counts::Counts,
    median,
    place::Streams,
};
use crate::ports::event_log::Stream;

const JOB: &str = include_str!("spark.py");

/// Medians over the rounds; a round is a process that drains the topic twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SparkFigures {
    /// Its version.
    pub version: String,
    /// Records a second of the second drain, in a JVM that is warm.
    pub events_per_second: f64,
    /// Records a second of the first drain.
    pub first_events_per_second: f64,
    /// Records a second of the first drain, the start of the JVM in it.
    pub with_start_events_per_second: f64,
}

/// What the job says of a drain.
#[derive(Deserialize)]
struct Drained {
    version: String,
    seconds: f64,
    zones: BTreeMap<Uuid, u64>,
}

/// A folder with Python and jars, as `.ci/install spark` makes it, and the rounds so far.
pub(super) struct Spark {
    folder: PathBuf,
    version: String,
    first: Vec<f64>,
    second: Vec<f64>,
    with_start: Vec<f64>,
}

impl Spark {
    pub(super) fn at(folder: &Path) -> Self {
        let (folder, version) = (folder.to_owned(), String::new());
        Self { folder, version, first: Vec::new(), second: Vec::new(), with_start: Vec::new() }
    }

    /// One round.
    pub(super) async fn run(&mut self, input: &Streams, counts: &Counts) -> Result<(), BenchError> {
        let topic = input.settings.topics.get(&Stream::Events).cloned().unwrap_or_default();
        let (folder, brokers) = (self.folder.clone(), input.settings.bootstrap_servers.clone());
        let ended = tokio::task::spawn_blocking(move || run_job(&folder, &brokers, &topic)).await??;
        let (printed, whole) = ended;
        let drained: Vec<Drained> = printed
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .map_err(|error| BenchError::Wrong(format!("what Spark says cannot be read: {error}")))?;
        let [first, second] = drained.as_slice() else {
            return Err(BenchError::Wrong(format!(
                "Spark drained the topic {} times, not twice",
                drained.len()
            )));
        };
        for drain in [first, second] {
            counts.check_once("Spark", &drain.zones)?;
        }
        let records = counts.records();
        self.version.clone_from(&first.version);
        self.first.push(per(records, first.seconds));
        self.second.push(per(records, second.seconds));
        self.with_start.push(per(records, whole - second.seconds));
        Ok(())
    }

    pub(super) fn figures(self) -> SparkFigures {
        SparkFigures {
            version: self.version,
            events_per_second: median(self.second).unwrap_or_default(),
            first_events_per_second: median(self.first).unwrap_or_default(),
            with_start_events_per_second: median(self.with_start).unwrap_or_default(),
        }
    }
}

/// What it printed, and the seconds from its start to its end.
fn run_job(spark: &Path, brokers: &str, topic: &str) -> Result<(String, f64), BenchError> {
    let folder = Folder::new(&std::env::temp_dir(), "spark")?;
    let job = folder.path().join("spark.py");
    std::fs::write(&job, JOB)?;
    let mut command = Command::new(spark.join("python/bin/python"));
    command.arg(&job).args([brokers, topic]).arg(folder.path()).arg(spark.join("jars"));
    command.current_dir(folder.path()).stderr(Stdio::inherit());
    let watch = Stopwatch::start();
    let output = command.output()?;
    let whole = watch.stop().wall.as_secs_f64();
    if !output.status.success() {
        return Err(BenchError::Child { what: "the job of Spark".to_owned(), status: output.status });
    }
    let printed = String::from_utf8(output.stdout).map_err(BenchError::scenario)?;
    Ok((printed, whole))
}

impl SparkFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Self { version, events_per_second, first_events_per_second, with_start_events_per_second } = self;
        vec![
            row(
                format!("Spark {version}: parse, drop doubles, count"),
                format!("{events_per_second:.0} events/s once it is warm"),
            ),
            row(
                "  its first drain, and with its start",
                format!("{first_events_per_second:.0}, {with_start_events_per_second:.0} events/s"),
            ),
        ]
    }
}
