//! `parking bench`: how fast, how soon and how small, on this machine, by the same code that runs elsewhere.
//!
//! Invariants: a figure is printed only after the answer was checked by the `oracle`, which shares no code
//! with the stages; every commit and append is synced; the same number of events gives the same bytes.

mod child;
mod folder;
mod gauge;
pub mod instructions;
mod memory;
mod oracle;
mod pipeline;
mod scenario;
#[cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
mod servers;
mod stages;
mod start;
mod track;

use std::{fmt, io, path::PathBuf, process::ExitStatus};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use self::child::Child;
#[cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
pub use self::servers::{
    IngestFigures, LatencyFigures, Machine, ServerArgs, ServerFigures, SparkFigures, Way,
};
pub use self::{memory::MemoryFigures, pipeline::PipelineFigures, start::StartFigures, track::TrackFigures};
use crate::{adapters::embedded::OpenError, ports::PortError, runtime::stage::StageError};

/// What to measure, and with how much.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What is measured.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Records; `pipeline` takes at most 3 million of them.
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    events: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// A folder on the disk to measure, 10 GB free; the bench cleans up. [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
    #[command(flatten)]
    servers: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every part, each in a process of its own.
    All,
    /// From the log through occupancy and alert, beside reading and parsing alone.
    Track,
    /// Appending alone, and appending while occupancy and alert follow.
    Pipeline,
    /// From the start of the process to its first event done, and memory when idle.
    Start,
    /// Memory of a million watched spaces.
    Memory,
    /// The same city through servers of yours: a Kafka, a Redis with Sentinel, a bucket.
    #[cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
    Servers,
    /// The hot path alone, for an instruction counter.
    #[value(hide = true)]
    Instructions,
    #[value(hide = true)]
    PrepareMemory,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The answer is wrong, so its speed is none.
    #[error("the answer is wrong, so there is no figure: {0}")]
    Wrong(String),
    /// What is to be measured cannot be built.
    #[error("the bench's own city: {0}")]
    Scenario(String),
    /// A file or process of the bench failed.
    #[error("the bench cannot use this machine: {0}")]
    Machine(#[from] io::Error),
    /// A part that runs in a process of its own failed.
    #[error("`{what}` ended with {status}")]
    Child {
        /// The command.
        what: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A stage failed.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// Ingest did not start, or stopped.
    #[error(transparent)]
    Ingest(#[from] crate::ingest::IngestError),
    /// A sender was turned away.
    #[error("sending to ingest failed: {0}")]
    Sending(String),
    /// A task panicked.
    #[error("a task ended without a result: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl BenchError {
    fn scenario(error: impl fmt::Display) -> Self {
        Self::Scenario(error.to_string())
    }
}

/// A line for people: what, and how much.
type Row = (String, String);

fn row(what: impl Into<String>, value: impl Into<String>) -> Row {
    (what.into(), value.into())
}

/// All figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AllFigures {
    /// Log to outputs.
    pub track: TrackFigures,
    /// Append to outputs.
    pub pipeline: PipelineFigures,
    /// Start and idle memory.
    pub start: StartFigures,
    /// Memory of a million spaces.
    pub memory: MemoryFigures,
}

/// Measures and prints.
pub fn run(arguments: &BenchArgs) -> Result<(), BenchError> {
    let data = arguments.data.clone().unwrap_or_else(std::env::temp_dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.part {
        Part::All => {
            let all = all(arguments, &data)?;
            let rows = [all.track.rows(), all.pipeline.rows(), all.start.rows(), all.memory.rows()].concat();
            show(arguments, &all, &rows)
        }
        Part::Track => {
            let figures = runtime.block_on(track::measure(arguments.events, &data))?;
            show(arguments, &figures, &figures.rows())
        }
        Part::Pipeline => {
            let figures = runtime.block_on(pipeline::measure(arguments.events, &data))?;
            show(arguments, &figures, &figures.rows())
        }
        Part::Start => {
            let figures = runtime.block_on(start::measure(&data))?;
            show(arguments, &figures, &figures.rows())
        }
        Part::Memory => {
            let figures = runtime.block_on(memory::measure(&data))?;
            show(arguments, &figures, &figures.rows())
        }
        #[cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
        Part::Servers => {
            let figures = runtime.block_on(servers::measure(&arguments.servers, arguments.events))?;
            show(arguments, &figures, &figures.rows())
        }
        Part::Instructions => {
            println!("{}", instructions::run()?);
            Ok(())
        }
        Part::PrepareMemory => runtime.block_on(memory::prepare(&data)),
    }
}

/// One after the other: a part must not share the machine with another.
fn all(arguments: &BenchArgs, data: &std::path::Path) -> Result<AllFigures, BenchError> {
    let part = |word| Child::bench(word, data, Some(arguments.events));
    Ok(AllFigures {
        track: part("track")?.figures()?,
        pipeline: part("pipeline")?.figures()?,
        start: part("start")?.figures()?,
        memory: part("memory")?.figures()?,
    })
}

fn show(arguments: &BenchArgs, figures: &impl Serialize, rows: &[Row]) -> Result<(), BenchError> {
    if arguments.json {
        println!("{}", serde_json::to_string(figures).map_err(BenchError::scenario)?);
    } else {
        print!("{}", table(rows));
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> = rows.iter().map(|(what, value)| format!("{what:width$}  {value}\n")).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        assert_eq!(table(&[row("a", "1"), row("bcd", "2")]), "a    1\nbcd  2\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn small_runs_give_figures_that_the_oracle_has_checked() {
        let parent = tempfile::tempdir().unwrap();
        let figures = track::measure(60_000, parent.path()).await.unwrap();
        assert_eq!(figures.events, 60_000);
        assert!(figures.events_per_second > 0.0 && figures.sessions > 0);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
