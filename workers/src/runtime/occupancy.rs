//! The occupancy stage: judges, tracks, writes sessions, dead letters and live state.
//!
//! The only stage that counts verdicts and writes dead letters; the others agree silently.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::{
    event::{DeadLetterReason, Millis},
    inventory::Inventory,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    outputs::Outputs,
    stage::{BoxError, Stage},
};
use crate::{
    domain::{
        record::{Body, Reading, Record},
        track::Tracker,
        verdict::{EventLimits, Judge, Verdict, encode},
    },
    ports::{
        event_log::{Offset, Stream},
        state_store::BlockKey,
    },
};

/// Verdicts on one partition since it began; input records only, no ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All records.
    pub read: u64,
    /// Accepted ones, late ones among them.
    pub accepted: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Accepted ones behind the watermark.
    pub late: u64,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
    /// Zones of which something was accepted.
    pub zones: u64,
    /// Stays that began.
    pub sessions: u64,
}

/// Verdicts over all partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventTotals {
    /// Records of the input.
    pub read: u64,
    /// Accepted ones.
    pub accepted: u64,
    /// Duplicates.
    pub duplicates: u64,
    /// Accepted ones behind the watermark.
    pub late: u64,
    /// Refused ones by reason.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
}

impl EventTotals {
    /// Adds those of one partition.
    pub fn add(&mut self, totals: &Totals) {
        self.read += totals.read;
        self.accepted += totals.accepted;
        self.duplicates += totals.duplicates;
        self.late += totals.late;
        for (reason, count) in &totals.dead_letters {
            *self.dead_letters.entry(*reason).or_default() += count;
        }
    }
}

/// A record that could not be used, as it stands on `dead-letters`.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter<'a> {
    /// Always `dead_letter`.
    pub record_type: &'static str,
    /// Why.
    pub reason: DeadLetterReason,
    /// What exactly.
    pub detail: &'a str,
    /// Newest time that the partition had told before, ms; dates the row.
    pub event_time: Option<Millis>,
    /// The record's bytes, base 64.
    pub bytes: String,
}

/// The stage on one partition.
#[derive(Debug)]
pub struct Occupancy {
    judge: Judge,
    tracker: Tracker,
    totals: Totals,
    told: Option<Millis>,
}

/// Block of the totals.
pub const TOTALS_BLOCK: BlockKey = BlockKey { class: 16, id: 0 };

impl Occupancy {
    /// A stage that has seen nothing.
    pub fn new(limits: EventLimits, inventory: &Arc<Inventory>) -> Self {
        Self {
            judge: Judge::new(limits, Arc::clone(inventory)),
            tracker: Tracker::new(Arc::clone(inventory)),
            totals: Totals::default(),
            told: None,
        }
    }

    /// Verdicts so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The zones.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The partition's watermark.
    pub fn watermark(&self) -> Option<Millis> {
        self.judge.watermark()
    }

    fn bury(&mut self, bytes: &[u8], reason: DeadLetterReason, detail: &str, outputs: &mut Outputs) {
        self.totals.read += 1;
        *self.totals.dead_letters.entry(reason).or_default() += 1;
        let letter = DeadLetter {
            record_type: "dead_letter",
            reason,
            detail,
            event_time: self.judge.watermark(),
            bytes: data_encoding::BASE64.encode(bytes),
        };
        outputs.emit(Stream::DeadLetters, &letter);
    }

    fn accept(&mut self, record: &Record<'_>, late: bool, outputs: &mut Outputs) {
        self.totals.read += 1;
        self.totals.accepted += 1;
        self.totals.late += u64::from(late);
        let watermark = self.judge.watermark().unwrap_or(record.time);
        let Some(tracked) = self.tracker.apply(record, late, watermark) else { return };
        for session in &tracked.news.sessions {
            self.totals.sessions += u64::from(session.revision == 0);
            outputs.emit(Stream::Sessions, session);
        }
        if tracked.first {
            self.totals.zones += 1;
        }
    }
}

impl Stage for Occupancy {
    const ROLE: &'static str = "occupancy";

    fn step(&mut self, offset: Offset, bytes: &[u8], outputs: &mut Outputs) {
        self.step_read(offset, &Reading::of(bytes), outputs);
    }

    fn step_read(&mut self, _: Offset, reading: &Reading<'_>, outputs: &mut Outputs) {
        let bytes = reading.bytes;
        let record = match &reading.record {
            Ok(record) => record,
            Err(refusal) => return self.bury(bytes, refusal.reason, &refusal.detail, outputs),
        };
        match self.judge.decide(record) {
            Verdict::Accepted { late } => self.accept(record, late, outputs),
            Verdict::Duplicate => {
                self.totals.read += 1;
                self.totals.duplicates += 1;
            }
            Verdict::Dead(reason) => self.bury(bytes, reason, reason.as_str(), outputs),
            Verdict::Control => {}
        }
        let end = (record.body == Body::InputEnded).then_some(record.time);
        let streams = [Stream::Sessions, Stream::DeadLetters];
        outputs.tell_watermark(&streams, &mut self.told, self.judge.watermark(), end);
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        let mut blocks = self.judge.changed_blocks();
        blocks.extend(self.tracker.changed_blocks());
        blocks.push((TOTALS_BLOCK, Some(encode(&(&self.totals, self.told)))));
        blocks
    }

    fn time_to_tell(&self) -> Option<Millis> {
        self.judge.newest()
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
        Ok(())
    }
}
