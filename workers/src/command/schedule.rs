//! When the records of a source are due: each at its own time after the first one, compressed.
//!
//! Must not wait itself: what was read before is sent first. Invariant: how slow the receiver is moves no record.

use std::sync::Arc;

use parking_crds::{duration::Duration, event::Millis};

use crate::ports::clock::Clock;

/// See the module.
pub(super) struct Schedule {
    compression: Millis,
    clock: Arc<dyn Clock>,
    /// Time of the first record, and of the clock when it came.
    started: Option<(Millis, Millis)>,
}

impl Schedule {
    /// A schedule of `compression` source seconds a second that begins with the record that is asked for first.
    pub(super) fn new(compression: u32, clock: Arc<dyn Clock>) -> Self {
        Self { compression: Millis::from(compression.max(1)), clock, started: None }
    }

    /// How long a record has to wait; those that are behind their schedule do not.
    pub(super) fn wait_for(&mut self, time: Millis) -> Option<Duration> {
        let now = self.clock.monotonic();
        let (first, started) = *self.started.get_or_insert((time, now));
        let due = started + (time - first) / self.compression;
        (due > now).then(|| Duration::from_millis(due - now))
    }
}
