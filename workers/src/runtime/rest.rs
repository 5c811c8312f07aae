//! What a stage does while there is nothing to read: it waits, and where that is its duty it tells the time.

use std::sync::Arc;

use parking_crds::{duration::Duration, event::Millis};

use super::stage::{Stage, StageError, StageRunner};
use crate::ports::clock::Clock;

/// When silence is broken.
#[derive(Clone)]
pub struct Silence {
    /// What measures it.
    pub clock: Arc<dyn Clock>,
    /// Silence after which time is told by a tick; absent where none may be written.
    pub idle_after: Option<Duration>,
    /// Whose ticks they are.
    pub tenant: String,
}

impl Silence {
    /// Waits for records, or until a commit is due; after long silence it tells the time that has passed since
    /// something was `heard`. Answers when something was last heard.
    pub async fn rest<S: Stage>(&self, runner: &StageRunner<S>, heard: Millis) -> Result<Millis, StageError> {
        let after = self.idle_after.filter(|_| runner.tells_time());
        let left = after
            .map(|after| Duration::from_millis((after.millis() - (self.clock.monotonic() - heard)).max(0)));
        tokio::select! {
            arrived = runner.wait() => arrived.map(|()| heard),
            () = self.pause(runner.due_in()) => Ok(heard),
            () = self.pause(left) => {
                let now = self.clock.monotonic();
                runner.tick(&self.tenant, Duration::from_millis(now - heard)).await?;
                Ok(now)
            }
        }
    }

    async fn pause(&self, length: Option<Duration>) {
        match length {
            Some(length) => self.clock.pause(length).await,
            None => std::future::pending().await,
        }
    }
}
