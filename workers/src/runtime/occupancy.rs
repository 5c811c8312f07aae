//! The duty of occupancy: tells of stays, counts verdicts and buries dead letters.
//!
//! No other duty counts verdicts or writes dead letters; the others agree silently.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_crds::{
    event::{DeadLetterReason, Millis},
    role::Role,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    live::{LiveRow, LiveZones},
    outputs::Outputs,
    role::{ChangedBlock, Duty, Finding, Heard},
    stage::BoxError,
};
use crate::{
    domain::{
        hints::Hints,
        track::{Tracked, Tracker},
        verdict::encode,
    },
    ports::{event_log::Stream, live_view::LiveKind, state_store::BlockKey},
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

impl Totals {
    /// Adds those of later records; zones are of one moment, and not added.
    pub fn add(&mut self, later: &Self) {
        self.read += later.read;
        self.accepted += later.accepted;
        self.duplicates += later.duplicates;
        self.late += later.late;
        self.sessions += later.sessions;
        for (reason, count) in &later.dead_letters {
            *self.dead_letters.entry(*reason).or_default() += count;
        }
    }

    /// What came after `before`, an earlier state of the same partition.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let reason = |(reason, count): (&DeadLetterReason, &u64)| {
            (*reason, count.saturating_sub(before.dead_letters.get(reason).copied().unwrap_or(0)))
        };
        Self {
            read: self.read.saturating_sub(before.read),
            accepted: self.accepted.saturating_sub(before.accepted),
            duplicates: self.duplicates.saturating_sub(before.duplicates),
            late: self.late.saturating_sub(before.late),
            dead_letters: self.dead_letters.iter().map(reason).collect(),
            zones: self.zones,
            sessions: self.sessions.saturating_sub(before.sessions),
        }
    }
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
    /// The record's bytes, base 64; the first 512 KiB where it has more.
    pub bytes: String,
    /// Length of the whole record, bytes, where only its beginning is kept: the letter must fit into the log, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
}

/// Most bytes of a record that a dead letter keeps.
const LONGEST_BYTES: usize = 512 * 1024;

/// What occupancy keeps beside the zones.
#[derive(Debug, Default)]
pub struct Occupancy {
    totals: Totals,
    told: Option<Millis>,
    live: LiveZones,
}

/// Block of the totals.
pub const TOTALS_BLOCK: BlockKey = BlockKey { class: 9, id: 0 };

impl Occupancy {
    /// Verdicts so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn bury(&mut self, heard: &Heard<'_>, reason: DeadLetterReason, detail: &str, outputs: &mut Outputs) {
        self.totals.read += 1;
        *self.totals.dead_letters.entry(reason).or_default() += 1;
        let size = heard.bytes.len();
        let kept = heard.bytes.get(..LONGEST_BYTES).unwrap_or(heard.bytes);
        let letter = DeadLetter {
            record_type: "dead_letter",
            reason,
            detail,
            event_time: heard.watermark,
            bytes: data_encoding::BASE64.encode(kept),
            size: (size > kept.len()).then_some(size),
        };
        outputs.emit(Stream::DeadLetters, &letter);
    }

    fn accept(&mut self, late: bool, tracked: Option<&Tracked<'_>>, outputs: &mut Outputs) {
        self.totals.read += 1;
        self.totals.accepted += 1;
        self.totals.late += u64::from(late);
        let Some(tracked) = tracked else { return };
        for session in &tracked.news.sessions {
            self.totals.sessions += u64::from(session.revision == 0);
            outputs.emit(Stream::Sessions, session);
        }
        if tracked.first {
            self.totals.zones += 1;
        }
    }
}

impl Duty for Occupancy {
    const ROLE: &'static str = Role::Occupancy.as_str();
    const ROWS: Option<LiveKind> = Some(LiveKind::Zones);
    const TELLS_TIME: bool = true;

    fn hear(&mut self, heard: &Heard<'_>, _: &mut Hints, outputs: &mut Outputs) {
        match &heard.finding {
            Finding::Accepted { late, tracked, .. } => self.accept(*late, tracked.as_ref(), outputs),
            Finding::Duplicate => {
                self.totals.read += 1;
                self.totals.duplicates += 1;
            }
            Finding::Dead { reason, detail } => self.bury(heard, *reason, detail, outputs),
            Finding::Tick(_) | Finding::InputEnded(_) => {}
        }
        let streams = [Stream::Sessions, Stream::DeadLetters];
        outputs.tell_watermark(&streams, &mut self.told, heard.watermark, heard.finding.input_end());
    }

    fn totals(&self) -> Option<&Totals> {
        Some(&self.totals)
    }

    fn note_rows(&mut self, tracker: &Tracker) {
        self.live.note(tracker);
    }

    fn has_changed_rows(&self, watermark: Option<Millis>) -> bool {
        self.live.has_changed(watermark)
    }

    fn next_row(&mut self, tracker: &Tracker, watermark: Option<Millis>) -> Option<LiveRow> {
        self.live.take_next(tracker, watermark)
    }

    fn row_ids(&self, tracker: &Tracker) -> Vec<Uuid> {
        tracker.zones().map(|(zone, _)| zone).collect()
    }

    fn changed_blocks(&mut self, blocks: &mut Vec<ChangedBlock>) {
        self.live.committed(blocks.iter().map(|(key, _)| *key));
        blocks.push((TOTALS_BLOCK, Some(encode(&(&self.totals, self.told)))));
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        if let Some((_, bytes)) = blocks.iter().find(|(key, _)| *key == TOTALS_BLOCK) {
            (self.totals, self.told) = postcard::from_bytes(bytes)?;
        }
        Ok(())
    }
}
