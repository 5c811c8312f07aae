//! The port on the scripts and pages.
//!
//! Must not keep anything between calls but the connection.

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    keys::{Keys, LiveKeys},
    link::{Health, Link, Turn},
    load::{damaged, load},
    scripts::{self, Answer, Call, unreadable},
    settings::{RedisSettings, SettingsError},
};
use crate::ports::{
    ErrorKind, PortError, PortResult,
    live_view::{LiveRows, LiveView},
    state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
};

/// See the module of the adapter. All stages of a process share one.
pub struct RedisStateStore {
    link: Link,
}

impl RedisStateStore {
    /// Begins to connect, and goes on doing so until the value is dropped; must be called within a runtime.
    /// Calls before there is a connection wait for it as long as a command may take.
    ///
    /// # Errors
    /// When a setting cannot be used; the error names it.
    pub fn open(settings: RedisSettings) -> Result<Self, SettingsError> {
        Ok(Self { link: Link::start(settings)? })
    }

    /// Whether there is a verified master, for `/readyz`.
    pub fn health(&self) -> Health {
        self.link.health()
    }

    fn keys(&self, stage: &StageKey) -> Keys {
        Keys::of(&self.link.settings().prefix, stage)
    }

    async fn write(&self, turn: &mut Turn<'_>, call: Call) -> PortResult<Outcome> {
        let _room = turn.room(call.bytes).await?;
        match call.run(turn).await? {
            Answer::Stored => {
                drop(call);
                turn.replicated().await?;
                Ok(Outcome::Stored)
            }
            Answer::Fenced => Ok(Outcome::Fenced),
            Answer::Damaged => Err(damaged(turn.attempt())),
            Answer::Sequence => {
                let reason = "the outbox goes on by one from what is stored";
                Err(PortError::caused(ErrorKind::Invalid, "adding outbox entries out of sequence", reason))
            }
            Answer::Number(_) => Err(unreadable(turn.attempt())),
        }
    }
}

#[async_trait]
impl StateStore for RedisStateStore {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let keys = self.keys(stage);
        let mut turn = self.link.turn("claiming a stage").await?;
        let epoch = match scripts::claim(&keys, &owner.to_string()).run(&turn).await? {
            Answer::Number(epoch) => epoch,
            Answer::Damaged => return Err(damaged(turn.attempt())),
            Answer::Stored | Answer::Fenced | Answer::Sequence => return Err(unreadable(turn.attempt())),
        };
        Ok((Token { owner, epoch }, load(&mut turn, &keys).await?))
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let mut turn = self.link.turn("committing a stage").await?;
        let call = scripts::commit(&self.keys(stage), turn.attempt(), &commit)?;
        drop(commit);
        self.write(&mut turn, call).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        let mut turn = self.link.turn("trimming an outbox").await?;
        let call = scripts::trim(&self.keys(stage), token, through);
        self.write(&mut turn, call).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        let mut turn = self.link.turn("looking at a stage").await?;
        load(&mut turn, &self.keys(stage)).await
    }
}

#[async_trait]
impl LiveView for RedisStateStore {
    /// Waits for no replica: what a fail-over takes back is shown again by the next owner.
    async fn show(&self, stage: &StageKey, token: Token, rows: LiveRows) -> PortResult<Outcome> {
        let mut turn = self.link.turn("showing live rows").await?;
        let of = LiveKeys::of(&self.link.settings().prefix, stage, rows.kind);
        let call = scripts::live(&self.keys(stage), &of, token, &rows);
        let _room = turn.room(call.bytes).await?;
        match call.run(&turn).await? {
            Answer::Stored => Ok(Outcome::Stored),
            Answer::Fenced => Ok(Outcome::Fenced),
            Answer::Damaged | Answer::Sequence | Answer::Number(_) => Err(unreadable(turn.attempt())),
        }
    }
}
