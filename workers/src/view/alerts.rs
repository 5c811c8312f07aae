//! The alerts of a pipeline, folded from their stream.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_crds::inventory::Inventory;
use uuid::Uuid;

use crate::{
    domain::alert::AlertRecord,
    ports::{
        PortResult,
        event_log::{EventLog, Offset, Partition, Stream, StreamPartition},
    },
    rows::AlertRow,
};

/// Alerts that are over and still listed; older ones are found in the lake.
const RESOLVED_KEPT: usize = 10_000;
const READ_BYTES: usize = 1 << 20;

/// Which alerts are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// `firing`, `nodata` or `resolved`.
    pub state: Option<String>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl AlertFilter {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match self.state.as_deref() {
            None | Some("firing" | "nodata" | "resolved") => Ok(()),
            Some(other) => Err(format!("state: `{other}` is none of firing, nodata, resolved")),
        }
    }
}

/// Newest state of each alert, as far as the stream was read.
pub(super) struct AlertBook {
    next: Vec<Offset>,
    by_id: BTreeMap<Uuid, AlertRow>,
}

impl AlertBook {
    pub(super) fn new(partitions: Partition) -> Self {
        Self { next: vec![0; partitions as usize], by_id: BTreeMap::new() }
    }

    /// Reads what was published since the last call.
    pub(super) async fn read_on(&mut self, log: &dyn EventLog, inventory: &Inventory) -> PortResult<()> {
        for (partition, next) in (0..).zip(&mut self.next) {
            let at = StreamPartition { stream: Stream::Alerts, partition };
            loop {
                let fetched = log.read(at, *next, READ_BYTES).await?;
                if fetched.records.is_empty() {
                    break;
                }
                *next = fetched.next_offset();
                for record in fetched.records.iter() {
                    // The stream also carries watermarks, which are no alerts.
                    if let Ok(alert) = serde_json::from_slice::<AlertRecord>(record) {
                        self.by_id.insert(alert.alert_id, AlertRow::of(&alert, inventory));
                    }
                }
            }
        }
        self.forget_old();
        Ok(())
    }

    pub(super) fn list(&self, filter: &AlertFilter) -> Vec<AlertRow> {
        let is_wanted = |alert: &&AlertRow| {
            filter.state.as_ref().is_none_or(|state| *state == alert.state)
                && filter.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
        };
        let mut rows: Vec<_> = self.by_id.values().filter(is_wanted).cloned().collect();
        rows.sort_by_key(|alert| {
            (alert.ends_at.is_some(), std::cmp::Reverse(alert.starts_at), alert.rule.clone(), alert.alert_id)
        });
        rows.truncate(filter.limit.unwrap_or(usize::MAX));
        rows
    }

    fn forget_old(&mut self) {
        let mut ends: Vec<Timestamp> = self.by_id.values().filter_map(|alert| alert.ends_at).collect();
        let Some(surplus) = ends.len().checked_sub(RESOLVED_KEPT).filter(|surplus| *surplus > 0) else {
            return;
        };
        ends.sort_unstable();
        let oldest_kept = ends.get(surplus).copied().unwrap_or_default();
        self.by_id.retain(|_, alert| alert.ends_at.is_none_or(|end| end >= oldest_kept));
    }
}
