//! The verdict on a record: accepted, duplicate or dead, and whether it is late.
//!
//! One pure function of the partition's log, run alike by every stage, so that all agree without
//! talking. Must not look at a clock: time comes from the records alone.
//!
//! Invariants: the watermark never goes back; a record that is refused changes nothing; a number
//! below the duplicate window is never called a duplicate unless its id is remembered; a number that
//! was seen is a duplicate, unless the device names no boot and the id is known to be new.

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::{
    duration::Duration,
    event::{DeadLetterReason, Millis},
    inventory::Inventory,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    hints::{Hint, Hints},
    id_map::IdMap,
    id_memory::IdMemory,
    record::{Body, Record},
    sequence_window::{Seen, SequenceWindow},
};
use crate::block_key::BlockKey;

/// The limits of `spec.events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLimits {
    /// How far the watermark stays behind the newest record.
    pub allowed_lateness: Duration,
    /// How old an event may be when it is published; replayed ones are exempt.
    pub max_age: Duration,
    /// How far an event may lie after its publication.
    pub max_ahead: Duration,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            allowed_lateness: Duration::from_secs(30),
            max_age: Duration::from_secs(24 * 3_600),
            max_ahead: Duration::from_secs(300),
        }
    }
}

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Use it.
    Accepted {
        /// It lies behind the watermark: it counts, but raises and resolves no alert.
        late: bool,
    },
    /// It was accepted before.
    Duplicate,
    /// It cannot be used.
    Dead(DeadLetterReason),
    /// It speaks of the partition: a tick or the end of the input.
    Control,
}

/// Passes verdicts on the records of one partition.
#[derive(Clone, Debug)]
pub struct Judge {
    limits: EventLimits,
    inventory: Arc<Inventory>,
    clock: PartitionClock,
    ids: IdMemory,
    windows: IdMap<KnownZone>,
    /// Zones of which `changed` is set.
    changed: Vec<Uuid>,
}

/// The windows of a zone, and whether a store has them as they are.
#[derive(Clone, Debug, Default)]
struct KnownZone {
    windows: ZoneWindows,
    changed: bool,
    /// Of its last block.
    bytes: usize,
}

/// Time as the partition's log tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PartitionClock {
    /// Newest of min(event time, publication time) of accepted records and ticks.
    newest: Option<Millis>,
    /// Newest publication time.
    published: Option<Millis>,
}

/// Duplicate windows of the devices that report on one zone. A repeated event names the same zone,
/// so windows per zone tell the same duplicates as windows per partition, and move with the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ZoneWindows(IdMap<DeviceWindows>);

/// Windows of a device by boot, the newest last; at most [`BOOTS`].
type DeviceWindows = SmallVec<[BootWindow; 1]>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BootWindow {
    boot: SmallVec<[u8; 16]>,
    window: SequenceWindow,
}

/// Boots of one device that are told apart at a time.
const BOOTS: usize = 4;

const CLOCK_BLOCK: BlockKey = BlockKey { class: 1, id: 0 };
const IDS_CLASS: u8 = 2;
const WINDOWS_CLASS: u8 = 3;

impl Judge {
    /// Classes of its blocks; other owners in the same stage use classes from here on.
    pub const CLASSES: std::ops::Range<u8> = 1..4;

    /// A judge that has seen nothing.
    pub fn new(limits: EventLimits, inventory: Arc<Inventory>) -> Self {
        Self {
            limits,
            inventory,
            clock: PartitionClock::default(),
            ids: IdMemory::default(),
            windows: IdMap::default(),
            changed: Vec::new(),
        }
    }

    /// Passes the verdict and remembers the record. The hints are those of its device.
    pub fn decide(&mut self, record: &Record<'_>, hints: &mut Hints) -> Verdict {
        match record.body {
            Body::Tick => {
                self.advance(record);
                return Verdict::Control;
            }
            Body::InputEnded => return Verdict::Control,
            _ => {}
        }
        if let Err(reason) = self.check(record, hints) {
            return Verdict::Dead(reason);
        }
        match self.look_up(record, hints) {
            Known::New => {}
            Known::Duplicate => return Verdict::Duplicate,
            Known::Undecidable => return Verdict::Dead(DeadLetterReason::UndecidableAge),
        }
        let late = self.watermark().is_some_and(|watermark| record.time < watermark);
        self.advance(record);
        self.ids.remember(record.id, self.clock.published.unwrap_or(record.published));
        Verdict::Accepted { late }
    }

    /// Looks at what [`Judge::decide`] will touch, so that memory brings it; the answer means nothing.
    pub fn look_ahead(&self, record: &Record<'_>, hints: &Hints) -> u64 {
        let zone = record.zone.and_then(|zone| self.windows.peek(zone, hints.windows.0));
        let boots = zone.and_then(|known| known.windows.0.peek(record.device, hints.windows.1));
        boots.and_then(|boots| boots.last()).map_or(0, |known| known.window.high())
            ^ hints.look_ahead(self.inventory.at(record.time))
    }

    /// No record older than this is expected; `None` before the first.
    pub fn watermark(&self) -> Option<Millis> {
        self.clock.newest.map(|newest| newest - self.limits.allowed_lateness.millis())
    }

