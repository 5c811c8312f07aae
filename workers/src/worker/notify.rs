//! The role that tells alerts to the outside world.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use parking_crds::{pipeline::Route, reference::SecretKeyRef, worker_config::WorkerConfig};
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
        notifier::Notifier,
    },
    runtime::{
        joint_share,
        notify_share::{Notices, NotifyShare},
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
        witnesses: Some(connect::objects(&config)?),
        routing: Arc::new(Routing::new(&config.routes, &rules.parsed)),
        routes: routes.into_iter().map(|opened| (opened.route, opened.notifier)).collect(),
        partitions: u32::from(config.events.partitions),
    });
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

/// A route with who is told on it.
struct Opened {
    route: Route,
    notifier: Arc<dyn Notifier>,
    problem: Option<String>,
}

/// A route that cannot be used is told on the console: an alert that nobody hears of would be worse.
fn open(route: &Route, secrets: &str, clock: &Arc<dyn Clock>) -> Opened {
    let secret = |key: &SecretKeyRef| {
        let text = Secrets(Path::new(secrets)).text(&key.name, key.key.as_str());
        text.map_err(|error| error.to_string())
    };
    let (route, name) = (route.clone(), route.name.as_str());
    match route_notifier::open(&route, &secret, clock) {
        Ok(notifier) => Opened { route, notifier, problem: None },
        Err(reason) => {
            let problem = format!("route {name} is told on the console instead: {reason}");
            tracing::warn!("{problem}");
            Opened { route, notifier: Arc::new(ConsoleNotifier::stderr()), problem: Some(problem) }
        }
    }
}
