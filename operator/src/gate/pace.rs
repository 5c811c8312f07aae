//! How fast writes may go: a token bucket, and pauses that the API server asks for.
//!
//! Invariants: writes go in the order in which they came; one that is dropped while it waits takes nothing with
//! it; no pause lasts longer than `LONGEST_PAUSE`.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::monotonic::{self, Instant};

/// The longest time for which a server may stop all writes.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pace of writes: one second's worth may go at once.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    bucket: tokio::sync::Mutex<Bucket>,
    paused_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant, per_second: f64) {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * per_second;
        self.tokens = (self.tokens + gained).min(per_second);
        self.filled = now;
    }
}

impl Pace {
    /// So many writes a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        let per_second = f64::from(per_second.get());
        Self {
            per_second,
            bucket: tokio::sync::Mutex::new(Bucket { tokens: per_second, filled: monotonic::now() }),
            paused_until: Mutex::new(None),
        }
    }

    /// Stops all writes for a time, bounded; a shorter pause than the present one changes nothing.
    pub fn pause(&self, time: Duration) {
        let until = monotonic::now() + time.min(LONGEST_PAUSE);
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |before| before.max(until)));
    }

    fn paused_until(&self) -> Option<Instant> {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the caller's turn.
    pub async fn turn(&self) {
        // The runtime's mutex is fair, and whoever is first in line sleeps while holding it.
        let mut bucket = self.bucket.lock().await;
        loop {
            let now = monotonic::now();
            if let Some(until) = self.paused_until().filter(|until| *until > now) {
                monotonic::sleep_until(until).await;
                continue;
            }
            bucket.fill(now, self.per_second);
            if bucket.tokens >= 1.0 {
                bucket.tokens -= 1.0;
                return;
            }
            let missing = (1.0 - bucket.tokens) / self.per_second;
            monotonic::sleep(Duration::from_secs_f64(missing) + Duration::from_millis(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

    use super::*;

    fn pace(per_second: u32) -> Pace {
        Pace::new(NonZeroU32::new(per_second).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn writes_go_in_order_and_at_the_cap() {
        let (pace, start) = (pace(10), monotonic::now());
        let mut turns: FuturesUnordered<_> = (0..60).map(|n| pace.turn().map(move |()| n)).collect();
        let mut order = Vec::new();
        while let Some(n) = turns.next().await {
            order.push(n);
        }
        assert!(order.is_sorted(), "{order:?}");
        let took = monotonic::now() - start;
        assert!((5.0..5.2).contains(&took.as_secs_f64()), "10 at once, 50 at 10 a second: {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_write_takes_no_turn() {
        let pace = pace(1);
        pace.turn().await;
        for _ in 0..100 {
            assert!(monotonic::within(Duration::from_micros(10), pace.turn()).await.is_none());
        }
        let start = monotonic::now();
        pace.turn().await;
        assert!(monotonic::now() - start < Duration::from_millis(1100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_stops_all_writes_and_is_bounded() {
        let (pace, start) = (pace(10), monotonic::now());
        pace.pause(Duration::from_hours(10));
        pace.pause(Duration::from_secs(1));
        pace.turn().await;
        assert_eq!(monotonic::now() - start, LONGEST_PAUSE);
    }
}
