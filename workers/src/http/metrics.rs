//! The metrics of a running pipeline.
//!
//! Invariant: counters come from what stages committed, so they survive a restart and never count twice.

use std::collections::BTreeMap;

use prometheus::IntGaugeVec;

use super::{port_metrics::PortMetrics, status::StatusBoard};
use crate::{
    metrics::{Described, Exposition, Metrics, level},
    ports::event_log::{Stream, StreamPartition},
    runtime::{
        alert::Alert,
        occupancy::Occupancy,
        role::{Duty, Together},
    },
    stage_metrics::{PartitionMetrics, RestartMetrics, VerdictMetrics},
    view::Standing,
};

/// All metrics as they stand now.
pub(super) fn render(
    standing: &Standing,
    firing: &BTreeMap<String, u64>,
    board: &StatusBoard,
) -> prometheus::Result<Exposition> {
    let metrics = Metrics::default();
    let families = Families::new(&metrics)?;
    for partition in standing.partitions() {
        families.verdicts.count(partition.totals(), partition.totals().zones);
        let at = StreamPartition { stream: Stream::Events, partition: partition.partition };
        families.restarts.count(Together::ROLE, at, board.restarts(at.partition));
        for role in [Occupancy::ROLE, Alert::ROLE] {
            families.partitions.tell(role, at, Some(partition.lag()), partition.watermark());
        }
    }
    for (rule, count) in firing {
        families.alerts.with_label_values(&[rule]).set(level(*count));
    }
    Exposition::of([&metrics, board.ports().metrics()])
}

/// Every family of [`render`].
pub(super) fn described() -> prometheus::Result<Vec<Described>> {
    let (metrics, ports) = (Metrics::default(), PortMetrics::new()?);
    Families::new(&metrics)?;
    Ok([metrics.described(), ports.metrics().described()].concat())
}

struct Families {
    verdicts: VerdictMetrics,
    partitions: PartitionMetrics,
    alerts: IntGaugeVec,
    restarts: RestartMetrics,
}

impl Families {
    fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            verdicts: VerdictMetrics::new(metrics)?,
            partitions: PartitionMetrics::new(metrics)?.with_watermark(metrics)?,
            alerts: metrics.gauge("parking_alerts_firing", "Alerts that are not over.", &["rule"])?,
            restarts: RestartMetrics::new(metrics)?,
        })
    }
}
