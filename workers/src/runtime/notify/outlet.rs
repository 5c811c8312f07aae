//! A route, as all partitions share it: who is told, and how often.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_crds::{duration::Duration, event::Millis, pipeline::Route};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Slots;
use crate::ports::{
    ErrorKind,
    clock::Clock,
    notifier::{Notification, Notifier},
};

const FIRST_PAUSE: Millis = 250;
const LONGEST_PAUSE: Millis = 60_000;

/// What all partitions of one route share.
pub struct Outlet {
    /// Its name.
    pub route: String,
    notifier: Arc<dyn Notifier>,
    /// Time between two notifications, ms.
    spacing: Millis,
    not_before: Mutex<Millis>,
    counts: Arc<Counts>,
    /// Read-locked while a notification is under way.
    gate: RwLock<()>,
}

/// A notification that was answered; until the answer is stored, [`Outlet::close`] waits for it.
#[must_use]
pub(super) struct Answered<'a>(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'a, ()>);

/// What became of the notifications of a route; it outlives its outlets.
#[derive(Debug, Default)]
pub struct Counts {
    delivered: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
}

impl Counts {
    /// So far.
    pub fn totals(&self) -> Totals {
        Totals {
            delivered: self.delivered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            repeated: self.repeated.load(Ordering::Relaxed),
        }
    }
}

/// How many notifications became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Were taken.
    pub delivered: u64,
    /// Were refused for good.
    pub refused: u64,
    /// Tries beyond the first.
    pub repeated: u64,
}

impl Outlet {
    /// A route that tells at most so many a minute, all owners of slots together.
    pub fn new(route: &Route, notifier: Arc<dyn Notifier>, counts: Arc<Counts>, slots: &Slots) -> Self {
        let owned = Millis::try_from(slots.owned.len()).unwrap_or(1).max(1);
        let most = Millis::from(route.max_per_minute().max(1));
        Self {
            route: route.name.to_string(),
            notifier,
            spacing: 60_000 * Millis::from(slots.count) / (most * owned),
            not_before: Mutex::default(),
            counts,
            gate: RwLock::default(),
        }
    }

    /// Tries until the receiver takes it or refuses it for good.
    pub(super) async fn deliver(&self, notification: &Notification, clock: &dyn Clock) -> Answered<'_> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.wait_for_turn(clock).await;
            let under_way = self.gate.read().await;
            match self.notifier.notify(notification).await {
                Ok(()) => {
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                    return Answered(under_way);
                }
                Err(error) if matches!(error.kind, ErrorKind::Transient | ErrorKind::Ambiguous) => {
                    self.counts.repeated.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(route = self.route, "alert not delivered, trying again: {error}");
                    drop(under_way);
                    clock.pause(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    let key = &notification.idempotency_key;
                    tracing::error!(route = self.route, key, "alert not delivered: {error}");
                    return Answered(under_way);
                }
            }
        }
    }

    /// Lets nothing more begin, and completes when nothing is under way, for as long as the guard is held.
    pub(in crate::runtime) async fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    async fn wait_for_turn(&self, clock: &dyn Clock) {
        let wait = {
            let mut not_before = self.not_before.lock().await;
            let now = clock.monotonic();
            let turn = now.max(*not_before);
            *not_before = turn + self.spacing;
            turn - now
        };
        if wait > 0 {
            clock.pause(Duration::from_millis(wait)).await;
        }
    }
}