    /// The newest time that the partition's log has told.
    pub fn newest(&self) -> Option<Millis> {
        self.clock.newest
    }

    /// The inventory that it judges by.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    fn check(&self, record: &Record<'_>, hints: &mut Hints) -> Result<(), DeadLetterReason> {
        let revision = self.inventory.at(record.time);
        let zone = record.zone.and_then(|zone| hints.zone(revision, zone));
        let zone = zone.ok_or(DeadLetterReason::UnknownZone)?;
        if record.space.is_some_and(|space| !zone.is_count_only() && !hints.has_space(revision, zone, space))
        {
            return Err(DeadLetterReason::UnknownSpace);
        }
        let counted = match record.body {
            Body::CountCorrected(counted) => Some(counted),
            _ => record.occupied,
        };
        if counted.is_some_and(|counted| counted < 0) {
            return Err(DeadLetterReason::NegativeCount);
        }
        if !record.is_replayed() && record.published - record.time > self.limits.max_age.millis() {
            return Err(DeadLetterReason::TooOld);
        }
        if record.time - record.published > self.limits.max_ahead.millis() {
            return Err(DeadLetterReason::TooFarAhead);
        }
        Ok(())
    }

    fn look_up(&mut self, record: &Record<'_>, hints: &mut Hints) -> Known {
        let (Some(seq), Some(zone)) = (record.seq, record.zone) else {
            return if self.ids.contains(record.id) { Known::Duplicate } else { Known::New };
        };
        let boot = record.boot.as_deref().unwrap_or_default().as_bytes();
        let known = self.windows.get_or_insert_with(zone, &mut hints.windows.0, KnownZone::default);
        match known.windows.observe(record.device, &mut hints.windows.1, boot, seq) {
            Seen::New => {
                if !std::mem::replace(&mut known.changed, true) {
                    self.changed.push(zone);
                }
                Known::New
            }
            Seen::Before if record.boot.is_some() || self.ids.contains(record.id) => Known::Duplicate,
            // A device that restarts without a boot id counts from 0 again.
            Seen::Before if self.ids.reaches_back_to(record.published) => Known::New,
            Seen::Before => Known::Duplicate,
            Seen::Undecided if self.ids.contains(record.id) => Known::Duplicate,
            Seen::Undecided if self.ids.reaches_back_to(record.published) => Known::New,
            Seen::Undecided => Known::Undecidable,
        }
    }

    fn advance(&mut self, record: &Record<'_>) {
        let time = record.time.min(record.published);
        self.clock.newest = self.clock.newest.max(Some(time));
        self.clock.published = self.clock.published.max(Some(record.published));
    }

    /// Blocks that changed since the last call.
    pub fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        let mut blocks = vec![(CLOCK_BLOCK, Some(encode(&self.clock)))];
        for (chunk, content) in self.ids.take_changed() {
            let key = BlockKey { class: IDS_CLASS, id: u128::from(chunk) };
            blocks.push((key, content.map(|content| encode(&content))));
        }
        for zone in self.changed.drain(..) {
            if let Some(known) = self.windows.get_mut(zone) {
                known.changed = false;
                let key = BlockKey { class: WINDOWS_CLASS, id: zone.as_u128() };
                let block = encode_again(&known.windows, known.bytes);
                known.bytes = block.len();
                blocks.push((key, Some(block)));
            }
        }
        blocks
    }

    /// Takes one stored block back; blocks of other classes are left alone.
    pub fn restore_block(&mut self, key: BlockKey, bytes: &[u8]) -> Result<(), postcard::Error> {
        match key.class {
            1 => self.clock = postcard::from_bytes(bytes)?,
            IDS_CLASS => {
                let chunk = u64::try_from(key.id).unwrap_or(u64::MAX);
                self.ids.restore_chunk(chunk, postcard::from_bytes(bytes)?);
            }
            WINDOWS_CLASS => {
                let known = KnownZone { windows: postcard::from_bytes(bytes)?, ..KnownZone::default() };
                self.windows.insert(Uuid::from_u128(key.id), known);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Judge {
    /// Completes a restore after the last block.
    pub fn restored(&mut self) {
        self.ids.restored();
    }
}

enum Known {
    New,
    Duplicate,
    Undecidable,
}

impl ZoneWindows {
    fn observe(&mut self, device: Uuid, hint: &mut Hint, boot: &[u8], seq: u64) -> Seen {
        let boots = self.0.get_or_insert_with(device, hint, SmallVec::new);
        if let Some(known) = boots.iter_mut().rev().find(|known| known.boot.as_slice() == boot) {
            return known.window.observe(seq);
        }
        if boots.len() == BOOTS {
            boots.remove(0);
        }
        boots.push(BootWindow { boot: SmallVec::from_slice(boot), window: SequenceWindow::starting_at(seq) });
        Seen::New
    }
}

/// Serialises a block; the types of this crate always can be.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    encode_again(value, 0)
}

/// Serialises a block that had this many bytes last time, so that its buffer need not grow.
pub(crate) fn encode_again<T: Serialize>(value: &T, bytes: usize) -> Bytes {
    postcard::to_extend(value, Vec::with_capacity(bytes + bytes / 16)).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests;
