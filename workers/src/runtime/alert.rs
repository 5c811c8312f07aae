//! The duty of alert: asks the rules about every record.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::{event::Millis, inventory::Inventory, role::Role};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    live::{LiveAlerts, LiveRow},
    outputs::Outputs,
    role::{ChangedBlock, Duty, Finding, Heard},
    stage::BoxError,
};
use crate::{
    domain::{
        alert::{AlertRecord, AlertState, AlertStatus, RuleSet, RuleStanding, Settings, bare_name},
        hints::Hints,
        observation::{Observed, Subject, ZoneFact},
        record::Record,
        track::{Tracked, Tracker},
        verdict::encode,
    },
    ports::{event_log::Stream, live_view::LiveKind, state_store::BlockKey},
};

/// What became of one rule's alerts on one partition since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTotals {
    /// Alerts raised.
    pub fired: u64,
    /// Alerts that are over.
    pub resolved: u64,
}

/// What alert keeps beside the zones.
#[derive(Debug)]
pub struct Alert {
    engine: AlertState,
    records: Vec<AlertRecord>,
    totals: BTreeMap<String, RuleTotals>,
    told: Option<Millis>,
    live: LiveAlerts,
}

/// Block of the totals.
pub const TOTALS_BLOCK: BlockKey = BlockKey { class: 24, id: 0 };

impl Alert {
    /// An engine that has seen nothing.
    pub fn new(inventory: &Arc<Inventory>, rules: &Arc<RuleSet>, settings: Settings) -> Self {
        Self {
            engine: AlertState::new(Arc::clone(rules), Arc::clone(inventory), settings),
            records: Vec::new(),
            totals: BTreeMap::new(),
            told: None,
            live: LiveAlerts::default(),
        }
    }

    fn observe(
        &mut self,
        heard: &Heard<'_>,
        record: &Record<'_>,
        late: bool,
        subject: Subject<'_>,
        hints: &mut Hints,
        outputs: &mut Outputs,
    ) {
        let observed = Observed {
            offset: heard.offset,
            watermark: heard.watermark.unwrap_or(record.time),
            event_time: record.time,
            late,
            replayed: record.is_replayed(),
            event_id: record.id,
            subject,
        };
        self.engine.step(&observed, hints, &mut self.records);
        for alert in self.records.drain(..) {
            count(&mut self.totals, &alert);
            self.live.told(&alert, self.engine.inventory());
            outputs.push(Stream::Alerts, &alert);
        }
    }
}

fn count(totals: &mut BTreeMap<String, RuleTotals>, alert: &AlertRecord) {
    let name = bare_name(&alert.rule);
    if !totals.contains_key(name) {
        totals.insert(name.to_owned(), RuleTotals::default());
    }
    let Some(totals) = totals.get_mut(name) else { return };
    match alert.state {
        AlertStatus::Resolved => totals.resolved += 1,
        AlertStatus::Firing | AlertStatus::NoData if alert.generation == 1 => totals.fired += 1,
        AlertStatus::Firing | AlertStatus::NoData => {}
    }
}

fn subject<'a>(tracked: &'a Tracked<'_>) -> Subject<'a> {
    Subject::Zone(ZoneFact {
        zone: tracked.zone,
        view: tracked.view,
        sessions: &tracked.news.changes,
        device: tracked.device,
    })
}

impl Duty for Alert {
    const ROLE: &'static str = Role::Alert.as_str();
    const ROWS: Option<LiveKind> = Some(LiveKind::Alerts);
    const TELLS_TIME: bool = false;

    fn hear(&mut self, heard: &Heard<'_>, hints: &mut Hints, outputs: &mut Outputs) {
        match &heard.finding {
            Finding::Accepted { record, late, tracked } => {
                let subject = tracked.as_ref().map_or(Subject::Time, subject);
                self.observe(heard, record, *late, subject, hints, outputs);
            }
            Finding::Tick(record) => self.observe(heard, record, false, Subject::Time, hints, outputs),
            Finding::InputEnded(_) | Finding::Duplicate | Finding::Dead { .. } => {}
        }
        outputs.tell_watermark(&[Stream::Alerts], &mut self.told, heard.watermark, heard.finding.input_end());
    }

    fn look_ahead(&self, record: &Record<'_>, hints: &Hints) -> u64 {
        self.engine.look_ahead(record.device, hints)
    }

    fn take_changed_rules(&mut self) -> Vec<(String, RuleStanding)> {
        self.engine.take_changed_rules()
    }

    fn note_rows(&mut self, _: &Tracker) {
        self.live.note(self.engine.raised(), self.engine.inventory());
    }

    fn has_changed_rows(&self, _: Option<Millis>) -> bool {
        self.live.has_changed()
    }

    fn next_row(&mut self, _: &Tracker, _: Option<Millis>) -> Option<LiveRow> {
        self.live.take_next()
    }

    fn row_ids(&self, _: &Tracker) -> Vec<Uuid> {
        self.engine.raised().map(|alert| alert.alert_id).collect()
    }

    fn changed_blocks(&mut self, blocks: &mut Vec<ChangedBlock>) {
        blocks.extend(self.engine.dirty_blocks());
        blocks.push((TOTALS_BLOCK, Some(encode(&(&self.totals, self.told)))));
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        if let Some((_, bytes)) = blocks.iter().find(|(key, _)| *key == TOTALS_BLOCK) {
            (self.totals, self.told) = postcard::from_bytes(bytes)?;
        }
        Ok(self.engine.restore(blocks.iter().map(|(key, bytes)| (*key, bytes.as_ref())))?)
    }
}
