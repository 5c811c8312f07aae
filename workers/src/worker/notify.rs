//! The role that tells alerts to the outside world.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use parking_crds::{pipeline::Route, reference::SecretKeyRef, worker_config::WorkerConfig};
use prometheus::IntCounterVec;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    WorkerError, connect, joins_again, listen,
    rules::FollowedRules,
    secrets::Secrets,
    site::{Board, Site},
    telemetry::Telemetry,
    told_or_renewed,
};
use crate::{
    adapters::{console_notifier::ConsoleNotifier, decorate::SharedReads, route_notifier},
    domain::notify::Routing,
    metrics::Metrics,
    ports::{
        clock::Clock,
        event_log::{Partition, Stream},
    },
    runtime::{
        joint_share,
        notify_share::{NoticeRoute, Notices, NotifyShare},
        stage::StagePorts,
    },
};

#[expect(clippy::disallowed_methods, reason = "the composition root is where owners get their names")]
pub(super) async fn run(
    config: WorkerConfig,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let routes: Vec<_> = config.routes.iter().map(|route| open(route, &config.secrets, &clock)).collect();
    let problems = routes.iter().filter_map(|opened| opened.problem.clone()).collect();
    let routes: Arc<[NoticeRoute]> = routes.into_iter().map(|opened| opened.told).collect();
    let telemetry = Telemetry::new(config.role, &clock)?;
    let board = Board::new(&config, &telemetry).with_problems(problems);
    let site = Site::serve(listen(&config.listen).await?, board.clone(), stop.clone());
    let Some(mut rules) = FollowedRules::begin(&config.rules, &clock, &board, stop.clone()).await else {
        return site.end().await;
    };
    let Some(log) = connect::log(&config, clock.as_ref(), stop.clone()).await? else {
        return site.end().await;
    };
    let log = telemetry.log(log);
    let ports = StagePorts {
        log: Arc::new(SharedReads::new(Arc::clone(&log))),
        store: telemetry.store(connect::store(&config)?),
        clock: Arc::clone(&clock),
    };
    let counted = Arc::clone(&routes);
    board.count(move |metrics| {
        RouteMetrics::new(metrics)?.count(&counted);
        Ok(())
    });
    board.connected(log);
    // What a deleted rule resolves is told where its alerts were.
    let (share, mut known) = (board.share(), BTreeMap::new());
    loop {
        for rule in &rules.take().parsed {
            known.insert(rule.metadata.name.clone(), rule.clone());
        }
        let notices = Arc::new(Notices {
            ports: ports.clone(),
            routing: Arc::new(Routing::new(&config.routes, known.values())),
            routes: Arc::clone(&routes),
            partitions: u32::from(config.events.partitions),
        });
        let membership = telemetry.membership(connect::membership(&config, Stream::Alerts)?);
        let begin = |slots: &BTreeSet<Partition>| {
            NotifyShare::new(&notices, slots, Arc::clone(&membership), share.clone(), Uuid::new_v4)
        };
        let ends = told_or_renewed(stop.clone(), Some(&mut rules));
        let ended = joint_share::run(membership.as_ref(), &share, ends, begin).await;
        if !joins_again(ended, clock.as_ref(), &stop).await {
            return site.end().await;
        }
    }
}

/// A route that can be told on, and what is wrong with it.
struct Opened {
    told: NoticeRoute,
    problem: Option<String>,
}

/// A route that cannot be used is told on the console: an alert that nobody hears of would be worse.
fn open(route: &Route, secrets: &str, clock: &Arc<dyn Clock>) -> Opened {
    let secret = |key: &SecretKeyRef| {
        let text = Secrets(Path::new(secrets)).text(&key.name, key.key.as_str());
        text.map_err(|error| error.to_string())
    };
    let (notifier, problem) = match route_notifier::open(route, &secret, clock) {
        Ok(notifier) => (notifier, None),
        Err(reason) => {
            let problem = format!("route {} is told on the console instead: {reason}", route.name);
            tracing::warn!("{problem}");
            (Arc::new(ConsoleNotifier::stderr()) as Arc<_>, Some(problem))
        }
    };
    Opened { told: NoticeRoute { route: route.clone(), notifier, counts: Arc::default() }, problem }
}

/// What became of the notifications of each route.
pub(super) struct RouteMetrics {
    delivered: IntCounterVec,
    refused: IntCounterVec,
    repeated: IntCounterVec,
}

impl RouteMetrics {
    pub(super) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        let counter = |name, help| metrics.counter(name, help, &["route"]);
        Ok(Self {
            delivered: counter("parking_notifications_delivered_total", "Notifications that were taken.")?,
            refused: counter(
                "parking_notifications_refused_total",
                "Notifications that were refused for good.",
            )?,
            repeated: counter(
                "parking_notifications_repeated_total",
                "Tries of notifications beyond the first.",
            )?,
        })
    }

    fn count(&self, routes: &[NoticeRoute]) {
        for NoticeRoute { route, counts, .. } in routes {
            let (labels, totals) = ([route.name.as_str()], counts.totals());
            self.delivered.with_label_values(&labels).inc_by(totals.delivered);
            self.refused.with_label_values(&labels).inc_by(totals.refused);
            self.repeated.with_label_values(&labels).inc_by(totals.repeated);
        }
    }
}
