//! Random numbers of one zone, from the profile's seed and the zone's id.

use parking_crds::event::Millis;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

const STEPS: f64 = 4_294_967_296.0;

/// A seeded stream of random numbers.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    pub(super) fn new(seed: u64, zone: Uuid) -> Self {
        let seed = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(zone).finalize();
        Self(ChaCha8Rng::from_seed(seed.into()))
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / STEPS
    }

    pub(super) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// In [0, bound); 0 where the bound is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(bound);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// In [from, to).
    pub(super) fn between(&mut self, from: Millis, to: Millis) -> Millis {
        from + Millis::from(self.below(u32::try_from(to - from).unwrap_or(u32::MAX)))
    }

    /// Exponential with this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// Whole milliseconds of a length that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates, lengths are days at most"
)]
pub(super) fn millis(length: f64) -> Millis {
    length.round() as Millis
}
