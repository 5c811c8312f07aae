//! A topic that is full already, through the stages and into the lake.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    super::{
        BenchError,
        gauge::Spent,
        oracle::Answer,
        scenario::{PARTITIONS, Scenario},
        stages::{Ports, Runners, ends, found},
    },
    place::{Place, Streams},
    timed,
};
use crate::{
    adapters::{
        embedded::SystemClock,
        lake::{DeltaLake, LogSources, ParquetEncoder},
        s3::S3ObjectStore,
    },
    ports::lake::Table,
    runtime::archive::{Archive, ArchiveError, ArchivePorts, ArchiveSettings, Flush, RollAfter, log_ids},
};

/// Runs occupancy and alert to the end of the events, and checks what they made of them.
pub(super) async fn stages(ports: &Ports, scenario: &Scenario, oracle: &Answer) -> Result<Spent, BenchError> {
    let ends = ends(ports.log.as_ref()).await?;
    let (runners, spent) = timed(Runners::new(scenario, ports).run_to(&ends)).await?;
    match found(ports, &runners, scenario).await?.difference(oracle) {
        None => Ok(spent),
        Some(difference) => Err(BenchError::Wrong(difference)),
    }
}

/// What the archive left.
#[derive(Clone, Copy, Default)]
pub(super) struct Archived {
    pub(super) spent: Option<Spent>,
    /// Of the table of events.
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Archives the streams, and checks that each accepted event stands in the lake once.
pub(super) async fn archive(
    place: &Place,
    streams: &Streams,
    scenario: &Scenario,
    oracle: &Answer,
) -> Result<Archived, BenchError> {
    let ids = log_ids(streams.log.as_ref()).await?;
    let sources =
        LogSources::each(|table| ids.get(&table).map_or_else(|| "inventory".to_owned(), Uuid::to_string));
    let settings = place.lake(&streams.name)?;
    let lake = Arc::new(DeltaLake::open(settings.clone(), sources, PARTITIONS)?);
    let ports = ArchivePorts {
        log: Arc::clone(&streams.log),
        lake: Arc::clone(&lake) as Arc<_>,
        objects: Arc::new(S3ObjectStore::open(&settings)?),
        clock: Arc::new(SystemClock::new()),
        encoder: Arc::new(ParquetEncoder),
    };
    let settings = ArchiveSettings {
        partitions: (0..PARTITIONS).collect(),
        roll_after: RollAfter { age: None, ..RollAfter::default() },
        limits: scenario.limits,
        inventory: Arc::clone(&scenario.inventory),
        jitter: 0,
    };
    let mut archive = Archive::new(ports, settings);
    let ((), spent) = timed(async {
        while !archive.run_once(Flush::Now).await.map_err(failed)?.is_idle() {}
        Ok(())
    })
    .await?;
    let figures = lake.figures(Table::Events).await?;
    if figures.rows != oracle.accepted {
        let (found, expected) = (figures.rows, oracle.accepted);
        return Err(BenchError::Wrong(format!("{found} events are in the lake, {expected} were accepted")));
    }
    Ok(Archived { spent: Some(spent), rows: figures.rows, bytes: figures.bytes })
}

fn failed(error: ArchiveError) -> BenchError {
    match error {
        ArchiveError::Port(error) => BenchError::Port(error),
        other => BenchError::Wrong(other.to_string()),
    }
}
