//! Ports whose calls are counted, and their time taken, by role.
//!
//! Must not change an answer, nor work for each record: a batch is counted as a whole. Invariants: what failed counts
//! as failed and as nothing else; durations are of calls that were answered well, so that a server that is away does
//! not look slow.

mod lake;
mod log;
mod membership;
mod store;

use parking_crds::event::Millis;
use prometheus::Histogram;

pub use self::{
    lake::{LakeMetrics, MeteredLake},
    log::{LogMetrics, MeteredLog},
    membership::{MembershipMetrics, MeteredMembership},
    store::{MeteredStore, StoreMetrics},
};
use crate::{metrics::seconds, ports::clock::Clock};

/// A call that began.
struct Began<'a> {
    clock: &'a dyn Clock,
    at: Millis,
}

impl<'a> Began<'a> {
    fn now(clock: &'a dyn Clock) -> Self {
        Self { clock, at: clock.monotonic() }
    }

    fn ends(self, durations: &Histogram) {
        durations.observe(seconds(self.clock.monotonic() - self.at));
    }
}

#[cfg(test)]
mod tests;
