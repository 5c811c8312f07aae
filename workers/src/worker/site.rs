//! What a worker with stages answers over HTTP: probes, metrics, and `/status` for the operator.
//!
//! Must not change anything. Invariants: it is alive as long as it answers; it is ready once it is connected and every
//! partition of its share was taken over, and no longer when it drains.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use k8s_openapi::jiff::Timestamp;
use parking_crds::{
    role::Role,
    topology::PipelineId,
    worker_config::WorkerConfig,
    worker_status::{
        PartitionReport, RulesReport, WorkerPhase, WorkerProblem, WorkerProblemKind, WorkerStatus,
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{WorkerError, share_metrics::ShareMetrics, telemetry::Telemetry};
use crate::{
    domain::alert::RuleStanding,
    metrics::{Exposition, Metrics},
    ports::event_log::{EventLog, Offset, StreamPartition},
    runtime::standing::{ShareBoard, Standing},
};

/// How long the log may take to tell where a partition ends.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// What the worker writes down about itself. A clone is the same board.
#[derive(Clone)]
pub(super) struct Board {
    pipeline: PipelineId,
    role: Role,
    share: ShareBoard,
    rules: Arc<Mutex<Rules>>,
    /// What is wrong with the configuration.
    problems: Vec<String>,
    log: Arc<Mutex<Option<Arc<dyn EventLog>>>>,
    draining: Arc<Mutex<bool>>,
    /// What the role counts beside its share.
    meter: Arc<OnceLock<Box<Meter>>>,
    telemetry: Telemetry,
}

/// What is told of rules.
#[derive(Clone, Default)]
struct Rules {
    loaded: Option<RulesReport>,
    refused: Option<String>,
}

/// Adds metrics to those of every role.
pub(super) type Meter = dyn Fn(&Metrics) -> prometheus::Result<()> + Send + Sync;

impl Board {
    pub(super) fn new(config: &WorkerConfig, telemetry: &Telemetry) -> Self {
        Self {
            pipeline: config.pipeline.clone(),
            role: config.role,
            share: ShareBoard::default(),
            rules: Arc::default(),
            problems: Vec::new(),
            log: Arc::default(),
            draining: Arc::default(),
            meter: Arc::default(),
            telemetry: telemetry.clone(),
        }
    }

    /// With what is wrong with its configuration, and does not keep it from working.
    pub(super) fn with_problems(self, problems: Vec<String>) -> Self {
        Self { problems, ..self }
    }

    pub(super) fn share(&self) -> ShareBoard {
        self.share.clone()
    }

    /// What the role counts beside its share; the first one stays.
    pub(super) fn count(&self, meter: impl Fn(&Metrics) -> prometheus::Result<()> + Send + Sync + 'static) {
        let _ = self.meter.set(Box::new(meter));
    }

    /// It works by these rules from now on.
    pub(super) fn loaded(&self, rules: RulesReport) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).loaded = Some(rules);
    }

    /// Why newer rules cannot be loaded; `None` where they can.
    pub(super) fn rules_refused(&self, reason: Option<String>) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).refused = reason;
    }

    /// The log is there.
    pub(super) fn connected(&self, log: Arc<dyn EventLog>) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
    }

    fn log(&self) -> Option<Arc<dyn EventLog>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn phase(&self) -> WorkerPhase {
        if *self.draining.lock().unwrap_or_else(PoisonError::into_inner) {
            return WorkerPhase::Draining;
        }
        if self.log().is_some() && self.share.has_taken_over() {
            WorkerPhase::Running
        } else {
            WorkerPhase::Starting
        }
    }

    /// How each partition of the share stands, and where it ends, if the log tells.
    async fn share_with_ends(&self) -> Vec<(StreamPartition, Standing, Option<Offset>)> {
        let share = self.share.read();
        let ends = match self.log() {
            Some(log) => ends(&log, share.keys().copied()).await,
            None => BTreeMap::new(),
        };
        share.into_iter().map(|(at, standing)| (at, standing, ends.get(&at).copied())).collect()
    }

    async fn status(&self) -> WorkerStatus {
        let (mut partitions, mut silent) = (Vec::new(), Vec::new());
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let configuration = self.problems.iter().cloned().chain(rules.refused);
        let mut problems: Vec<_> = configuration
            .map(|message| WorkerProblem { kind: WorkerProblemKind::Configuration, message })
            .collect();
        for (at, standing, end) in self.share_with_ends().await {
            let problem =
                standing.trouble.map(|message| WorkerProblem { kind: self.kind(standing.lost), message });
            // Several partitions often have the same.
            problems.extend(problem.filter(|problem| !problems.contains(problem)));
            let Some(end) = end else {
                silent.push(at);
                continue;
            };
            if let (Some(position), Ok(partition)) = (standing.committed, u16::try_from(at.partition)) {
                partitions.push(PartitionReport {
                    stream: at.stream,
                    partition,
                    position,
                    end,
                    oldest_unread: None,
                });
            }
        }
        if let (Some(first), true) = (silent.first(), self.log().is_some()) {
            let (kind, count) = (WorkerProblemKind::Log, silent.len());
            let message = format!(
                "the log does not tell where {first} ends: the lag of {count} partitions is not known"
            );
            problems.push(WorkerProblem { kind, message });
        }
        WorkerStatus {
            pipeline: self.pipeline.clone(),
            role: self.role,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            phase: self.phase(),
            partitions,
            rules: rules.loaded.map(|loaded| with_counts(loaded, &self.share.rules())),
            problems,
        }
    }

    /// What the trouble of a role is about.
    fn kind(&self, is_lost: bool) -> WorkerProblemKind {
        match self.role {
            _ if is_lost => WorkerProblemKind::DataLost,
            Role::Archive => WorkerProblemKind::Lake,
            _ => WorkerProblemKind::Store,
        }
    }

    async fn metrics(&self) -> prometheus::Result<Exposition> {
        let metrics = Metrics::default();
        let families = ShareMetrics::new(&metrics, self.role)?;
        for (at, standing, end) in self.share_with_ends().await {
            families.tell(at, &standing, end);
        }
        families.count(&self.share.done());
        if let Some(meter) = self.meter.get() {
            meter(&metrics)?;
        }
        Exposition::of([&metrics, self.telemetry.metrics()])
    }
}

