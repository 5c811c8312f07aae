//! The state store and the live view beside it, metered.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use uuid::Uuid;

use super::Began;
use crate::{
    metrics::Metrics,
    ports::{
        PortResult,
        clock::Clock,
        live_view::{LiveRows, LiveView},
        state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
    },
};

/// What is counted of state stores.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    commits: IntCounterVec,
    durations: HistogramVec,
    bytes: IntCounterVec,
    claims: IntCounterVec,
    redelivered: IntCounterVec,
    errors: IntCounterVec,
}

impl StoreMetrics {
    /// Counts from zero.
    pub fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            commits: metrics.counter(
                "parking_state_commits_total",
                "Commits of state, by outcome: stored, or fenced because another owner took over.",
                &["role", "outcome"],
            )?,
            durations: metrics.durations(
                "parking_state_commit_duration_seconds",
                "How long the state store took to answer a commit.",
                &["role"],
            )?,
            bytes: metrics.counter(
                "parking_state_written_bytes_total",
                "Bytes of changed state that was committed, keys and outbox not counted.",
                &["role"],
            )?,
            claims: metrics.counter(
                "parking_state_claims_total",
                "How often state was taken over: at an assignment, after a failure, after a fence.",
                &["role"],
            )?,
            redelivered: metrics.counter(
                "parking_outbox_redelivered_records_total",
                "Outputs that a takeover found in the outbox and appends again; readers know them by their ids.",
                &["role"],
            )?,
            errors: metrics.counter(
                "parking_state_errors_total",
                "Calls of the state store that failed, by operation: claim, commit, trim, peek or show.",
                &["role", "operation"],
            )?,
        })
    }

    /// A live view as a role uses it.
    pub fn metered_view(&self, role: &str, inner: Arc<dyn LiveView>) -> impl LiveView + use<> {
        MeteredView { inner, failed: self.errors.with_label_values(&[role, "show"]) }
    }

    /// A store as a role uses it.
    pub fn metered(&self, role: &str, inner: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> MeteredStore {
        let error = |operation| self.errors.with_label_values(&[role, operation]);
        MeteredStore {
            inner,
            clock,
            stored: self.commits.with_label_values(&[role, "stored"]),
            fenced: self.commits.with_label_values(&[role, "fenced"]),
            durations: self.durations.with_label_values(&[role]),
            bytes: self.bytes.with_label_values(&[role]),
            claims: self.claims.with_label_values(&[role]),
            redelivered: self.redelivered.with_label_values(&[role]),
            failed_claims: error("claim"),
            failed_commits: error("commit"),
            failed_trims: error("trim"),
            failed_peeks: error("peek"),
        }
    }
}

/// See the module.
pub struct MeteredStore {
    inner: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    stored: IntCounter,
    fenced: IntCounter,
    durations: Histogram,
    bytes: IntCounter,
    claims: IntCounter,
    redelivered: IntCounter,
    failed_claims: IntCounter,
    failed_commits: IntCounter,
    failed_trims: IntCounter,
    failed_peeks: IntCounter,
}

#[async_trait]
impl StateStore for MeteredStore {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let claimed = self.inner.claim(stage, owner).await.inspect_err(|_| self.failed_claims.inc())?;
        self.claims.inc();
        self.redelivered.inc_by(claimed.1.as_ref().map_or(0, |stored| stored.outbox.len() as u64));
        Ok(claimed)
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let bytes: usize = commit.blocks.iter().filter_map(|(_, block)| Some(block.as_ref()?.len())).sum();
        let began = Began::now(self.clock.as_ref());
        let outcome = self.inner.commit(stage, commit).await.inspect_err(|_| self.failed_commits.inc())?;
        match outcome {
            Outcome::Stored => {
                began.ends(&self.durations);
                self.stored.inc();
                self.bytes.inc_by(bytes as u64);
            }
            Outcome::Fenced => self.fenced.inc(),
        }
        Ok(outcome)
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.inner.trim(stage, token, through).await.inspect_err(|_| self.failed_trims.inc())
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.inner.peek(stage).await.inspect_err(|_| self.failed_peeks.inc())
    }
}

/// See the module.
struct MeteredView {
    inner: Arc<dyn LiveView>,
    failed: IntCounter,
}

#[async_trait]
impl LiveView for MeteredView {
    async fn show(&self, stage: &StageKey, token: Token, rows: LiveRows) -> PortResult<Outcome> {
        self.inner.show(stage, token, rows).await.inspect_err(|_| self.failed.inc())
    }
}
