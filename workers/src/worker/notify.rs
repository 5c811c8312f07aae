//! The role that tells alerts to the outside world.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use parking_crds::{pipeline::Route, reference::SecretKeyRef, worker_config::WorkerConfig};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    WorkerError, connect, joins_again, listen, rules,
    secrets::Secrets,
    site::{Board, Site},
    told,
};
use crate::{
    adapters::{console_notifier::ConsoleNotifier, decorate::SharedReads, route_notifier},
    domain::notify::Routing,
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
    let rules = rules::load(&config.rules)?;
    let routes: Vec<_> = config.routes.iter().map(|route| open(route, &config.secrets, &clock)).collect();
    let problems = routes.iter().filter_map(|opened| opened.problem.clone()).collect();
    let board = Board::new(&config).with_problems(problems);
    let site = Site::serve(listen(&config.listen).await?, board.clone(), stop.clone());
    let Some(log) = connect::log(&config, clock.as_ref(), stop.clone()).await? else {
        return site.end().await;
    };
    let notices = Arc::new(Notices {
        ports: StagePorts {
            log: Arc::new(SharedReads::new(Arc::clone(&log))),
            store: connect::store(&config)?,
            clock: Arc::clone(&clock),
        },
        routing: Arc::new(Routing::new(&config.routes, &rules.parsed)),
        routes: routes.into_iter().map(|opened| opened.told).collect(),
        partitions: u32::from(config.events.partitions),
    });
    let counted = Arc::clone(&notices);
    board.count(move |registry| meter(registry, &counted));
    board.connected(log);
    let share = board.share();
    loop {
        let membership = connect::membership(&config, Stream::Alerts)?;
        let begin = |slots: &BTreeSet<Partition>| {
            NotifyShare::new(&notices, slots, Arc::clone(&membership), share.clone(), Uuid::new_v4)
        };
        let ended = joint_share::run(membership.as_ref(), &share, told(stop.clone()), begin).await;
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
fn meter(registry: &Registry, notices: &Notices) -> prometheus::Result<()> {
    let counter = |name: &str, help: &str| {
        let counter = IntCounterVec::new(Opts::new(name, help), &["route"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok::<_, prometheus::Error>(counter)
    };
    let delivered = counter("parking_notifications_delivered_total", "Notifications that were taken.")?;
    let refused =
        counter("parking_notifications_refused_total", "Notifications that were refused for good.")?;
    let repeated =
        counter("parking_notifications_repeated_total", "Tries of notifications beyond the first.")?;
    for NoticeRoute { route, counts, .. } in &notices.routes {
        let (labels, totals) = ([route.name.as_str()], counts.totals());
        delivered.with_label_values(&labels).inc_by(totals.delivered);
        refused.with_label_values(&labels).inc_by(totals.refused);
        repeated.with_label_values(&labels).inc_by(totals.repeated);
    }
    Ok(())
}
