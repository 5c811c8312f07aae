//! The monotonic clock: the only place that asks the runtime for time. Leases, pauses, back-off and polls count on it.
//!
//! Must not: know the date; what is shown to users or compared with objects is a `jiff::Timestamp` from elsewhere.
//! Invariants: it never goes back. It follows the runtime's clock, so a test pauses and advances it. It stands
//! still while the whole machine is suspended, as the machine's kernel defines it.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

pub use tokio::time::{Instant, Sleep};

/// The present.
#[expect(clippy::disallowed_methods, reason = "the port's own adapter")]
pub fn now() -> Instant {
    Instant::now()
}

/// A future that ends at the given instant.
#[expect(clippy::disallowed_methods, reason = "the port's own adapter")]
pub fn sleep_until(instant: Instant) -> Sleep {
    tokio::time::sleep_until(instant)
}

/// A future that ends after the given time.
pub fn sleep(time: Duration) -> Sleep {
    sleep_until(now() + time)
}

/// The future's output, or nothing when the deadline came first.
///
/// The clock is read before each step of the future: a process that was stopped over the deadline takes no
/// further step when it goes on.
pub async fn before<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut end = pin!(sleep_until(deadline));
    poll_fn(|context| {
        if now() >= deadline {
            return Poll::Ready(None);
        }
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => end.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}

/// The future's output, or nothing when it took longer than the given time.
pub async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    before(now() + time, future).await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_after_its_deadline() {
        assert_eq!(within(Duration::from_secs(1), ready(1)).await, Some(1));
        assert_eq!(within(Duration::from_secs(1), pending::<()>()).await, None);
        assert_eq!(within(Duration::ZERO, ready(1)).await, None);
    }
}
