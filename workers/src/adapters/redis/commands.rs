//! Single commands on the verified master, for what is no stage.
//!
//! Must not send a command twice. A command that was not answered is [`Ambiguous`](crate::ports::ErrorKind::Ambiguous),
//! as is every command that writes.

use async_trait::async_trait;
use redis::{Cmd, Value};

use super::{
    failure::{Effect, port_error},
    link::Link,
    settings::{RedisSettings, SettingsError},
};
use crate::{ingest::RedisCalls, ports::PortResult};

/// See the module.
pub struct RedisCommands {
    link: Link,
}

impl RedisCommands {
    /// Begins to connect, and goes on doing so until the value is dropped; must be called within a runtime.
    ///
    /// # Errors
    /// When a setting cannot be used; the error names it.
    pub fn open(settings: RedisSettings) -> Result<Self, SettingsError> {
        Ok(Self { link: Link::start(settings)? })
    }
}

#[async_trait]
impl RedisCalls for RedisCommands {
    async fn call(&self, command: &Cmd) -> PortResult<Value> {
        let turn = self.link.turn("a command to Redis").await?;
        let mut connection = turn.master.connection();
        let sent = async {
            let answer = connection.send_packed_command(command).await;
            answer.and_then(Value::extract_error)
        };
        let answer = turn.answer(Effect::Writes, sent).await?;
        answer.map_err(|error| port_error(turn.attempt(), error, Effect::Writes))
    }
}