/// The rules with how their alerts stand.
fn with_counts(mut loaded: RulesReport, standings: &BTreeMap<String, RuleStanding>) -> RulesReport {
    for (name, report) in &mut loaded.rules {
        let Some(RuleStanding { counts, is_saturated, last_transition }) = standings.get(name.as_str())
        else {
            continue;
        };
        report.pending = counts.pending.into();
        report.firing = counts.firing.into();
        report.recovering = counts.recovering.into();
        report.no_data = counts.no_data.into();
        report.saturated = *is_saturated;
        report.last_transition = last_transition.and_then(|at| Timestamp::from_millisecond(at).ok());
    }
    loaded
}

/// Where these partitions end, of those that the log tells in time.
#[expect(clippy::disallowed_methods, reason = "all are asked at once, and a probe waits for no broker")]
async fn ends(
    log: &Arc<dyn EventLog>,
    places: impl Iterator<Item = StreamPartition>,
) -> BTreeMap<StreamPartition, Offset> {
    let (mut asked, mut ends) = (JoinSet::new(), BTreeMap::new());
    for at in places {
        let log = Arc::clone(log);
        asked.spawn(async move { Some((at, log.bounds(at).await.ok()?.end)) });
    }
    let answered = async {
        while let Some(answer) = asked.join_next().await {
            ends.extend(answer.ok().flatten());
        }
    };
    // Who has not answered by then is asked again the next time.
    let _ = tokio::time::timeout(LONGEST_LOOK, answered).await;
    ends
}

/// The served address.
pub(super) struct Site(JoinSet<std::io::Result<()>>);

impl Site {
    /// Serves until `stop` is true.
    #[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
    pub(super) fn serve(listener: TcpListener, board: Board, mut stop: watch::Receiver<bool>) -> Self {
        let routes = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .with_state(board.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let ends = async move {
                let _ = stop.wait_for(|stop| *stop).await;
                *board.draining.lock().unwrap_or_else(PoisonError::into_inner) = true;
            };
            axum::serve(listener, routes).with_graceful_shutdown(ends).await
        });
        Self(tasks)
    }

    /// Answers what is under way.
    pub(super) async fn end(mut self) -> Result<(), WorkerError> {
        while let Some(ended) = self.0.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!("the HTTP service ended: {error}");
            }
        }
        Ok(())
    }
}

async fn readyz(State(board): State<Board>) -> Response {
    match board.phase() {
        WorkerPhase::Running => "ok\n".into_response(),
        WorkerPhase::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, "connecting, or taking partitions over\n").into_response()
        }
        WorkerPhase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "about to end\n").into_response(),
    }
}

async fn status(State(board): State<Board>) -> Json<WorkerStatus> {
    Json(board.status().await)
}

async fn metrics(State(board): State<Board>) -> Response {
    match board.metrics().await {
        Ok(metrics) => metrics.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
