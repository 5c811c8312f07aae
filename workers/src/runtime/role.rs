//! A role on one partition: the verdict on each record and what it does to its zone, found once, then
//! told to every duty of the role.
//!
//! Must not know what a duty does. Invariant: roles that run together find the same as each alone, as
//! verdict and zones are pure functions of the partition's log; only then may they share them.

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::{
    event::{DeadLetterReason, Millis},
    inventory::Inventory,
};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    alert::Alert,
    live::LiveRow,
    occupancy::{Occupancy, Totals},
    outputs::Outputs,
    stage::{Account, BoxError, GROUP, Stage},
};
use crate::{
    domain::{
        alert::{RuleSet, RuleStanding, Settings},
        hints::{HintBook, Hints},
        record::{Body, Reading, Record},
        track::{Tracked, Tracker},
        verdict::{EventLimits, Judge, Verdict},
    },
    ports::{event_log::Offset, live_view::LiveKind, state_store::BlockKey},
};

/// A block, or its removal.
pub type ChangedBlock = (BlockKey, Option<Bytes>);

/// One record, and what its partition makes of it.
#[derive(Debug)]
pub struct Heard<'a> {
    /// Where it stands.
    pub offset: Offset,
    /// As it stands there.
    pub bytes: &'a [u8],
    /// The partition's watermark, this record included.
    pub watermark: Option<Millis>,
    /// What it is.
    pub finding: Finding<'a>,
}

/// What a record is.
#[derive(Debug)]
pub enum Finding<'a> {
    /// A record to use.
    Accepted {
        /// The record.
        record: &'a Record<'a>,
        /// It lies behind the watermark.
        late: bool,
        /// Its zone after it, where it has one.
        tracked: Option<Tracked<'a>>,
    },
    /// It was accepted before.
    Duplicate,
    /// It cannot be used.
    Dead {
        /// Why.
        reason: DeadLetterReason,
        /// What exactly.
        detail: &'a str,
    },
    /// Time passed.
    Tick(&'a Record<'a>),
    /// The input is complete.
    InputEnded(&'a Record<'a>),
}

impl Finding<'_> {
    /// The last instant of the input, where it ended.
    pub fn input_end(&self) -> Option<Millis> {
        match self {
            Self::InputEnded(record) => Some(record.time),
            _ => None,
        }
    }
}

/// What a role does with what it hears.
pub trait Duty: Send + Sync {
    /// The role, as stores and metrics name it.
    const ROLE: &'static str;
    /// Whether it tells the partition the time in silence.
    const TELLS_TIME: bool;
    /// What its rows are about, where it has any to show.
    const ROWS: Option<LiveKind> = None;

    /// Hears of one record. The hints are those of its device.
    fn hear(&mut self, heard: &Heard<'_>, hints: &mut Hints, outputs: &mut Outputs);

    /// Looks at what hearing of the record will touch; the answer means nothing.
    fn look_ahead(&self, _record: &Record<'_>, _hints: &Hints) -> u64 {
        0
    }

    /// Verdicts so far, where it is this duty's to count them.
    fn totals(&self) -> Option<&Totals> {
        None
    }

    /// How rules stand that changed since the last call, where it runs rules; at first all of them.
    fn take_changed_rules(&mut self) -> Vec<(String, RuleStanding)> {
        Vec::new()
    }

    /// Begins to note which of its rows change; all count as changed.
    fn note_rows(&mut self, _tracker: &Tracker) {}

    /// Whether some row changed since it was taken.
    fn has_changed_rows(&self, _watermark: Option<Millis>) -> bool {
        false
    }

    /// Takes the next row that changed.
    fn next_row(&mut self, _tracker: &Tracker, _watermark: Option<Millis>) -> Option<LiveRow> {
        None
    }

    /// Ids of all its rows.
    fn row_ids(&self, _tracker: &Tracker) -> Vec<Uuid> {
        Vec::new()
    }

    /// Adds its blocks that changed since the last call, after those of the zones.
    fn changed_blocks(&mut self, blocks: &mut Vec<ChangedBlock>);

    /// Takes its own among all stored blocks back; called once, on a new duty.
    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError>;
}

/// A duty on one partition.
#[derive(Debug)]
pub struct RoleStage<D> {
    judge: Judge,
    tracker: Tracker,
    duty: D,
    hints: HintBook,
}

impl<D: Duty> RoleStage<D> {
    /// A stage that has seen nothing.
    pub fn new(limits: EventLimits, inventory: &Arc<Inventory>, duty: D) -> Self {
        Self {
            judge: Judge::new(limits, Arc::clone(inventory)),
            tracker: Tracker::new(Arc::clone(inventory)),
            duty,
            hints: HintBook::default(),
        }
    }

    /// The duty.
    pub fn duty(&self) -> &D {
        &self.duty
    }

    /// The zones.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The partition's watermark.
    pub fn watermark(&self) -> Option<Millis> {
        self.judge.watermark()
    }

