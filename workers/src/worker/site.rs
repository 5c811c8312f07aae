//! What a worker with stages answers over HTTP: probes, metrics, and `/status` for the operator.
//!
//! Must not change anything. Invariants: it is alive as long as it answers; it is ready once it is connected and every
//! partition of its share was taken over, and no longer when it drains.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use parking_crds::{
    role::Role,
    stream::Stream,
    topology::PipelineId,
    worker_config::WorkerConfig,
    worker_status::{
        PartitionReport, RulesReport, WorkerPhase, WorkerProblem, WorkerProblemKind, WorkerStatus,
    },
};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::WorkerError;
use crate::{
    http::Exposition,
    ports::event_log::{EventLog, Offset, Stream as LogStream},
    runtime::share::ShareBoard,
};

/// What the worker writes down about itself. A clone is the same board.
#[derive(Clone)]
pub(super) struct Board {
    pipeline: PipelineId,
    role: Role,
    share: ShareBoard,
    rules: Option<RulesReport>,
    log: Arc<Mutex<Option<Arc<dyn EventLog>>>>,
    draining: Arc<Mutex<bool>>,
}

impl Board {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        Self {
            pipeline: config.pipeline.clone(),
            role: config.role,
            share: ShareBoard::default(),
            rules: None,
            log: Arc::default(),
            draining: Arc::default(),
        }
    }

    /// With what is told of its rules.
    pub(super) fn with_rules(self, rules: RulesReport) -> Self {
        Self { rules: Some(rules), ..self }
    }

    pub(super) fn share(&self) -> ShareBoard {
        self.share.clone()
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
        let taken = self.share.read().values().all(|standing| standing.committed.is_some());
        if self.log().is_some() && taken { WorkerPhase::Running } else { WorkerPhase::Starting }
    }

    /// Offsets after the newest records; nothing where the log does not answer.
    async fn ends(&self) -> Vec<Offset> {
        let Some(log) = self.log() else { return Vec::new() };
        log.facts(LogStream::Events).await.map(|facts| facts.ends).unwrap_or_default()
    }

    async fn status(&self) -> WorkerStatus {
        let ends = self.ends().await;
        let (mut partitions, mut problems) = (Vec::new(), Vec::new());
        for (partition, standing) in self.share.read() {
            if let Some(message) = standing.trouble {
                let kind = standing.lost.then_some(WorkerProblemKind::DataLost);
                problems.push(WorkerProblem { kind: kind.unwrap_or(WorkerProblemKind::Store), message });
            }
            let (Some(position), Ok(number)) = (standing.committed, u16::try_from(partition)) else {
                continue;
            };
            let end = ends.get(partition as usize).copied().unwrap_or(position);
            partitions.push(PartitionReport {
                stream: Stream::Events,
                partition: number,
                position,
                end,
                oldest_unread: None,
            });
        }
        WorkerStatus {
            pipeline: self.pipeline.clone(),
            role: self.role,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            phase: self.phase(),
            partitions,
            rules: self.rules.clone(),
            problems,
        }
    }

    async fn metrics(&self) -> prometheus::Result<Exposition> {
        let ends = self.ends().await;
        let registry = Registry::new();
        let names = ["role", "partition"];
        let lag = Opts::new("parking_stage_lag", "Events that a stage has not committed.");
        let lag = IntGaugeVec::new(lag, &names)?;
        let failures = Opts::new("parking_stage_restarts_total", "How often a stage failed and began again.");
        let failures = IntCounterVec::new(failures, &names)?;
        registry.register(Box::new(lag.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        for (partition, standing) in self.share.read() {
            let labels = [self.role.as_str(), &partition.to_string()];
            failures.with_label_values(&labels).inc_by(standing.failures);
            let end = ends.get(partition as usize).copied().zip(standing.committed);
            if let Some((end, committed)) = end {
                let behind = i64::try_from(end.saturating_sub(committed)).unwrap_or(i64::MAX);
                lag.with_label_values(&labels).set(behind);
            }
        }
        Exposition::of(&registry)
    }
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
