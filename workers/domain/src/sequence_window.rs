//! Which sequence numbers of one device and boot were seen.
//!
//! A window of [`SequenceWindow::WIDTH`] numbers below the highest, kept as the ranges that are
//! missing: a device that loses nothing costs two words. Numbers below the window are undecided.

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// The window of one device and boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceWindow {
    high: u64,
    /// Inclusive ranges inside the window that were not seen, ascending, disjoint.
    missing: SmallVec<[(u64, u64); 1]>,
}

/// What the window says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not seen before; it is now.
    New,
    /// Seen before.
    Before,
    /// Below the window.
    Undecided,
}

impl SequenceWindow {
    /// How many numbers are remembered.
    pub const WIDTH: u64 = 4_096;

    /// A window that has seen `first` alone.
    pub fn starting_at(first: u64) -> Self {
        let low = lowest(first);
        let missing = if low < first { smallvec![(low, first - 1)] } else { SmallVec::new() };
        Self { high: first, missing }
    }

    /// The highest number seen.
    pub fn high(&self) -> u64 {
        self.high
    }

    /// Looks a number up and remembers it.
    pub fn observe(&mut self, seq: u64) -> Seen {
        if seq > self.high {
            self.advance(seq);
            return Seen::New;
        }
        if seq < lowest(self.high) {
            return Seen::Undecided;
        }
        let index = self.missing.partition_point(|(_, end)| *end < seq);
        match self.missing.get(index).copied() {
            Some((start, end)) if start <= seq => {
                self.split(index, start, end, seq);
                Seen::New
            }
            _ => Seen::Before,
        }
    }

    fn advance(&mut self, seq: u64) {
        let low = lowest(seq);
        if seq - self.high > 1 {
            self.missing.push((self.high + 1, seq - 1));
        }
        self.high = seq;
        let gone = self.missing.partition_point(|(_, end)| *end < low);
        self.missing.drain(..gone);
        if let Some((start, _)) = self.missing.first_mut() {
            *start = low.max(*start);
        }
    }

    fn split(&mut self, index: usize, start: u64, end: u64, seq: u64) {
        self.missing.remove(index);
        if seq < end {
            self.missing.insert(index, (seq + 1, end));
        }
        if start < seq {
            self.missing.insert(index, (start, seq - 1));
        }
    }
}

fn lowest(high: u64) -> u64 {
    high.saturating_sub(SequenceWindow::WIDTH - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn window_agrees_with_a_set(first in 0..9_000_u64, rest in prop::collection::vec(0..9_000_u64, 0..200)) {
            let mut window = SequenceWindow::starting_at(first);
            let (mut seen, mut high) = (BTreeSet::from([first]), first);
            for seq in rest {
                let expected = if seq + SequenceWindow::WIDTH <= high {
                    Seen::Undecided
                } else if seen.insert(seq) {
                    Seen::New
                } else {
                    Seen::Before
                };
                high = high.max(seq);
                prop_assert_eq!(window.observe(seq), expected);
            }
        }
    }

    #[test]
    fn steady_device_costs_no_ranges() {
        let mut window = SequenceWindow::starting_at(0);
        for seq in 1..10_000 {
            assert_eq!(window.observe(seq), Seen::New);
        }
        assert!(window.missing.is_empty());
    }
}
