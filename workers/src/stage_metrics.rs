//! What is told of stages in every program that runs them: how far they are, and their verdicts.
//!
//! Must not count by itself: the numbers are those of what was committed.

use parking_crds::event::Millis;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use crate::{
    metrics::{Metrics, level, seconds},
    ports::event_log::StreamPartition,
    runtime::occupancy::Totals,
};

const LABELS: &[&str] = &["role", "stream", "partition"];

/// How far work on partitions is.
pub(crate) struct PartitionMetrics {
    lag: IntGaugeVec,
    watermark: Option<GaugeVec>,
}

impl PartitionMetrics {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            lag: metrics.gauge("parking_stage_lag", "Records that a role has not committed.", LABELS)?,
            watermark: None,
        })
    }

    /// The same, of a role that knows event time.
    pub(crate) fn with_watermark(self, metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            watermark: Some(metrics.gauge_of_seconds(
                "parking_watermark_timestamp_seconds",
                "How far event time has come in what is committed, since 1970; in a replay that is the replayed time.",
                LABELS,
            )?),
            ..self
        })
    }

    pub(crate) fn tell(&self, role: &str, at: StreamPartition, lag: Option<u64>, watermark: Option<Millis>) {
        let labels = [role, at.stream.as_str(), &at.partition.to_string()];
        if let Some(lag) = lag {
            self.lag.with_label_values(&labels).set(level(lag));
        }
        if let Some((family, watermark)) = self.watermark.as_ref().zip(watermark) {
            family.with_label_values(&labels).set(seconds(watermark));
        }
    }
}

/// How often work on partitions failed.
pub(crate) struct RestartMetrics(IntCounterVec);

impl RestartMetrics {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        let help = "How often a stage failed and began again, since its partition was assigned.";
        Ok(Self(metrics.counter("parking_stage_restarts_total", help, LABELS)?))
    }

    pub(crate) fn count(&self, role: &str, at: StreamPartition, restarts: u64) {
        let labels = [role, at.stream.as_str(), &at.partition.to_string()];
        self.0.with_label_values(&labels).inc_by(restarts);
    }
}

/// What became of the records of the input.
pub(crate) struct VerdictMetrics {
    events: IntCounterVec,
    dead: IntCounterVec,
    late: IntCounterVec,
    sessions: IntCounterVec,
    zones: IntGaugeVec,
}

impl VerdictMetrics {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            events: metrics.counter(
                "parking_events_total",
                "Records of the input by verdict: accepted, duplicate or dead.",
                &["verdict"],
            )?,
            dead: metrics.counter(
                "parking_dead_letters_total",
                "Records that could not be used, by reason; their bytes are kept as dead letters.",
                &["reason"],
            )?,
            late: metrics.counter(
                "parking_late_events_total",
                "Accepted records behind the watermark.",
                &[],
            )?,
            sessions: metrics.counter("parking_sessions_total", "Stays that began.", &[])?,
            zones: metrics.gauge("parking_zones", "Zones of which something was accepted.", &[])?,
        })
    }

    /// Adds verdicts, and the zones of partitions.
    pub(crate) fn count(&self, totals: &Totals, zones: u64) {
        let none: &[&str] = &[];
        for (verdict, count) in [("accepted", totals.accepted), ("duplicate", totals.duplicates)] {
            self.events.with_label_values(&[verdict]).inc_by(count);
        }
        for (reason, count) in &totals.dead_letters {
            self.events.with_label_values(&["dead"]).inc_by(*count);
            self.dead.with_label_values(&[reason.as_str()]).inc_by(*count);
        }
        self.late.with_label_values(none).inc_by(totals.late);
        self.sessions.with_label_values(none).inc_by(totals.sessions);
        self.zones.with_label_values(none).add(level(zones));
    }
}
