//! Seeded chance: the only source of it in a run.
//!
//! Not of the crate that the product draws from: a run draws at every step, and tests build dependencies
//! without optimisation.

use uuid::Uuid;

/// A stream of draws (`SplitMix64`). Two purposes of one seed draw from two streams, so that neither shifts
/// the other.
pub(crate) struct Chance(u64);

const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Chance {
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        // The streams of a seed begin where its first draws are.
        let mut streams = Self(seed);
        let starts = (0..=purpose).map(|_| streams.draw());
        Self(starts.last().unwrap_or_default())
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, without it.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(crate) fn between(&mut self, start: i64, end: i64) -> i64 {
        start + i64::try_from(self.below(u64::try_from(end - start).unwrap_or(1))).unwrap()
    }

    pub(crate) fn hits(&mut self, per_thousand: u64) -> bool {
        self.below(1_000) < per_thousand
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let bits = u128::from(self.draw()) << 64 | u128::from(self.draw());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}
