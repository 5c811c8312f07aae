//! Waiting for replicas, many stages with one command.
//!
//! `WAIT` keeps the connection from its next command, so it is sent for all that was written until then:
//! who finds that a later one covered its write does not ask again.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{RedisError, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

/// What is left to the answer of the time that a call has.
const WAY_BACK: Duration = Duration::from_millis(20);

/// What was written on one connection, and how much of it is known to be replicated.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    written: AtomicU64,
    /// Held by the one that asks; those who wait for it keep their own deadlines.
    covered: Mutex<u64>,
}

impl Replicas {
    /// Whether `wanted` replicas have all that was answered on this connection before the call.
    pub(super) async fn have_all(
        &self,
        mut connection: MultiplexedConnection,
        wanted: u8,
        deadline: Instant,
    ) -> Result<bool, RedisError> {
        let mine = self.written.fetch_add(1, Ordering::SeqCst) + 1;
        let Ok(mut covered) = timeout_at(deadline, self.covered.lock()).await else { return Ok(false) };
        if *covered >= mine {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(WAY_BACK);
        if left.is_zero() {
            return Ok(false);
        }
        // All of these were answered, so they stand before the command on the connection.
        let covers = self.written.load(Ordering::SeqCst);
        // 0 would mean for ever.
        let millis = u64::try_from(left.as_millis()).unwrap_or(1).max(1);
        let have: u64 = cmd("WAIT").arg(wanted).arg(millis).query_async(&mut connection).await?;
        if have < u64::from(wanted) {
            return Ok(false);
        }
        *covered = covers;
        Ok(true)
    }
}
