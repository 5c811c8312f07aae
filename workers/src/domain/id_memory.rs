//! The ids of the last accepted records: at most [`IdMemory::CAPACITY`] of them and
//! [`IdMemory::REACH`] of log time.
//!
//! Kept in numbered chunks, so that a commit writes only the chunks that grew.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use parking_crds::event::Millis;
use uuid::Uuid;

/// The memory of one partition.
#[derive(Clone, Debug, Default)]
pub struct IdMemory {
    order: VecDeque<(Uuid, Millis)>,
    known: HashSet<Uuid, FixedState>,
    /// Ordinal of the first id in `order`, counted since the partition began.
    first: u64,
    /// Log time of the newest id that was forgotten.
    forgotten: Option<Millis>,
    /// Ordinal from which chunks were not yet handed out by [`IdMemory::take_changed`].
    unsaved: u64,
    /// First chunk that may still be stored.
    oldest_chunk: u64,
}

/// Content of a chunk: ordinal of its first id, what was forgotten before, ids with their log time.
pub type Chunk = (u64, Option<Millis>, Vec<(Uuid, Millis)>);

const CHUNK: u64 = 512;

impl IdMemory {
    /// Most ids remembered.
    pub const CAPACITY: usize = 100_000;
    /// How long an id is remembered, ms of log time.
    pub const REACH: Millis = 24 * 3_600_000;

    /// Whether the id is remembered.
    pub fn contains(&self, id: Uuid) -> bool {
        self.known.contains(&id)
    }

    /// Whether an id accepted at or after this log time would still be remembered.
    pub fn reaches_back_to(&self, time: Millis) -> bool {
        self.forgotten.is_none_or(|forgotten| forgotten < time)
    }

    /// Remembers an id accepted at this log time.
    pub fn remember(&mut self, id: Uuid, time: Millis) {
        self.order.push_back((id, time));
        self.known.insert(id);
        self.forget(time);
    }

    /// Forgets what is too old at this log time, or too much; also after the last restored chunk.
    pub fn forget(&mut self, time: Millis) {
        while let Some((oldest, accepted)) = self.order.front().copied() {
            if self.order.len() <= Self::CAPACITY && time - accepted <= Self::REACH {
                break;
            }
            self.order.pop_front();
            self.known.remove(&oldest);
            self.first += 1;
            self.forgotten = self.forgotten.max(Some(accepted));
        }
    }

    /// Chunks that changed since the last call; `None` for those that can be removed.
    pub fn take_changed(&mut self) -> Vec<(u64, Option<Chunk>)> {
        let end = self.first + self.order.len() as u64;
        let mut changed: Vec<_> =
            (self.oldest_chunk..self.first / CHUNK).map(|chunk| (chunk, None)).collect();
        self.oldest_chunk = self.first / CHUNK;
        if self.unsaved < end {
            for chunk in self.unsaved.max(self.first) / CHUNK..=(end - 1) / CHUNK {
                changed.push((chunk, Some(self.chunk(chunk))));
            }
            self.unsaved = end;
        }
        changed
    }

    fn chunk(&self, chunk: u64) -> Chunk {
        let start = (chunk * CHUNK).max(self.first);
        let skip = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        let take = usize::try_from((chunk + 1) * CHUNK - start).unwrap_or(usize::MAX);
        (start, self.forgotten, self.order.iter().skip(skip).take(take).copied().collect())
    }

    /// Takes a stored chunk back; chunks come in ascending order.
    pub fn restore_chunk(&mut self, chunk: u64, (start, forgotten, ids): Chunk) {
        if self.order.is_empty() {
            (self.first, self.oldest_chunk) = (start, chunk);
        }
        self.known.extend(ids.iter().map(|(id, _)| *id));
        self.order.extend(ids);
        self.forgotten = self.forgotten.max(forgotten);
        self.unsaved = self.first + self.order.len() as u64;
    }
}
