//! Ingest as it runs: its tasks, from the first connection to the last answer.
//!
//! Must not know which log it writes to, nor read signals: it is told to end. Invariant: told to end, it
//! answers what is under way, and what was answered is in the log.

use std::{path::PathBuf, sync::Arc};

use parking_crds::{topology::PipelineId, worker_config::IngestSettings};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    connections::Connections,
    entries::{EntryStream, consume},
    gather::Gather,
    http::{self, Site},
    intake::Intake,
    meter::Meter,
    secrets::{self, SecretError},
};
use crate::ports::{
    clock::Clock,
    event_log::{EventLog, Partition},
};

/// Longest body where the settings name none, bytes.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Bytes under way to the log; about three times as much memory is used.
const ROOM: usize = 64 * 1024 * 1024;

/// What ingest is told.
pub struct Serving {
    /// The pipeline; its name is the tenant of keys that name none.
    pub pipeline: PipelineId,
    /// Partitions of the stream `events`.
    pub partitions: Partition,
    /// Who may write.
    pub settings: IngestSettings,
    /// Folder with one folder per Secret.
    pub secrets: PathBuf,
    /// Where to serve.
    pub listener: TcpListener,
    /// A stream that records are taken from, too.
    pub entries: Option<Arc<dyn EntryStream>>,
}

/// Why it did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A Secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A metric cannot be registered.
    #[error("a metric cannot be made: {0}")]
    Metric(#[from] prometheus::Error),
    /// A task panicked.
    #[error("a task ended without a result: {0}")]
    Task(#[from] JoinError),
    /// The task that appends ended while others still ran.
    #[error("nothing is appended any more")]
    Broken,
}

/// Serves until `stop` is true, and answers what is under way then.
#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
pub async fn serve(
    serving: Serving,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(), IngestError> {
    let meter = Meter::new()?;
    let opened = secrets::open(&serving.settings, &serving.secrets, serving.pipeline.name.as_str(), &meter)?;
    let log = meter.metered(log, &clock);
    let max_body_bytes = max_body_bytes(&serving.settings);
    let gather = Gather::new(ROOM.max(2 * max_body_bytes));
    let (door, plates, partitions) = (opened.door, opened.plates, serving.partitions);
    let intake = Intake::new(door, plates, partitions, Arc::clone(&clock), gather.clone(), meter);
    let intake = Arc::new(intake);
    let site = Site {
        intake: Arc::clone(&intake),
        log: Arc::clone(&log),
        max_body_bytes,
        pipeline: serving.pipeline.clone(),
        stopping: stop.clone(),
        started: clock.monotonic(),
    };
    let mut beside = JoinSet::new();
    let follower = (Arc::clone(&intake), Arc::clone(&clock));
    beside.spawn(async move { opened.following.run(follower.1.as_ref(), &follower.0.meter).await });
    let mut appending = JoinSet::new();
    let appender = Arc::clone(&intake);
    appending.spawn(async move {
        appender.gather.run(&log, |outcome| appender.meter.appended(outcome)).await;
    });
    let mut ways_in = JoinSet::new();
    let connections = Connections { router: http::router(site), tls: opened.tls, clock, stop: stop.clone() };
    ways_in.spawn(connections.serve(serving.listener));
    if let Some(entries) = serving.entries {
        ways_in.spawn(consume(entries, intake, serving.pipeline.name.to_string(), stop));
    }
    tokio::select! {
        ended = all(&mut ways_in) => ended?,
        broken = appending.join_next() => {
            broken.transpose()?;
            return Err(IngestError::Broken);
        }
    }
    gather.close();
    all(&mut appending).await?;
    Ok(())
}

fn max_body_bytes(settings: &IngestSettings) -> usize {
    let limit = settings.limits.and_then(|limits| limits.max_body_bytes);
    limit.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MAX_BODY_BYTES)
}

async fn all(tasks: &mut JoinSet<()>) -> Result<(), JoinError> {
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}
