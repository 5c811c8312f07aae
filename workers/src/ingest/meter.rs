//! What ingest counts.
//!
//! Invariant: a record counts as accepted only once the log has it.

use std::sync::Arc;

use parking_crds::role::Role;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::gather::AppendFailed;
use crate::{
    adapters::decorate::LogMetrics,
    metrics::{Described, Exposition, Metrics, level},
    ports::{clock::Clock, event_log::EventLog},
};

const NONE: &[&str] = &[];

/// See the module.
pub struct Meter {
    metrics: Metrics,
    records: IntCounterVec,
    refused: IntCounterVec,
    turned_away: IntCounterVec,
    bytes: IntCounterVec,
    appends: IntCounterVec,
    free: IntGaugeVec,
    bad_secrets: IntCounterVec,
    log: LogMetrics,
}

impl Meter {
    /// Counts from zero.
    pub fn new() -> prometheus::Result<Self> {
        let metrics = Metrics::default();
        Ok(Self {
            records: metrics.counter(
                "parking_ingest_records_total",
                "Records by transport and verdict.",
                &["transport", "verdict"],
            )?,
            refused: metrics.counter(
                "parking_ingest_refused_records_total",
                "Refused records by reason.",
                &["reason"],
            )?,
            turned_away: metrics.counter(
                "parking_ingest_turned_away_requests_total",
                "Requests of which no record was looked at, or none was written, by reason.",
                &["transport", "reason"],
            )?,
            appends: metrics.counter(
                "parking_ingest_appends_total",
                "Appends to the log by outcome: ok or failed.",
                &["outcome"],
            )?,
            bad_secrets: metrics.counter(
                "parking_ingest_unusable_secrets_total",
                "Secrets, or entries of them, that could not be used when they were read.",
                &["secret"],
            )?,
            bytes: metrics.counter(
                "parking_ingest_bytes_total",
                "Bytes of records that were accepted.",
                &[],
            )?,
            free: metrics.gauge(
                "parking_ingest_free_bytes",
                "Bytes that may still be under way to the log before senders have to wait.",
                &[],
            )?,
            log: LogMetrics::new(&metrics)?,
            metrics,
        })
    }

    /// Every family.
    pub fn described(&self) -> Vec<Described> {
        self.metrics.described()
    }

    /// The log as ingest uses it.
    pub(super) fn metered(&self, log: Arc<dyn EventLog>, clock: &Arc<dyn Clock>) -> Arc<dyn EventLog> {
        Arc::new(self.log.metered(Role::Ingest.as_str(), log, Arc::clone(clock)))
    }

    pub(super) fn accepted(&self, transport: &str, records: usize, bytes: usize) {
        self.records.with_label_values(&[transport, "accepted"]).inc_by(records as u64);
        self.bytes.with_label_values(NONE).inc_by(bytes as u64);
    }

    pub(super) fn refused(&self, transport: &str, reason: &str) {
        self.records.with_label_values(&[transport, "refused"]).inc();
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn turned_away(&self, transport: &str, reason: &str) {
        self.turned_away.with_label_values(&[transport, reason]).inc();
    }

    pub(super) fn appended(&self, outcome: &Result<(), AppendFailed>) {
        let outcome = if outcome.is_ok() { "ok" } else { "failed" };
        self.appends.with_label_values(&[outcome]).inc();
    }

    pub(super) fn bad_secret(&self, secret: &str) {
        self.bad_secrets.with_label_values(&[secret]).inc();
    }

    /// Everything as it stands now.
    pub(super) fn exposition(&self, free: usize) -> prometheus::Result<Exposition> {
        self.free.with_label_values(NONE).set(level(free as u64));
        Exposition::of([&self.metrics])
    }
}
