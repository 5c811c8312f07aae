//! First come, first served: how many objects of a kind are looked at at once, and in which order.
//!
//! Invariant: whoever waits has its turn before whoever comes later, however often that one comes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{object::ObjectKind, server::Health};

/// The turns of one kind.
pub(super) struct Turns {
    kind: ObjectKind,
    permits: Semaphore,
    waiting: Mutex<usize>,
    health: Health,
}

impl Turns {
    /// So many at once.
    pub(super) fn new(kind: ObjectKind, concurrency: u16, health: Health) -> Self {
        Self { kind, permits: Semaphore::new(concurrency.into()), waiting: Mutex::new(0), health }
    }

    /// Waits for a turn, which lasts as long as the permit.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::new(self);
        // The runtime's semaphore is fair, and this one is never closed.
        self.permits.acquire().await.ok()
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = change(*waiting);
        self.health.queued(self.kind, *waiting);
    }
}

/// An object that waits, told in the metrics until it has its turn or gives up.
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.change(|waiting| waiting.saturating_add(1));
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|waiting| waiting.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn whoever_comes_again_waits_behind_those_who_wait() {
        let metrics = Metrics::new().unwrap();
        let turns = Turns::new(ObjectKind::Pipeline, 1, Health::new(metrics.clone()));
        let depth = |count: usize| {
            let text = String::from_utf8(metrics.text().unwrap().1).unwrap();
            text.contains(&format!("queue_depth{{kind=\"ParkingPipeline\"}} {count}\n"))
        };
        let busy = turns.take().now_or_never().flatten();
        assert!(busy.is_some() && depth(0));
        let mut quiet = Box::pin(turns.take());
        assert!(poll!(&mut quiet).is_pending());
        let mut again = Box::pin(turns.take());
        assert!(poll!(&mut again).is_pending() && depth(2));
        drop(busy);
        assert!(poll!(&mut again).is_pending(), "the quiet one has waited longer");
        let served = poll!(&mut quiet);
        assert!(served.is_ready() && depth(1));
        drop(again);
        assert!(depth(0), "whoever gives up waits no more");
    }
}
