//! The machine's clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_crds::{duration::Duration, event::Millis};

use crate::ports::clock::Clock;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::new_without_default, reason = "reading the clock is not a default value")]
    #[expect(clippy::disallowed_methods, reason = "this adapter is where wall time comes from")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this adapter is where wall time comes from")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }

    fn monotonic(&self) -> Millis {
        Millis::try_from(self.start.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this adapter is where waiting happens")]
    async fn pause(&self, length: Duration) {
        tokio::time::sleep(length.into()).await;
    }
}
