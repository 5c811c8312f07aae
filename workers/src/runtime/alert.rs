//! The alert stage: judges and tracks like every stage, and asks the rules.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::{event::Millis, inventory::Inventory};
use serde::{Deserialize, Serialize};

use super::{
    outputs::Outputs,
    stage::{BoxError, Stage},
};
use crate::{
    domain::{
        alert::{AlertRecord, AlertState, AlertStatus, RuleSet, Settings, bare_name},
        observation::{Observed, Subject, ZoneFact},
        record::{Body, Reading, Record},
        track::Tracker,
        verdict::{EventLimits, Judge, Verdict, encode},
    },
    ports::{
        event_log::{Offset, Stream},
        state_store::BlockKey,
    },
};

/// What became of one rule's alerts on one partition since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTotals {
    /// Alerts raised.
    pub fired: u64,
    /// Alerts that are over.
    pub resolved: u64,
}

/// The stage on one partition.
#[derive(Debug)]
pub struct Alert {
    judge: Judge,
    tracker: Tracker,
    engine: AlertState,
    records: Vec<AlertRecord>,
    totals: BTreeMap<String, RuleTotals>,
    told: Option<Millis>,
}

/// Block of the totals.
pub const TOTALS_BLOCK: BlockKey = BlockKey { class: 24, id: 0 };

impl Alert {
    /// A stage that has seen nothing.
    pub fn new(
        limits: EventLimits,
        inventory: &Arc<Inventory>,
        rules: &Arc<RuleSet>,
        settings: Settings,
    ) -> Self {
        Self {
            judge: Judge::new(limits, Arc::clone(inventory)),
            tracker: Tracker::new(Arc::clone(inventory)),
            engine: AlertState::new(Arc::clone(rules), Arc::clone(inventory), settings),
            records: Vec::new(),
            totals: BTreeMap::new(),
            told: None,
        }
    }

    fn observe(&mut self, offset: Offset, record: &Record<'_>, late: bool, outputs: &mut Outputs) {
        let watermark = self.judge.watermark().unwrap_or(record.time);
        let tracked = self.tracker.apply(record, late, watermark);
        let subject = tracked.map_or(Subject::Time, |tracked| {
            Subject::Zone(ZoneFact {
                zone: tracked.zone,
                view: tracked.view,
                sessions: &tracked.news.changes,
                device: tracked.device,
            })
        });
        let observed = Observed {
            offset,
            watermark,
            event_time: record.time,
            late,
            replayed: record.is_replayed(),
            event_id: record.id,
            subject,
        };
        self.engine.step(&observed, &mut self.records);
        for alert in self.records.drain(..) {
            let name = bare_name(&alert.rule);
            if !self.totals.contains_key(name) {
                self.totals.insert(name.to_owned(), RuleTotals::default());
            }
            if let Some(totals) = self.totals.get_mut(name) {
                match alert.state {
                    AlertStatus::Resolved => totals.resolved += 1,
                    AlertStatus::Firing | AlertStatus::NoData if alert.generation == 1 => totals.fired += 1,
                    AlertStatus::Firing | AlertStatus::NoData => {}
                }
            }
            outputs.push(Stream::Alerts, &alert);
        }
    }
}

impl Stage for Alert {
    const ROLE: &'static str = "alert";

    fn step(&mut self, offset: Offset, bytes: &[u8], outputs: &mut Outputs) {
        self.step_read(offset, &Reading::of(bytes), outputs);
    }

    fn step_read(&mut self, offset: Offset, reading: &Reading<'_>, outputs: &mut Outputs) {
        let Ok(record) = &reading.record else { return };
        match self.judge.decide(record) {
            Verdict::Accepted { late } => self.observe(offset, record, late, outputs),
            Verdict::Control if record.body == Body::Tick => self.observe(offset, record, false, outputs),
            Verdict::Control | Verdict::Duplicate | Verdict::Dead(_) => {}
        }
        let end = (record.body == Body::InputEnded).then_some(record.time);
        outputs.tell_watermark(&[Stream::Alerts], &mut self.told, self.judge.watermark(), end);
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        let mut blocks = self.judge.changed_blocks();
        blocks.extend(self.tracker.changed_blocks());
        blocks.extend(self.engine.dirty_blocks());
        blocks.push((TOTALS_BLOCK, Some(encode(&(&self.totals, self.told)))));
        blocks
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        for (key, bytes) in blocks {
            if *key == TOTALS_BLOCK {
                (self.totals, self.told) = postcard::from_bytes(bytes)?;
            }
            self.judge.restore_block(*key, bytes)?;
            self.tracker.restore_block(*key, bytes)?;
        }
        self.judge.restored();
        Ok(self.engine.restore(blocks.iter().map(|(key, bytes)| (*key, bytes.as_ref())))?)
    }
}
