//! `parking up`: every role of a pipeline as tasks of one process, on the embedded adapters.
//!
//! Must not contain what a role does: it wires the same stages that run in a cluster. Invariant: with
//! `until_idle` it ends when the input is complete and every record was stepped, committed and published.

mod report;
mod tables;

use std::{path::PathBuf, sync::Arc, time::Instant};

use parking_crds::event::Millis;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

pub use report::{EventTotals, Report, RuleReport};
pub use tables::{JobReport, TableReport};

use crate::{
    adapters::{
        embedded::{self, DataFolder, OpenError, SystemClock},
        lake::statistics::StatsError,
    },
    command::{
        feed::{Feed, FeedError},
        import::{ImportError, ImportReport, ImportSettings, Pace},
        progress::Bar,
    },
    deployment::Deployment,
    domain::{
        alert::{RuleSet, Settings},
        verdict::EventLimits,
    },
    ports::{ErrorKind, PortError, event_log::Partition},
    runtime::{
        alert::Alert,
        archive::{ArchiveError, RollAfter},
        occupancy::Occupancy,
        stage::{CommitLimits, Stage, StageError, StagePorts, StageRunner, Turn},
    },
};

/// How to run.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The data folder.
    pub data: PathBuf,
    /// End when all input is processed.
    pub until_idle: bool,
    /// When stages commit.
    pub commit: CommitLimits,
    /// Records per append of the replay.
    pub batch: usize,
    /// Pause after each append of the replay, ms.
    pub pause: Millis,
}

/// Why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What the pipeline is fed with cannot be used.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The import stopped.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A stage stopped.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The archive stopped.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A statistics job failed.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// A port failed outside the stages.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A task panicked or was cancelled.
    #[error("a task ended without a result: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A stored report block cannot be read.
    #[error("the totals of {role}/{partition} cannot be read: {source}")]
    Totals {
        /// The role.
        role: &'static str,
        /// The partition.
        partition: Partition,
        /// Why.
        source: postcard::Error,
    },
}

/// Runs a deployment.
pub async fn run(deployment: &Deployment, options: &UpOptions) -> Result<Report, UpError> {
    let started = Instant::now();
    let events = &deployment.pipeline.spec.events;
    let partitions = Partition::from(events.partitions);
    let name = deployment.pipeline.metadata.name.clone().unwrap_or_default();
    let input = open_feed(deployment, options, &name, partitions)?;
    let folder = embedded::open(&options.data, &name, partitions)?;
    let ports = ports(&folder);
    let (complete, done) = watch::channel(false);
    let lake = tables::open(&folder, ports.log.as_ref(), partitions).await?;
    let limits = limits(deployment);
    let archive =
        tables::archive(&folder, &ports, &lake, limits, &deployment.inventory, roll_after(deployment, options));
    let (stages_done, archive_done) = watch::channel(false);
    let mut archive = JoinSet::from_iter([tables::drive(archive, ports.clone(), archive_done)]);
    let mut stages = start_stages(deployment, options, &ports, partitions, &name, &done);
    let imported = tokio::select! {
        imported = feed(input, &ports) => imported?,
        Some(failed) = stages.join_next() => return Err(failed?.err().map_or_else(ended_early, UpError::from)),
        Some(failed) = archive.join_next() => return Err(failed?.err().unwrap_or_else(ended_early)),
    };
    if !options.until_idle {
        wait_for_signal().await;
    }
    complete.send_replace(true);
    while let Some(ended) = stages.join_next().await {
        ended??;
    }
    stages_done.send_replace(true);
    while let Some(ended) = archive.join_next().await {
        ended??;
    }
    let mut report = Report::collect(&name, ports.store.as_ref(), partitions, &deployment.rules).await?;
    report.stats = tables::compute(&lake, &deployment.jobs).await?;
    report.lake = tables::figures(&lake).await?;
    Ok(report.timed(started.elapsed(), imported.map_or(0, |imported| imported.appended)))
}

fn ended_early() -> UpError {
    UpError::Port(PortError::new(ErrorKind::Closed, "running a stage to the end of its input"))
}

fn ports(folder: &DataFolder) -> StagePorts {
    StagePorts {
        log: Arc::new(folder.event_log()),
        store: Arc::new(folder.state_store()),
        clock: Arc::new(SystemClock::new()),
    }
}

