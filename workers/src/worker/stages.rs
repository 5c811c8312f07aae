//! The roles that own partitions: occupancy and alert.

use std::sync::Arc;

use parking_crds::{
    role::Role,
    worker_config::{EventSettings, WorkerConfig},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    WorkerError, connect, inventory, joins_again, listen,
    rules::FollowedRules,
    site::{Board, Site},
    telemetry::Telemetry,
    told_or_renewed,
};
use crate::{
    domain::{alert::Settings, verdict::EventLimits},
    ports::{
        clock::Clock,
        event_log::{Partition, Stream},
    },
    runtime::{
        alert::Alert,
        live::LivePlace,
        occupancy::Occupancy,
        rest::Silence,
        role::{Duty, RoleStage},
        share::Share,
        snapshot::{SnapshotLimits, SnapshotPlace},
        stage::{CommitLimits, StagePorts, StageRunner},
    },
};

pub(super) async fn run(
    config: WorkerConfig,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let inventory = inventory(&config).await?;
    let limits = limits(config.events);
    let telemetry = Telemetry::new(config.role, &clock)?;
    let board = Board::new(&config, &telemetry);
    let site = Site::serve(listen(&config.listen).await?, board.clone(), stop.clone());
    let surroundings = Surroundings { config, clock, stop, board, telemetry, site };
    if surroundings.config.role != Role::Alert {
        let make = move |_| RoleStage::new(limits, &inventory, Occupancy::default());
        return surroundings.work(None, make).await;
    }
    let Surroundings { config, clock, board, stop, .. } = &surroundings;
    let pipeline = config.pipeline.name.to_string();
    let Some(rules) = FollowedRules::begin(&config.rules, clock, board, stop.clone()).await else {
        return surroundings.site.end().await;
    };
    let newest = rules.newest();
    let make = move |partition| {
        let (settings, loaded) =
            (Settings { tenant: pipeline.clone(), partition }, Arc::clone(&newest.borrow()));
        RoleStage::new(limits, &inventory, Alert::new(&inventory, &loaded.rules, settings))
    };
    surroundings.work(Some(rules), make).await
}

/// What the work has around it.
struct Surroundings {
    config: WorkerConfig,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
    board: Board,
    telemetry: Telemetry,
    site: Site,
}

impl Surroundings {
    /// Works until it is told to end. With newer rules all partitions are begun anew: a record is judged by one bundle.
    #[expect(clippy::disallowed_methods, reason = "the composition root is where owners get their names")]
    async fn work<D: Duty + 'static>(
        self,
        mut rules: Option<FollowedRules>,
        make: impl Fn(Partition) -> RoleStage<D> + Send + Sync + 'static,
    ) -> Result<(), WorkerError> {
        let Self { config, clock, stop, board, telemetry, site } = self;
        let Some(log) = connect::log(&config, clock.as_ref(), stop.clone()).await? else {
            return site.end().await;
        };
        let log = telemetry.log(log);
        let store = connect::store(&config)?;
        let live = LivePlace::new(telemetry.view(Arc::clone(&store) as Arc<_>));
        let store = telemetry.store(store);
        let ports = StagePorts { log: Arc::clone(&log), store, clock: Arc::clone(&clock) };
        board.connected(log);
        let silence = Silence {
            clock: Arc::clone(&clock),
            idle_after: Some(config.events.idle_after),
            tenant: config.pipeline.name.to_string(),
        };
        let (commit, make) = (CommitLimits::from(config.commit), Arc::new(make));
        let snapshots =
            SnapshotPlace { objects: connect::objects(&config)?, limits: SnapshotLimits::default() };
        let runner = move |partition| {
            let make = Arc::clone(&make);
            let runner =
                StageRunner::new(ports.clone(), partition, commit, move || make(partition), Uuid::new_v4);
            runner.with_snapshots(snapshots.clone()).with_live_rows(live.clone())
        };
        loop {
            if let Some(rules) = &mut rules {
                board.loaded(rules.take().report.clone());
            }
            let membership = telemetry.membership(connect::membership(&config, Stream::Events)?);
            let share = Share::new(membership, silence.clone(), board.share(), &runner);
            let ended = share.run(told_or_renewed(stop.clone(), rules.as_mut())).await;
            if !joins_again(ended, clock.as_ref(), &stop).await {
                return site.end().await;
            }
        }
    }
}

pub(super) fn limits(events: EventSettings) -> EventLimits {
    EventLimits {
        allowed_lateness: events.allowed_lateness,
        max_age: events.max_age,
        max_ahead: events.max_ahead,
    }
}
