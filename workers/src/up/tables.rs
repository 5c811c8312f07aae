//! The archive and the statistics of a running pipeline, and what their tables hold.
//!
//! Invariant: rows are cut into files by the input alone, so that an interrupted run leaves the tables
//! of an undisturbed one.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{duration::Duration, role::Role, stats_job::StatsJob};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    Pipeline, UpError,
    sleep::{Sleep, Standing},
};
use crate::{
    adapters::{
        embedded::DataFolder,
        lake::{
            DeltaLake, ParquetEncoder,
            statistics::{self, Outcome},
        },
    },
    http::PortMetrics,
    ports::{
        PortResult,
        event_log::{EventLog, Partition, Stream},
        lake::Table,
    },
    runtime::{
        archive::{Archive, ArchivePorts, ArchiveSettings, Flush, RollAfter},
        stage::StagePorts,
    },
};

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// What a job's result holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// Windows.
    pub windows: u64,
    /// Rows.
    pub rows: u64,
}

/// How long the archive rests when it has read everything.
const REST: Duration = Duration::from_millis(100);

/// The lake of a data folder.
pub(super) async fn open(
    folder: &DataFolder,
    log: &dyn EventLog,
    partitions: Partition,
) -> PortResult<Arc<DeltaLake>> {
    let source = log.log_id(Stream::Events).await?.to_string();
    Ok(Arc::new(DeltaLake::open(folder.lake_path(), source.as_str(), partitions)?))
}

/// An archive of all partitions.
pub(super) fn archive(pipeline: &Pipeline<'_>, lake: &Arc<DeltaLake>, counted: &PortMetrics) -> Archive {
    let StagePorts { log, clock, .. } = counted.ports(Role::Archive.as_str(), &pipeline.ports);
    let ports = ArchivePorts {
        log,
        lake: counted.lake(Arc::clone(lake) as Arc<_>, &pipeline.ports),
        objects: Arc::new(pipeline.folder.object_store()),
        clock,
        encoder: Arc::new(ParquetEncoder),
    };
    let settings = ArchiveSettings {
        partitions: (0..lake.partitions()).collect(),
        roll_after: roll_after(pipeline),
        limits: pipeline.limits,
        inventory: Arc::clone(&pipeline.deployment.inventory),
        jitter: 0,
    };
    Archive::new(ports, settings)
}

/// With `until_idle` files are cut by the input alone, never by the pace of the run.
fn roll_after(pipeline: &Pipeline<'_>) -> RollAfter {
    let workers = pipeline.deployment.pipeline.spec.workers.as_ref();
    let wanted =
        workers.and_then(|workers| workers.archive.as_ref()).and_then(|archive| archive.roll_after.as_ref());
    let mut roll = RollAfter::default();
    if let Some(wanted) = wanted {
        roll.rows = wanted.rows.map_or(roll.rows, u64::from);
        roll.age = wanted.age.or(roll.age);
    }
    if pipeline.options.until_idle {
        roll.age = None;
    }
    roll
}

/// Archives until it is told how to end, then all that is left. Where nothing is left to do it sleeps.
pub(super) async fn drive(
    mut archive: Archive,
    sleep: Sleep,
    ports: StagePorts,
    mut end: watch::Receiver<Option<Flush>>,
) -> Result<(), UpError> {
    let standing = sleep.standing().await?;
    if sleep.was_done_at(&standing) {
        wait(sleep.until_after(&standing), &mut end).await;
    }
    let flush = loop {
        if let Some(flush) = *end.borrow_and_update() {
            break flush;
        }
        if !archive.run_once(Flush::AtLimits).await?.is_idle() {
            continue;
        }
        match done_at(&mut archive, &sleep).await? {
            Some(standing) => wait(sleep.until_after(&standing), &mut end).await,
            None => wait(ports.clock.pause(REST), &mut end).await,
        }
    };
    archive.run_until_idle(flush).await?;
    done_at(&mut archive, &sleep).await?;
    Ok(())
}

/// How all stands where nothing is left to do, noted for the next start.
async fn done_at(archive: &mut Archive, sleep: &Sleep) -> Result<Option<Standing>, UpError> {
    if !archive.is_done() {
        return Ok(None);
    }
    let standing = sleep.standing().await?;
    // What came before the standing was taken is read by this round.
    if !archive.run_once(Flush::AtLimits).await?.is_idle() || !archive.is_done() {
        return Ok(None);
    }
    sleep.done_at(&standing);
    Ok(Some(standing))
}

async fn wait(reason: impl Future<Output = ()>, end: &mut watch::Receiver<Option<Flush>>) {
    tokio::select! {
        () = reason => {}
        _ = end.changed() => {}
    }
}

/// Runs every job over the windows that are complete. A job that fails is told when all others are done.
pub(super) async fn compute(
    lake: &DeltaLake,
    jobs: &[StatsJob],
) -> Result<BTreeMap<String, JobReport>, UpError> {
    let (mut reports, mut failure) = (BTreeMap::new(), None);
    for job in jobs.iter().filter(|job| !job.spec.suspend()) {
        let name = job.metadata.name.clone().unwrap_or_default();
        let report = match statistics::run(lake, &name, &job.spec).await {
            Ok(report) => report,
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        if report.outcome == Outcome::LakeBehind {
            tracing::info!(job = name, "no window is complete yet");
        }
        reports.insert(name, JobReport { windows: report.windows, rows: report.rows });
    }
    failure.map_or(Ok(reports), |failure| Err(failure.into()))
}

/// What the tables hold.
pub(super) async fn figures(lake: &DeltaLake) -> PortResult<BTreeMap<Table, TableReport>> {
    let mut reports = BTreeMap::new();
    for table in Table::ALL {
        let figures = lake.figures(table).await?;
        reports.insert(table, TableReport { rows: figures.rows, files: figures.files, bytes: figures.bytes });
    }
    Ok(reports)
}
