//! What one partition has gathered for its next commit, and the memory that goes with it.
//!
//! Invariants: where a batch is cut depends on the rows alone (count, bytes, end of input), so that a
//! run that was interrupted cuts where the undisturbed one does; the memory is always the one after
//! the last record that was read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_crds::{event::Millis, inventory::Inventory};
use serde::Deserialize;

use super::{
    ArchiveError, RollAfter,
    encoder::{Row, RowOrigin},
};
use crate::{
    domain::{
        calendar,
        hints::Hints,
        record::{Body, Record},
        verdict::{EventLimits, Judge, Verdict, encode},
    },
    ports::{
        event_log::{Fetched, Offset, Partition},
        lake::{Position, Table},
        state_store::BlockKey,
    },
};

const MILLIS_OF_DAY: Millis = 86_400_000;
/// 9999-12-31, days since the epoch: no calendar of a reader goes further.
const LAST_DATE: Millis = 2_932_896;

/// The UTC date of a time, days since the epoch.
pub(super) fn date_of(time: Millis) -> i32 {
    i32::try_from(time.div_euclid(MILLIS_OF_DAY).clamp(0, LAST_DATE)).unwrap_or_default()
}

/// What tells a partition's new rows from those that the table has.
#[derive(Debug)]
enum Memory {
    /// Events: the verdicts of every stage.
    Verdicts { judge: Box<Judge>, blocks: BTreeMap<(u8, u128), Bytes> },
    /// Outputs of a stage, which may be published again: the last one that was kept.
    Origins { kept: Option<RowOrigin> },
}

/// Rows gathered for one partition of one table.
#[derive(Debug)]
pub(super) struct Batch {
    table: Table,
    partition: Partition,
    memory: Memory,
    inventory: Arc<Inventory>,
    /// Position of the lake.
    committed: Option<Position>,
    next: Offset,
    watermark: Option<Millis>,
    rows: BTreeMap<i32, Vec<Row>>,
    row_count: u64,
    row_bytes: u64,
    /// The end of the input was read: nothing is worth waiting for.
    ended: bool,
    /// When the first record after the last commit was read.
    since: Option<Millis>,
}

impl Batch {
    /// Continues after `committed`, whose memory must be restored before records are absorbed.
    pub(super) fn new(
        table: Table,
        partition: Partition,
        committed: Option<Position>,
        limits: EventLimits,
        inventory: &Arc<Inventory>,
    ) -> Self {
        let memory = match table {
            Table::Events => Memory::Verdicts {
                judge: Box::new(Judge::new(limits, Arc::clone(inventory))),
                blocks: BTreeMap::new(),
            },
            _ => Memory::Origins { kept: None },
        };
        Self {
            table,
            partition,
            memory,
            inventory: Arc::clone(inventory),
            committed,
            next: committed.map_or(0, |position| position.last_offset + 1),
            watermark: committed.and_then(|position| position.watermark),
            rows: BTreeMap::new(),
            row_count: 0,
            row_bytes: 0,
            ended: false,
            since: None,
        }
    }

    pub(super) fn partition(&self) -> Partition {
        self.partition
    }

    /// First offset not yet read.
    pub(super) fn next(&self) -> Offset {
        self.next
    }

    /// The lake's position that it continues.
    pub(super) fn committed(&self) -> Option<Position> {
        self.committed
    }

    /// First offset not yet in the lake.
    pub(super) fn first(&self) -> Offset {
        self.committed.map_or(0, |position| position.last_offset + 1)
    }

    /// Rows by date.
    pub(super) fn rows(&self) -> &BTreeMap<i32, Vec<Row>> {
        &self.rows
    }

    /// Whether anything was read since the last commit.
    pub(super) fn is_pending(&self) -> bool {
        self.next > self.first()
    }

    /// Whether it must be committed before more is read.
    pub(super) fn is_full(&self, roll: &RollAfter) -> bool {
        self.ended || self.row_count >= roll.rows || self.row_bytes >= roll.bytes
    }

    /// When the first uncommitted record was read.
    pub(super) fn since(&self) -> Option<Millis> {
        self.since
    }

    /// The position that a commit of the batch moves to; only for a pending one.
    pub(super) fn position(&self) -> Position {
        Position { last_offset: self.next.saturating_sub(1), watermark: self.watermark }
    }

    /// Starts the next batch after `position`.
    pub(super) fn commit_done(&mut self, position: Position) {
        self.committed = Some(position);
        self.rows.clear();
        (self.row_count, self.row_bytes, self.ended, self.since) = (0, 0, false, None);
    }

