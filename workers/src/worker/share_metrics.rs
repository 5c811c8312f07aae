//! What a worker's metrics tell of its share: each partition as it stands, and what was made of the input.
//!
//! Must not keep anything: it is made for each answer, so that a partition that went elsewhere leaves no trace.

use parking_crds::role::Role;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use crate::{
    metrics::{Metrics, level, seconds},
    ports::event_log::{Offset, StreamPartition},
    runtime::{occupancy::Totals, standing::Standing},
    stage_metrics::{PartitionMetrics, RestartMetrics, VerdictMetrics},
};

/// See the module.
pub(super) struct ShareMetrics {
    role: Role,
    partitions: PartitionMetrics,
    troubled: IntGaugeVec,
    failures: RestartMetrics,
    stages: Option<StageMetrics>,
    verdicts: Option<VerdictMetrics>,
}

/// Of roles that keep the state of partitions.
struct StageMetrics {
    unwritten: IntCounterVec,
    rebuilds: IntCounterVec,
    rebuilt: IntGaugeVec,
    bytes: IntGaugeVec,
    first_record: GaugeVec,
}

const LABELS: &[&str] = &["role", "stream", "partition"];

impl ShareMetrics {
    pub(super) fn new(metrics: &Metrics, role: Role) -> prometheus::Result<Self> {
        let is_stage = matches!(role, Role::Occupancy | Role::Alert);
        let counts = role == Role::Occupancy;
        let partitions = PartitionMetrics::new(metrics)?;
        let partitions = if is_stage { partitions.with_watermark(metrics)? } else { partitions };
        Ok(Self {
            role,
            partitions,
            troubled: metrics.gauge(
                "parking_stage_in_trouble",
                "1 while the work on a partition cannot go on; /status says why.",
                LABELS,
            )?,
            failures: RestartMetrics::new(metrics)?,
            stages: is_stage.then(|| StageMetrics::new(metrics)).transpose()?,
            verdicts: counts.then(|| VerdictMetrics::new(metrics)).transpose()?,
        })
    }

    /// How a partition stands, and where it ends.
    pub(super) fn tell(&self, at: StreamPartition, standing: &Standing, end: Option<Offset>) {
        let role = self.role.as_str();
        let lag = end.zip(standing.committed).map(|(end, committed)| end.saturating_sub(committed));
        self.partitions.tell(role, at, lag, standing.watermark);
        let labels = [role, at.stream.as_str(), &at.partition.to_string()];
        self.troubled.with_label_values(&labels).set(i64::from(standing.trouble.is_some()));
        self.failures.count(role, at, standing.failures);
        if let Some(stages) = &self.stages {
            stages.tell(&labels, standing);
        }
        if let Some(verdicts) = &self.verdicts {
            verdicts.count(&Totals::default(), standing.zones.unwrap_or(0));
        }
    }

    /// What was made of the input, on whatever share.
    pub(super) fn count(&self, done: &Totals) {
        if let Some(verdicts) = &self.verdicts {
            verdicts.count(done, 0);
        }
    }
}

impl StageMetrics {
    fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            unwritten: metrics.counter(
                "parking_snapshot_failures_total",
                "Snapshots that could not be written.",
                LABELS,
            )?,
            rebuilds: metrics.counter(
                "parking_stage_rebuilds_total",
                "How often the state was taken up again because the store had lost it or gone back.",
                LABELS,
            )?,
            rebuilt: metrics.gauge(
                "parking_stage_rebuilt_offset",
                "Where the state was taken up again after the store had last lost it.",
                LABELS,
            )?,
            bytes: metrics.gauge(
                "parking_state_bytes",
                "Bytes of the state when it was last read from the store: at a takeover, and with each snapshot.",
                LABELS,
            )?,
            first_record: metrics.gauge_of_seconds(
                "parking_stage_first_record_seconds",
                "From the assignment of a partition to its first record that was handled; the wait for one is in it.",
                LABELS,
            )?,
        })
    }

    fn tell(&self, labels: &[&str; 3], standing: &Standing) {
        self.unwritten.with_label_values(labels).inc_by(standing.losses.snapshots);
        self.rebuilds.with_label_values(labels).inc_by(standing.losses.rebuilds);
        if let Some(from) = standing.losses.rebuilt {
            self.rebuilt.with_label_values(labels).set(level(from));
        }
        if let Some(bytes) = standing.state_bytes {
            self.bytes.with_label_values(labels).set(level(bytes));
        }
        if let Some(after) = standing.first_record_after {
            self.first_record.with_label_values(labels).set(seconds(after.millis()));
        }
    }
}
