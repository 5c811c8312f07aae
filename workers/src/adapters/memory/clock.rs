//! A clock that stands still until it is advanced.
//!
//! Must not follow the machine's time. Wall time may be moved apart from the monotonic time, as real
//! clocks jump.

use std::sync::Arc;

use async_trait::async_trait;
use parking_crds::{duration::Duration, event::Millis};
use tokio::sync::watch;

use crate::ports::clock::Clock;

#[derive(Clone, Copy, Debug)]
struct Time {
    wall: Millis,
    monotonic: Millis,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct MemoryClock {
    time: Arc<watch::Sender<Time>>,
}

impl MemoryClock {
    /// A clock whose wall time is `wall`.
    pub fn new(wall: Millis) -> Self {
        Self { time: Arc::new(watch::Sender::new(Time { wall, monotonic: 0 })) }
    }

    /// Lets time pass and wakes the pauses that are over.
    pub fn advance(&self, length: Duration) {
        let passed = length.millis().max(0);
        self.time.send_modify(|time| {
            time.wall = time.wall.saturating_add(passed);
            time.monotonic = time.monotonic.saturating_add(passed);
        });
    }

    /// Sets the wall time, back or forth; the monotonic time goes on.
    pub fn jump_to(&self, wall: Millis) {
        self.time.send_modify(|time| time.wall = wall);
    }
}

#[async_trait]
impl Clock for MemoryClock {
    fn now(&self) -> Millis {
        self.time.borrow().wall
    }

    fn monotonic(&self) -> Millis {
        self.time.borrow().monotonic
    }

    async fn pause(&self, length: Duration) {
        let over = self.monotonic().saturating_add(length.millis());
        let mut time = self.time.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = time.wait_for(|time| time.monotonic >= over).await;
    }
}
