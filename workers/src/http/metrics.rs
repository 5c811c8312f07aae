//! The metrics of a running pipeline.
//!
//! Invariant: counters come from what stages committed, so they survive a restart and never count twice.

use std::collections::BTreeMap;

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{exposition::Exposition, status::StatusBoard};
use crate::{
    runtime::{alert::Alert, occupancy::Occupancy, role::Duty},
    view::Standing,
};

/// All metrics as they stand now.
pub(super) fn render(
    standing: &Standing,
    firing: &BTreeMap<String, u64>,
    board: &StatusBoard,
) -> prometheus::Result<Exposition> {
    let page = Page(Registry::new());
    let partitions = standing.partitions();
    let events = page.counter("parking_events_total", "Records of the input by verdict.", &["verdict"])?;
    let dead = page.counter("parking_dead_letters_total", "Records that could not be used.", &["reason"])?;
    let zones = page.gauge("parking_zones", "Zones of which something was accepted.", &[])?;
    let sessions = page.counter("parking_sessions_total", "Stays that began.", &[])?;
    let lag =
        page.gauge("parking_stage_lag", "Events that a stage has not committed.", &["role", "partition"])?;
    let watermark = page.gauge(
        "parking_watermark_milliseconds",
        "Event time of a partition, since 1970.",
        &["partition"],
    )?;
    for partition in partitions {
        let totals = partition.totals();
        for (verdict, count) in [("accepted", totals.accepted), ("duplicate", totals.duplicates)] {
            events.with_label_values(&[verdict]).inc_by(count);
        }
        for (reason, count) in &totals.dead_letters {
            events.with_label_values(&["dead"]).inc_by(*count);
            dead.with_label_values(&[reason.as_str()]).inc_by(*count);
        }
        zones.with_label_values(&[] as &[&str]).add(gauge(totals.zones));
        sessions.with_label_values(&[] as &[&str]).inc_by(totals.sessions);
        let number = partition.partition.to_string();
        for role in [Occupancy::ROLE, Alert::ROLE] {
            lag.with_label_values(&[role, &number]).set(gauge(partition.lag()));
        }
        if let Some(time) = partition.watermark() {
            watermark.with_label_values(&[&number]).set(time);
        }
    }
    let late = page.counter("parking_late_events_total", "Accepted records behind the watermark.", &[])?;
    late.with_label_values(&[] as &[&str]).inc_by(partitions.iter().map(|one| one.totals().late).sum());
    let alerts = page.gauge("parking_alerts_firing", "Alerts that are not over.", &["rule"])?;
    for (rule, count) in firing {
        alerts.with_label_values(&[rule]).set(gauge(*count));
    }
    let restarts =
        page.counter("parking_stage_restarts_total", "Stages that failed and began again.", &[])?;
    restarts.with_label_values(&[] as &[&str]).inc_by(board.restarts());
    Exposition::of(&page.0)
}

struct Page(Registry);

impl Page {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
