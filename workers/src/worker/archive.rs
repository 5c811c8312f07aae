//! The role that brings the streams into the lake.

use std::{collections::BTreeSet, sync::Arc};

use parking_crds::worker_config::{Lake as LakeConfig, WorkerConfig};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    WorkerError, connect, inventory, joins_again, listen,
    site::{Board, Site},
    stages::limits,
    telemetry::Telemetry,
    told, upkeep,
};
use crate::{
    adapters::lake::{DeltaLake, LogSources, MaintenanceSettings, ParquetEncoder},
    ports::{
        PortResult,
        clock::Clock,
        event_log::{EventLog, Partition, Stream},
    },
    runtime::{
        archive::{Archive, ArchivePorts, ArchiveSettings, RollAfter, log_ids},
        archive_share::ArchiveShare,
        joint_share,
    },
};

#[expect(clippy::disallowed_methods, reason = "the composition root is where owners get their names")]
pub(super) async fn run(
    config: WorkerConfig,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let telemetry = Telemetry::new(config.role, &clock)?;
    let board = Board::new(&config, &telemetry);
    let site = Site::serve(listen(&config.listen).await?, board.clone(), stop.clone());
    let inventory = inventory(&config).await?;
    let Some(log) = connect::log(&config, clock.as_ref(), stop.clone()).await? else {
        return site.end().await;
    };
    let log = telemetry.log(log);
    let (bucket, objects) = (connect::bucket(&config)?, connect::objects(&config)?);
    let sources = sources(&config, log.as_ref()).await?;
    let lake = Arc::new(DeltaLake::open(bucket, sources, u32::from(config.events.partitions))?);
    let ports = ArchivePorts {
        log: Arc::clone(&log),
        lake: telemetry.lake(Arc::clone(&lake) as Arc<_>),
        objects: Arc::clone(&objects),
        clock: Arc::clone(&clock),
        encoder: Arc::new(ParquetEncoder),
    };
    let settings = ArchiveSettings {
        partitions: Vec::new(),
        roll_after: roll_after(&config),
        limits: limits(config.events),
        inventory: Arc::clone(&inventory),
        jitter: Uuid::new_v4().as_u64_pair().0,
    };
    board.connected(log);
    let upkeep = upkeep::start(&lake, &inventory, &clock, board.share(), maintenance(&config));
    let share = board.share();
    loop {
        let membership = telemetry.membership(connect::membership(&config, Stream::Events)?);
        let begin = |partitions: &BTreeSet<Partition>| {
            let settings =
                ArchiveSettings { partitions: partitions.iter().copied().collect(), ..settings.clone() };
            let archive = Archive::new(ports.clone(), settings);
            ArchiveShare::new(archive, partitions, Arc::clone(&clock), Arc::clone(&membership), share.clone())
        };
        let ended = joint_share::run(membership.as_ref(), &share, told(stop.clone()), begin).await;
        if !joins_again(ended, clock.as_ref(), &stop).await {
            break;
        }
    }
    drop(upkeep);
    site.end().await
}

/// Names for the positions of each table: a topic that is made anew has another.
async fn sources(config: &WorkerConfig, log: &dyn EventLog) -> PortResult<LogSources> {
    let (ids, pipeline) = (log_ids(log).await?, &config.pipeline);
    Ok(LogSources::each(|table| {
        let id = ids.get(&table).map_or_else(|| "inventory".to_owned(), Uuid::to_string);
        format!("{}/{}/{id}", pipeline.namespace, pipeline.name)
    }))
}

fn roll_after(config: &WorkerConfig) -> RollAfter {
    let mut roll = RollAfter::default();
    if let Some(wanted) = config.roll_after {
        (roll.rows, roll.age) = (u64::from(wanted.rows), Some(wanted.age));
    }
    roll
}

fn maintenance(config: &WorkerConfig) -> MaintenanceSettings {
    let (LakeConfig::Embedded { retention } | LakeConfig::S3 { retention, .. }) = &config.lake;
    MaintenanceSettings { retention: *retention, ..MaintenanceSettings::default() }
}
