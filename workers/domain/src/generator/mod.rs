//! The generator: a city of parking zones whose sensors fail as real ones do, from one seed.
//!
//! Must not read clocks or do I/O. Model: nonhomogeneous Poisson arrivals (constant within an hour, so
//! gaps are drawn exactly and need no thinning), one factor a zone and day that spreads them more than
//! Poisson would, dwell by archetype, and a bounded search: who finds a zone full tries three more times.
//!
//! Invariants: the same profile gives the same bytes; what a zone sends depends on (seed, zone) alone,
//! not on its neighbours; records come in the order in which the platform receives them (open loop), and
//! carry that time as their publication time.

use std::{cmp::Reverse, collections::BinaryHeap};

use parking_crds::event::Millis;
use uuid::Uuid;

mod arrival;
mod chance;
mod device;
mod draft;
mod profile;
mod render;
mod zone;

pub use arrival::Archetype;
pub use profile::{Faults, Group, Profile, ProfileError, Sensing};

use render::Renderer;
use zone::ZoneFeed;

/// Root of the ids of simulated cities: UUIDv5 of `https://parking.tinyx.io/simulate`.
const NAMESPACE: Uuid = Uuid::from_u128(0x2589_7db6_6056_5e02_86d3_63eb_f6fb_2fec);

/// All zones of a profile, merged by the time at which their records arrive.
pub struct City {
    zones: Vec<ZoneFeed>,
    order: BinaryHeap<Reverse<(Millis, usize)>>,
    renderer: Renderer,
}

/// What is known of a record beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The zone that sent it: the key, even where the record is damaged.
    pub zone: Uuid,
    /// When the platform receives it.
    pub time: Millis,
}

impl City {
    /// Builds the city.
    pub fn new(profile: &Profile) -> Result<Self, ProfileError> {
        let mut zones = profile.zones()?;
        let mut order = BinaryHeap::with_capacity(zones.len());
        for (number, zone) in zones.iter_mut().enumerate() {
            order.extend(zone.advance().map(|time| Reverse((time, number))));
        }
        Ok(Self { zones, order, renderer: Renderer::new(&profile.tenant) })
    }

    /// Replaces `record` by the next one; `None` when the profile's time is over.
    pub fn next(&mut self, record: &mut Vec<u8>) -> Option<Delivered> {
        let mut top = self.order.peek_mut()?;
        let Reverse((time, number)) = *top;
        let zone = self.zones.get_mut(number)?;
        record.clear();
        let id = zone.write(&mut self.renderer, record);
        match zone.advance() {
            Some(next) => *top = Reverse((next, number)),
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        Some(Delivered { zone: id, time })
    }
}

#[cfg(test)]
mod tests;