    /// Applies records that were read already.
    pub fn step_readings(&mut self, readings: &[(Offset, Reading<'_>)], outputs: &mut Outputs) {
        self.look_ahead(readings);
        for (offset, reading) in readings {
            outputs.begin(*offset);
            self.step_one(*offset, reading, outputs);
        }
    }

    /// Looks at what the records will touch, one after the other without a decision between: so memory
    /// brings it for many at once, where each alone would wait for it.
    fn look_ahead(&self, readings: &[(Offset, Reading<'_>)]) {
        let records = readings.iter().filter_map(|(_, reading)| reading.record.as_ref().ok());
        let known: SmallVec<[_; GROUP]> =
            records.filter_map(|record| Some((record, self.hints.get(record.device)?))).collect();
        for (record, hints) in &known {
            let seen = self.judge.look_ahead(record, hints) ^ self.tracker.look_ahead(record, hints);
            std::hint::black_box(seen ^ self.duty.look_ahead(record, hints));
        }
    }

    fn step_one(&mut self, offset: Offset, reading: &Reading<'_>, outputs: &mut Outputs) {
        let device = reading.record.as_ref().map_or(Uuid::nil(), |record| record.device);
        let known = self.hints.get(device);
        let mut hints = known.unwrap_or_default();
        let finding = match &reading.record {
            Ok(record) => find(&mut self.judge, &mut self.tracker, record, &mut hints),
            Err(refusal) => Finding::Dead { reason: refusal.reason, detail: &refusal.detail },
        };
        let heard = Heard { offset, bytes: reading.bytes, watermark: self.judge.watermark(), finding };
        self.duty.hear(&heard, &mut hints, outputs);
        // Of a device that is only refused nothing is kept, so that strangers fill no memory.
        if known != Some(hints) && matches!(heard.finding, Finding::Accepted { .. }) {
            self.hints.keep(device, hints);
        }
    }
}

fn find<'a>(
    judge: &mut Judge,
    tracker: &'a mut Tracker,
    record: &'a Record<'a>,
    hints: &mut Hints,
) -> Finding<'a> {
    match judge.decide(record, hints) {
        Verdict::Accepted { late } => {
            let watermark = judge.watermark().unwrap_or(record.time);
            Finding::Accepted { record, late, tracked: tracker.apply(record, late, watermark, hints) }
        }
        Verdict::Duplicate => Finding::Duplicate,
        Verdict::Dead(reason) => Finding::Dead { reason, detail: reason.as_str() },
        Verdict::Control if record.body == Body::InputEnded => Finding::InputEnded(record),
        Verdict::Control => Finding::Tick(record),
    }
}

impl<D: Duty> Stage for RoleStage<D> {
    const ROLE: &'static str = D::ROLE;
    const ROWS: Option<LiveKind> = D::ROWS;

    fn step(&mut self, records: &[(Offset, &[u8])], outputs: &mut Outputs) {
        let readings: Vec<_> = records.iter().map(|(offset, bytes)| (*offset, Reading::of(bytes))).collect();
        self.step_readings(&readings, outputs);
    }

    fn changed_blocks(&mut self) -> Vec<ChangedBlock> {
        let mut blocks = self.judge.changed_blocks();
        blocks.extend(self.tracker.changed_blocks());
        self.duty.changed_blocks(&mut blocks);
        blocks
    }

    fn time_to_tell(&self) -> Option<Millis> {
        self.judge.newest().filter(|_| D::TELLS_TIME)
    }

    fn take_account(&mut self) -> Account {
        let (watermark, totals) = (self.watermark(), self.duty.totals().cloned());
        Account { watermark, totals, rules: self.duty.take_changed_rules() }
    }

    fn note_rows(&mut self) {
        self.duty.note_rows(&self.tracker);
    }

    fn has_changed_rows(&self) -> bool {
        self.duty.has_changed_rows(self.watermark())
    }

    fn next_row(&mut self) -> Option<LiveRow> {
        let watermark = self.watermark();
        self.duty.next_row(&self.tracker, watermark)
    }

    fn row_ids(&self) -> Vec<Uuid> {
        self.duty.row_ids(&self.tracker)
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        for (key, bytes) in blocks {
            self.judge.restore_block(*key, bytes)?;
            self.tracker.restore_block(*key, bytes)?;
        }
        self.judge.restored();
        self.duty.restore(blocks)
    }
}

/// Occupancy and alert in one process: one state, one commit, the outputs of each alone.
pub type Together = (Occupancy, Alert);

impl RoleStage<Together> {
    /// A stage of both that has seen nothing.
    pub fn together(
        limits: EventLimits,
        inventory: &Arc<Inventory>,
        rules: &Arc<RuleSet>,
        settings: Settings,
    ) -> Self {
        Self::new(limits, inventory, (Occupancy::default(), Alert::new(inventory, rules, settings)))
    }
}

impl Duty for Together {
    const ROLE: &'static str = "occupancy+alert";
    const TELLS_TIME: bool = Occupancy::TELLS_TIME || Alert::TELLS_TIME;

    fn hear(&mut self, heard: &Heard<'_>, hints: &mut Hints, outputs: &mut Outputs) {
        self.0.hear(heard, hints, outputs);
        outputs.begin(heard.offset);
        self.1.hear(heard, hints, outputs);
    }

    fn look_ahead(&self, record: &Record<'_>, hints: &Hints) -> u64 {
        self.0.look_ahead(record, hints) ^ self.1.look_ahead(record, hints)
    }

    fn totals(&self) -> Option<&Totals> {
        Duty::totals(&self.0)
    }

    fn take_changed_rules(&mut self) -> Vec<(String, RuleStanding)> {
        self.1.take_changed_rules()
    }

    fn changed_blocks(&mut self, blocks: &mut Vec<ChangedBlock>) {
        self.0.changed_blocks(blocks);
        self.1.changed_blocks(blocks);
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        self.0.restore(blocks)?;
        self.1.restore(blocks)
    }
}

#[cfg(test)]
mod tests;