fn open_feed(
    deployment: &Deployment,
    options: &UpOptions,
    tenant: &str,
    partitions: Partition,
) -> Result<Option<Feed>, FeedError> {
    let Some((format, path)) = &deployment.replay else { return Ok(None) };
    let pace = (options.pause > 0).then(|| {
        let pause = parking_crds::duration::Duration::from_millis(options.pause);
        Pace::Pause(pause, Arc::new(SystemClock::new()))
    });
    let settings = ImportSettings {
        tenant: tenant.to_owned(),
        partitions,
        batch: options.batch,
        pace,
        end_of_input: options.until_idle,
    };
    Feed::open(format, path, settings).map(Some)
}

async fn feed(input: Option<Feed>, ports: &StagePorts) -> Result<Option<ImportReport>, ImportError> {
    let Some(mut input) = input else { return Ok(None) };
    let bar = Bar::new("import");
    input.run(ports.log.as_ref(), &mut |progress| bar.show(progress)).await.map(Some)
}

fn start_stages(
    deployment: &Deployment,
    options: &UpOptions,
    ports: &StagePorts,
    partitions: Partition,
    tenant: &str,
    done: &watch::Receiver<bool>,
) -> JoinSet<Result<(), StageError>> {
    let limits = limits(deployment);
    let (rules, refused) = RuleSet::compile(&deployment.rules);
    for (rule, error) in refused {
        tracing::warn!(rule, reason = error.reason(), "rule refused: {error}");
    }
    let rules = Arc::new(rules);
    let mut stages = JoinSet::new();
    for partition in 0..partitions {
        let inventory = Arc::clone(&deployment.inventory);
        let occupancy = move || Occupancy::new(limits, &inventory);
        spawn(
            &mut stages,
            StageRunner::new(ports.clone(), partition, options.commit, occupancy, Uuid::new_v4),
            done,
        );
        let (inventory, rules) = (Arc::clone(&deployment.inventory), Arc::clone(&rules));
        let settings = Settings { tenant: tenant.to_owned(), partition };
        let alert = move || Alert::new(limits, &inventory, &rules, settings.clone());
        spawn(
            &mut stages,
            StageRunner::new(ports.clone(), partition, options.commit, alert, Uuid::new_v4),
            done,
        );
    }
    stages
}

fn limits(deployment: &Deployment) -> EventLimits {
    let events = &deployment.pipeline.spec.events;
    EventLimits {
        allowed_lateness: events.allowed_lateness(),
        max_age: events.max_age(),
        max_ahead: events.max_ahead(),
    }
}

/// With `until_idle` files are cut by the input alone, never by the pace of the run.
fn roll_after(deployment: &Deployment, options: &UpOptions) -> RollAfter {
    let workers = deployment.pipeline.spec.workers.as_ref();
    let wanted = workers.and_then(|workers| workers.archive.as_ref()).and_then(|archive| archive.roll_after.as_ref());
    let mut roll = RollAfter::default();
    if let Some(wanted) = wanted {
        roll.rows = wanted.rows.map_or(roll.rows, u64::from);
        roll.age = wanted.age.or(roll.age);
    }
    if options.until_idle {
        roll.age = None;
    }
    roll
}

#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
fn spawn<S: Stage + 'static>(
    stages: &mut JoinSet<Result<(), StageError>>,
    runner: StageRunner<S>,
    done: &watch::Receiver<bool>,
) {
    stages.spawn(drive(runner, done.clone()));
}

/// Turns a stage until the input is complete and nothing is left to step.
async fn drive<S: Stage>(
    mut runner: StageRunner<S>,
    mut done: watch::Receiver<bool>,
) -> Result<(), StageError> {
    loop {
        let complete = *done.borrow_and_update();
        match runner.turn().await {
            Ok(Turn::Advanced) => tokio::task::yield_now().await,
            Ok(Turn::Fenced) => tracing::warn!(role = S::ROLE, "another owner took the stage over"),
            Ok(Turn::Idle) if complete => return Ok(()),
            Ok(Turn::Idle) => tokio::select! {
                arrived = runner.wait() => arrived?,
                _ = done.changed() => {}
            },
            Err(StageError::Port(error)) if error.kind == ErrorKind::Transient => {
                tracing::warn!(role = S::ROLE, "stage failed, trying again: {error}");
            }
            Err(error) => return Err(error),
        }
    }
}

async fn wait_for_signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!("cannot listen for signals: {error}");
    }
}
