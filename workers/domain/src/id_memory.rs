//! The ids of the last accepted records: at most [`IdMemory::CAPACITY`] of them and
//! [`IdMemory::REACH`] of log time.
//!
//! Kept in numbered chunks, so that a commit writes only the chunks that grew. Where ids are rarely looked
//! up, since devices number their events, the list is searched; an index is made once that costs more.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use parking_crds::event::Millis;
use uuid::Uuid;

/// The memory of one partition.
#[derive(Clone, Debug, Default)]
pub struct IdMemory {
    order: VecDeque<(Uuid, Millis)>,
    /// The ids of `order`, once they are looked up often.
    index: Option<HashSet<Uuid, FixedState>>,
    /// Ids that were looked at in searches, less what remembering has paid for.
    searched: usize,
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
/// Ids that searches may look at beyond what is paid for: ten searches of a full memory.
const SEARCHES: usize = 10 * IdMemory::CAPACITY;
/// What keeping an id out of an index saves, in ids of a search.
const PAID_BY_ONE: usize = 8;

impl IdMemory {
    /// Most ids remembered.
    pub const CAPACITY: usize = 100_000;
    /// How long an id is remembered, ms of log time.
    pub const REACH: Millis = 24 * 3_600_000;

    /// Whether the id is remembered.
    pub fn contains(&mut self, id: Uuid) -> bool {
        if self.index.is_none() {
            self.searched += self.order.len();
            if self.searched <= SEARCHES {
                return self.order.iter().any(|(known, _)| *known == id);
            }
        }
        let ids = || self.order.iter().map(|(id, _)| *id).collect();
        self.index.get_or_insert_with(ids).contains(&id)
    }

    /// Whether an id accepted at or after this log time would still be remembered.
    pub fn reaches_back_to(&self, time: Millis) -> bool {
        self.forgotten.is_none_or(|forgotten| forgotten < time)
    }

    /// Remembers an id accepted at this log time.
    pub fn remember(&mut self, id: Uuid, time: Millis) {
        self.order.push_back((id, time));
        match &mut self.index {
            Some(index) => _ = index.insert(id),
            None => self.searched = self.searched.saturating_sub(PAID_BY_ONE),
        }
        self.forget(time);
    }

    /// Completes a restore after the last chunk. Ids are forgotten when one is remembered and never
    /// between, so that a memory which was stored knows what one that was not stored knows.
    pub fn restored(&mut self) {
        if let Some((_, newest)) = self.order.back().copied() {
            self.forget(newest);
        }
    }

    /// Forgets what is too old at this log time, or too much.
    fn forget(&mut self, time: Millis) {
        while let Some((oldest, accepted)) = self.order.front().copied() {
            if self.order.len() <= Self::CAPACITY && time - accepted <= Self::REACH {
                break;
            }
            self.order.pop_front();
            if let Some(index) = &mut self.index {
                index.remove(&oldest);
            }
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
        if let Some(index) = &mut self.index {
            index.extend(ids.iter().map(|(id, _)| *id));
        }
        self.order.extend(ids);
        self.forgotten = self.forgotten.max(forgotten);
        self.unsaved = self.first + self.order.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Uuid {
        Uuid::from_u128(u128::from(number) << 64)
    }

    #[test]
    fn ids_are_known_alike_by_search_and_by_index() {
        let (mut rare, mut often) = (IdMemory::default(), IdMemory::default());
        for number in 0..150_000 {
            let time = Millis::from(number);
            rare.remember(id(number), time);
            often.remember(id(number), time);
            assert!(!often.contains(id(number + 1)));
        }
        assert!(often.index.is_some() && rare.index.is_none());
        for (number, known) in
            [(0, false), (49_999, false), (50_000, true), (149_999, true), (150_000, false)]
        {
            assert_eq!((rare.contains(id(number)), often.contains(id(number))), (known, known), "{number}");
        }
    }

    #[test]
    fn ids_are_forgotten_after_a_day_and_the_memory_knows_how_far_it_reaches() {
        let mut ids = IdMemory::default();
        ids.remember(id(1), 0);
        assert!(ids.reaches_back_to(0));
        ids.remember(id(2), IdMemory::REACH + 1);
        assert!(!ids.contains(id(1)) && ids.contains(id(2)));
        assert!(!ids.reaches_back_to(0) && ids.reaches_back_to(1));
    }

    fn stored_and_taken_back(memory: &mut IdMemory) -> IdMemory {
        let mut back = IdMemory::default();
        for (number, chunk) in memory.take_changed() {
            back.restore_chunk(number, chunk.unwrap());
        }
        back.restored();
        back
    }

    #[test]
    fn a_restored_memory_forgets_neither_more_nor_less() {
        let mut memory = IdMemory::default();
        memory.remember(id(1), 0);
        memory.remember(id(2), IdMemory::REACH);
        let mut back = stored_and_taken_back(&mut memory);
        assert!(back.contains(id(1)), "nothing was remembered since that would push it out");
        for memory in [&mut memory, &mut back] {
            memory.remember(id(3), IdMemory::REACH + 1);
            assert!(!memory.contains(id(1)) && memory.contains(id(2)));
            assert!(memory.reaches_back_to(1) && !memory.reaches_back_to(0));
        }
    }
}
