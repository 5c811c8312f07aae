//! `parking up`: every role of a pipeline as tasks of one process, on the embedded adapters.
//!
//! Must not contain what a role does: it wires the same stages that run in a cluster. Invariant: with
//! `until_idle` it ends when the input is complete and every record was stepped, committed and
//! published; told to end, it commits what it has read first.

mod kept;
mod outlets;
mod quiet;
mod report;
mod roles;
mod schedule;
mod service;
mod sleep;
mod tables;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use parking_crds::event::Millis;

pub use kept::{KeptError, open_view};
pub use report::{Report, RuleReport};
pub use tables::{JobReport, TableReport};

use self::{outlets::Deliveries, roles::Roles, service::Service};
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
    domain::verdict::EventLimits,
    http::{PortMetrics, StatusBoard},
    ports::{
        PortError,
        clock::Clock,
        event_log::{MarkedLog, Partition},
    },
    runtime::{
        archive::{ArchiveError, Flush},
        stage::{CommitLimits, StageError, StagePorts},
    },
    stop,
    view::{View, ViewError, ViewSettings},
};

/// How to run.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The data folder.
    pub data: PathBuf,
    /// Where to serve HTTP; nowhere if absent.
    pub listen: Option<SocketAddr>,
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
    /// The address cannot be served.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The process cannot be told to end.
    #[error("signals cannot be received: {0}")]
    Signal(#[source] std::io::Error),
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
    /// What stages stored cannot be shown.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A metric cannot be made.
    #[error("a metric cannot be made: {0}")]
    Metric(#[from] prometheus::Error),
    /// A task panicked or was cancelled.
    #[error("a task ended without a result: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// It was told to end before its input was complete.
    #[error("stopped before the end of the input; all that was read is kept, run it again to go on")]
    Interrupted,
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

/// A pipeline that is about to run in this process.
struct Pipeline<'a> {
    deployment: &'a Deployment,
    options: &'a UpOptions,
    name: String,
    partitions: Partition,
    limits: EventLimits,
    folder: DataFolder,
    ports: StagePorts,
}

impl<'a> Pipeline<'a> {
    fn open(deployment: &'a Deployment, options: &'a UpOptions) -> Result<Self, UpError> {
        let (name, partitions) = (deployment.name(), deployment.partitions());
        let folder = embedded::open(&options.data, &name, partitions)?;
        kept::keep(&folder, deployment)?;
        let ports = StagePorts {
            log: Arc::new(folder.event_log()),
            store: Arc::new(folder.state_store()),
            clock: Arc::new(SystemClock::new()),
        };
        Ok(Self { deployment, options, name, partitions, limits: deployment.limits(), folder, ports })
    }

    fn view(&self) -> View {
        View::new(ViewSettings {
            ports: self.ports.clone(),
            inventory: Arc::clone(&self.deployment.inventory),
            limits: self.limits,
            partitions: self.partitions,
        })
    }
}

/// Runs a deployment.
pub async fn run(deployment: &Deployment, options: &UpOptions) -> Result<Report, UpError> {
    let listener = service::bind(options.listen).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started = clock.monotonic();
    let input = open_feed(deployment, options)?;
    let mut stop = stop::told().map_err(UpError::Signal)?;
    let pipeline = Pipeline::open(deployment, options)?;
    let lake = tables::open(&pipeline.folder, pipeline.ports.log.as_ref(), pipeline.partitions).await?;
    let stages = pipeline.partitions as usize;
    let board = StatusBoard::new(&pipeline.name, stages, Arc::clone(&clock), PortMetrics::new()?);
    let board = Arc::new(board);
    let service = Service::start(listener, &pipeline, &board)?;
    // A new route is told of all that comes from here on, so it stands before the first stage does.
    let deliveries = Deliveries::start(&pipeline, board.ports()).await?;
    let mut roles = Roles::start(&pipeline, &lake, &board);
    let schedules = schedule::start(&lake, &deployment.jobs, options.until_idle);
    let quiet = quiet::start(&pipeline);
    let log = pipeline.folder.event_log();

    let imported = tokio::select! {
        imported = feed(input, &log, &board) => Some(imported?),
        failed = roles.failure() => return Err(failed),
        _ = stop.changed() => None,
    };
    board.imported(None);
    if !options.until_idle && imported.is_some() {
        tokio::select! {
            failed = roles.failure() => return Err(failed),
            _ = stop.changed() => {}
        }
    }
    board.draining();
    schedules.stop().await;
    // An interrupted run leaves what the undisturbed one would leave: the input alone cuts files.
    let interrupted = options.until_idle && imported.is_none();
    roles.drain(if interrupted { Flush::AtLimits } else { Flush::Now }).await?;
    deliveries.stop().await;
    service.stop().await?;
    drop(quiet);
    pipeline.folder.settle().await;
    if interrupted {
        return Err(UpError::Interrupted);
    }
    let appended = imported.flatten().map_or(0, |imported| imported.appended);
    let report = report(&pipeline, &lake).await?;
    Ok(report.timed(clock.monotonic() - started, appended))
}

async fn report(pipeline: &Pipeline<'_>, lake: &crate::adapters::lake::DeltaLake) -> Result<Report, UpError> {
    let deployment = pipeline.deployment;
    let store = pipeline.ports.store.as_ref();
    let mut report = Report::collect(&pipeline.name, store, pipeline.partitions, &deployment.rules).await?;
    if pipeline.options.until_idle {
        report.stats = tables::compute(lake, &deployment.jobs).await?;
    }
    report.lake = tables::figures(lake).await?;
    Ok(report)
}

fn open_feed(deployment: &Deployment, options: &UpOptions) -> Result<Option<Feed>, FeedError> {
    let Some((format, path)) = &deployment.replay else { return Ok(None) };
    let pace = (options.pause > 0).then(|| {
        let pause = parking_crds::duration::Duration::from_millis(options.pause);
        Pace::Pause(pause, Arc::new(SystemClock::new()))
    });
    let settings = ImportSettings {
        tenant: deployment.name(),
        partitions: deployment.partitions(),
        batch: options.batch,
        pace,
        end_of_input: options.until_idle,
    };
    Feed::open(format, path, settings).map(Some)
}

async fn feed(
    input: Option<Feed>,
    log: &dyn MarkedLog,
    board: &StatusBoard,
) -> Result<Option<ImportReport>, ImportError> {
    let Some(mut input) = input else { return Ok(None) };
    let bar = Bar::new("import");
    let mut show = |progress| {
        bar.show(progress);
        board.imported(Some(progress));
    };
    input.run(log, &mut show).await.map(Some)
}
