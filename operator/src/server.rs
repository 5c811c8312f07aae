//! The operator's own HTTP server: `/livez`, `/readyz` and `/metrics`.
//!
//! Must not: ask anything of the cluster; it answers from what the rest of the program reports.
//! Invariants: standbys are ready. The process is live unless objects are queued and nothing was reconciled for
//! `LONGEST_STALL`: a process that only waits for the API server's answers ends its waits by itself.

use std::{
    collections::BTreeSet,
    fmt::Write,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    metrics::Metrics,
    monotonic::{self, Instant},
    object::ObjectKind,
};

/// How long nothing may be reconciled although objects wait.
pub const LONGEST_STALL: Duration = Duration::from_mins(10);
/// Requests answered at once.
const CONCURRENCY: usize = 16;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long open connections are waited for at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// How the reconciles of one kind go on.
#[derive(Clone, Copy, Debug)]
struct Progress {
    queued: usize,
    /// When something was reconciled last, or the queue was empty last.
    since: Instant,
}

/// What the program reports about itself. Clones report together.
#[derive(Clone)]
pub struct Health {
    metrics: Metrics,
    state: Arc<Mutex<Reported>>,
}

struct Reported {
    progress: [Progress; ObjectKind::ALL.len()],
    missing_crds: Option<BTreeSet<String>>,
}

impl Health {
    /// A program that has just begun: live, and not ready until its resource definitions were looked for.
    pub fn new(metrics: Metrics) -> Self {
        let progress = [Progress { queued: 0, since: monotonic::now() }; ObjectKind::ALL.len()];
        Self { metrics, state: Arc::new(Mutex::new(Reported { progress, missing_crds: None })) }
    }

    /// So many objects of the kind wait.
    pub fn queued(&self, kind: ObjectKind, depth: usize) {
        self.metrics.queue_depth(kind, depth);
        self.progress(kind, |progress| {
            if progress.queued == 0 || depth == 0 {
                progress.since = monotonic::now();
            }
            progress.queued = depth;
        });
    }

    /// A reconcile of the kind ended, well or not.
    pub fn reconciled(&self, kind: ObjectKind) {
        self.progress(kind, |progress| progress.since = monotonic::now());
    }

    /// Which of our own resource definitions the cluster does not serve.
    pub fn missing_crds(&self, missing: BTreeSet<String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).missing_crds = Some(missing);
    }

    fn progress(&self, kind: ObjectKind, change: impl FnOnce(&mut Progress)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = state.progress.get_mut(kind as usize) {
            change(progress);
        }
    }

    /// The kinds whose reconciles stand still.
    fn stalled(&self) -> Vec<ObjectKind> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic::now();
        ObjectKind::ALL
            .into_iter()
            .zip(&state.progress)
            .filter(|(_, progress)| progress.queued > 0 && now >= progress.since + LONGEST_STALL)
            .map(|(kind, _)| kind)
            .collect()
    }

    fn live(&self) -> (StatusCode, String) {
        let stalled = self.stalled();
        if stalled.is_empty() {
            return (StatusCode::OK, "live\n".to_owned());
        }
        let mut text = String::new();
        for kind in stalled {
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "objects of kind {} wait, and none was reconciled for {} s",
                kind.as_str(),
                LONGEST_STALL.as_secs()
            );
        }
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn ready(&self) -> (StatusCode, String) {
        match &self.state.lock().unwrap_or_else(PoisonError::into_inner).missing_crds {
            None => (StatusCode::SERVICE_UNAVAILABLE, "the API server was not reached yet\n".to_owned()),
            Some(missing) if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
            Some(missing) => {
                let names = missing.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let text = format!(
                    "these resource definitions are missing: {names}; install the chart parking-operator-crds\n"
                );
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

/// The server's routes.
pub fn routes(health: Health) -> Router {
    let turns = Arc::new(tokio::sync::Semaphore::new(CONCURRENCY));
    Router::new()
        .route("/livez", get(|State(health): State<Health>| async move { health.live() }))
        .route("/readyz", get(|State(health): State<Health>| async move { health.ready() }))
        .route("/metrics", get(|State(health): State<Health>| async move { metrics(&health.metrics) }))
        .layer(axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
            let turns = Arc::clone(&turns);
            async move {
                let Ok(_turn) = turns.try_acquire() else {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                };
                monotonic::within(ANSWER, next.run(request))
                    .await
                    .unwrap_or_else(|| StatusCode::GATEWAY_TIMEOUT.into_response())
            }
        }))
        .with_state(health)
}

/// Serves until `stop` ends; then answers what is open, within bounds.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let server = axum::serve(listener, routes(health)).with_graceful_shutdown(async move {
        stop.await;
        let _ = stopping.send(());
    });
    tokio::select! {
        ended = server => ended,
        () = async {
            let _ = stopped.await;
            monotonic::sleep(GOODBYE).await;
        } => Ok(()),
    }
}

fn metrics(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok((kind, text)) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Metrics::new().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_live_unless_objects_wait_and_nothing_happens() {
        let health = health();
        tokio::time::advance(2 * LONGEST_STALL).await;
        assert_eq!(health.live().0, StatusCode::OK, "an idle process is live");
        health.queued(ObjectKind::AlertRule, 3);
        assert_eq!(health.live().0, StatusCode::OK);
        tokio::time::advance(LONGEST_STALL).await;
        health.queued(ObjectKind::AlertRule, 4);
        let (code, text) = health.live();
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("AlertRule"), "{text}");
        health.reconciled(ObjectKind::AlertRule);
        assert_eq!(health.live().0, StatusCode::OK);
    }

    #[tokio::test]
    async fn missing_definitions_are_listed_and_end_readiness() {
        let health = health();
        assert_eq!(health.ready().0, StatusCode::SERVICE_UNAVAILABLE);
        health.missing_crds(["alertrules.parking.tinyx.io".to_owned()].into());
        let (code, text) = health.ready();
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("alertrules.parking.tinyx.io"), "{text}");
        health.missing_crds(BTreeSet::new());
        assert_eq!(health.ready().0, StatusCode::OK);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the server runs beside the test")]
    async fn the_server_answers_and_ends_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, health(), async move { drop(stopped.await) }));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text =
            client.get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("parking_operator_leader 0"), "{text}");
        stop.send(()).unwrap();
        monotonic::within(Duration::from_secs(10), server).await.unwrap().unwrap().unwrap();
    }
}
