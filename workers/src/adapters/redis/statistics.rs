//! Results of statistics as keys, for whoever shows them.
//!
//! Must not know what a value means. Invariant: a window's result is replaced by one script, so that a reader never
//! sees half of it; a window that is older than the newest one leaves that alone.

use parking_crds::{duration::Duration, event::Millis, names::JobName};

use super::{
    link::Link,
    scripts::{self, Answer, unreadable},
    settings::{RedisSettings, SettingsError},
};
use crate::ports::PortResult;

/// The result of one window.
#[derive(Clone, Debug)]
pub struct WindowEntries<'a> {
    /// The job.
    pub job: &'a JobName,
    /// First instant of the window.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
    /// How long it is kept.
    pub ttl: Duration,
    /// Fields and values.
    pub entries: Vec<(String, String)>,
}

/// See the module.
pub struct RedisStatistics {
    link: Link,
}

impl RedisStatistics {
    /// Begins to connect, and goes on doing so until the value is dropped; must be called within a runtime.
    ///
    /// # Errors
    /// When a setting cannot be used; the error names it.
    pub fn open(settings: RedisSettings) -> Result<Self, SettingsError> {
        Ok(Self { link: Link::start(settings)? })
    }

    /// Puts the result of a window in the place of the one before.
    pub async fn put(&self, window: &WindowEntries<'_>) -> PortResult<()> {
        let mut turn = self.link.turn("writing statistics").await?;
        let call = scripts::statistics(&self.link.settings().prefix, window);
        let _room = turn.room(call.bytes).await?;
        match call.run(&turn).await? {
            Answer::Stored => turn.replicated().await,
            _ => Err(unreadable(turn.attempt())),
        }
    }
}