    /// Takes records up to the cut; answers how many.
    pub(super) fn absorb(
        &mut self,
        fetched: &Fetched,
        roll: &RollAfter,
        now: Millis,
    ) -> Result<u64, ArchiveError> {
        let (mut taken, from) = (0, self.next);
        for (offset, record) in fetched.iter().skip_while(|(offset, _)| *offset < from) {
            if self.is_full(roll) {
                break;
            }
            let bytes = fetched.records.bytes().slice_ref(record);
            match &mut self.memory {
                Memory::Verdicts { .. } => self.absorb_event(offset, bytes),
                Memory::Origins { .. } => self.absorb_output(offset, bytes)?,
            }
            self.next = offset + 1;
            self.since.get_or_insert(now);
            taken += 1;
        }
        Ok(taken)
    }

    fn absorb_event(&mut self, offset: Offset, bytes: Bytes) {
        let Memory::Verdicts { judge, .. } = &mut self.memory else { return };
        // What is no record at all is a dead letter, which the occupancy stage writes.
        let Ok(record) = Record::parse(&bytes) else { return };
        let (time, verdict) = (record.time, judge.decide(&record, &mut Hints::default()));
        self.watermark = self.watermark.max(judge.watermark());
        match verdict {
            Verdict::Accepted { late } => {
                let origin = RowOrigin { offset, ordinal: 0 };
                self.keep(date_of(time), Row { origin, late, record: bytes });
            }
            Verdict::Control if record.body == Body::InputEnded => {
                let end = calendar::end_of_day_everywhere(time, &self.inventory);
                self.watermark = self.watermark.max(Some(end));
                self.ended = true;
            }
            Verdict::Control | Verdict::Duplicate | Verdict::Dead(_) => {}
        }
    }

    fn absorb_output(&mut self, offset: Offset, bytes: Bytes) -> Result<(), ArchiveError> {
        let Memory::Origins { kept } = &mut self.memory else { return Ok(()) };
        let output: Output = serde_json::from_slice(&bytes).map_err(|error| ArchiveError::NoOutput {
            table: self.table.as_str(),
            partition: self.partition,
            offset,
            reason: error.to_string(),
        })?;
        let origin = RowOrigin { offset: output.origin.offset, ordinal: output.origin.ordinal };
        if kept.is_some_and(|kept| origin <= kept) {
            return Ok(());
        }
        *kept = Some(origin);
        if output.record_type.as_deref() == Some(WATERMARK) {
            let close = |time| calendar::end_of_day_everywhere(time, &self.inventory);
            let told = if output.ended { output.watermark.map(close) } else { output.watermark };
            self.watermark = self.watermark.max(told);
            self.ended |= output.ended;
        } else {
            self.keep(date_of(output.time(self.table)), Row { origin, late: false, record: bytes });
        }
        Ok(())
    }

    fn keep(&mut self, date: i32, row: Row) {
        self.row_count += 1;
        self.row_bytes += row.record.len() as u64;
        self.rows.entry(date).or_default().push(row);
    }

    /// The memory after the last record that was read.
    pub(super) fn memory(&mut self) -> Bytes {
        match &mut self.memory {
            Memory::Verdicts { judge, blocks } => {
                for (BlockKey { class, id }, block) in judge.changed_blocks() {
                    match block {
                        Some(block) => blocks.insert((class, id), block),
                        None => blocks.remove(&(class, id)),
                    };
                }
                encode(blocks)
            }
            Memory::Origins { kept } => encode(kept),
        }
    }

    /// Takes back the memory of the committed position.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        match &mut self.memory {
            Memory::Verdicts { judge, blocks } => {
                *blocks = postcard::from_bytes(bytes)?;
                for ((class, id), block) in &*blocks {
                    judge.restore_block(BlockKey { class: *class, id: *id }, block)?;
                }
                judge.restored();
            }
            Memory::Origins { kept } => *kept = postcard::from_bytes(bytes)?,
        }
        Ok(())
    }
}

/// `record_type` of a record that carries a stage's watermark along its output stream.
pub const WATERMARK: &str = "watermark";

/// What the archive reads of an output record.
#[derive(Deserialize)]
struct Output {
    record_type: Option<String>,
    origin: OutputOrigin,
    watermark: Option<Millis>,
    #[serde(default)]
    ended: bool,
    event_time: Option<Millis>,
    start: Option<Millis>,
    end: Option<Millis>,
    starts_at: Option<Millis>,
    active_at: Option<Millis>,
}

#[derive(Deserialize)]
struct OutputOrigin {
    offset: Offset,
    #[serde(default)]
    ordinal: u32,
}

impl Output {
    /// The time that dates the row; what has none stands at the epoch.
    fn time(&self, table: Table) -> Millis {
        let time = match table {
            Table::Sessions => self.start.or(self.end),
            Table::Alerts => self.starts_at.or(self.active_at),
            _ => self.event_time,
        };
        time.unwrap_or_default()
    }
}
