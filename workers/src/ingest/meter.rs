//! What ingest counts.
//!
//! Invariant: a record counts as accepted only once the log has it.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::gather::AppendFailed;
use crate::http::Exposition;

/// See the module.
pub struct Meter {
    registry: Registry,
    records: IntCounterVec,
    refused: IntCounterVec,
    turned_away: IntCounterVec,
    bytes: IntCounter,
    appends: IntCounterVec,
    free: IntGauge,
    bad_secrets: IntCounterVec,
}

impl Meter {
    /// Counts from zero.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let records = counter(
            "parking_ingest_records_total",
            "Records by transport and verdict.",
            &["transport", "verdict"],
        )?;
        let refused =
            counter("parking_ingest_refused_records_total", "Refused records by reason.", &["reason"])?;
        let turned_away = counter(
            "parking_ingest_turned_away_requests_total",
            "Requests of which no record was looked at, or none was written, by reason.",
            &["transport", "reason"],
        )?;
        let appends =
            counter("parking_ingest_appends_total", "Appends to the log by outcome.", &["outcome"])?;
        let bad_secrets = counter(
            "parking_ingest_unusable_secrets_total",
            "Secrets, or entries of them, that could not be used when they were read.",
            &["secret"],
        )?;
        let bytes = IntCounter::new("parking_ingest_bytes_total", "Bytes of records that were accepted.")?;
        registry.register(Box::new(bytes.clone()))?;
        let free = IntGauge::new(
            "parking_ingest_free_bytes",
            "Bytes that may still be under way to the log before senders have to wait.",
        )?;
        registry.register(Box::new(free.clone()))?;
        Ok(Self { registry, records, refused, turned_away, bytes, appends, free, bad_secrets })
    }

    pub(super) fn accepted(&self, transport: &str, records: usize, bytes: usize) {
        self.records.with_label_values(&[transport, "accepted"]).inc_by(records as u64);
        self.bytes.inc_by(bytes as u64);
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
        self.free.set(i64::try_from(free).unwrap_or(i64::MAX));
        Exposition::of(&self.registry)
    }
}
