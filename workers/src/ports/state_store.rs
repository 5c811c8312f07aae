//! The state store: blocks of state, the input offset that they stand for, and the outbox, moved
//! together by one fenced write (G2).
//!
//! Guarantees:
//! - **S1** A commit is atomic and durable: blocks, offset and outbox all move, or none.
//! - **S2** A claim fences every earlier owner: a commit or trim with an older token changes nothing
//!   and answers [`Outcome::Fenced`].
//! - **S3** A commit whose base is not the stored offset changes nothing and answers `Fenced`.
//! - **S4** A claim answers what the last stored commit left, outbox included.
//! - **S5** Outbox entries stay until trimmed, in the order of their sequence.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

pub use crate::domain::block_key::BlockKey;

use super::{
    ErrorKind, PortError, PortResult,
    event_log::{Offset, Partition, Stream},
};

/// One role on one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// The role's name.
    pub role: &'static str,
    /// The partition.
    pub partition: Partition,
}

/// Proof of ownership: random, plus a counter. (A bare counter can go back when a store fails over.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Drawn by the owner at each claim.
    pub owner: Uuid,
    /// One more than the token before.
    pub epoch: u64,
}

/// A record that must leave, kept until it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Grows by one for each entry of the stage.
    pub seq: u64,
    /// Where it goes; the partition is the stage's.
    pub stream: Stream,
    /// The record.
    pub record: Bytes,
}

/// What a commit left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Identity of the log that the offset belongs to.
    pub log_id: Uuid,
    /// First offset not yet part of the state.
    pub next_offset: Offset,
    /// Every block, in the order of keys.
    pub blocks: Vec<(BlockKey, Bytes)>,
    /// Entries not yet trimmed.
    pub outbox: Vec<OutboxEntry>,
    /// Sequence of the next outbox entry.
    pub next_seq: u64,
}

/// One fenced, atomic write.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The owner.
    pub token: Token,
    /// Identity of the log that the offsets belong to.
    pub log_id: Uuid,
    /// The offset that the store must hold now; 0 where it holds nothing.
    pub base: Offset,
    /// The offset that it holds after.
    pub next: Offset,
    /// Blocks to write, or to remove with `None`.
    pub blocks: Vec<(BlockKey, Option<Bytes>)>,
    /// Entries to add.
    pub outbox: Vec<OutboxEntry>,
}

impl Commit {
    /// Refuses outbox entries whose sequence does not go on from what the store holds (S5).
    pub fn check_outbox(&self, next_seq: u64) -> PortResult<()> {
        let starts = self.outbox.first().is_none_or(|entry| entry.seq >= next_seq);
        let goes_on = self.outbox.iter().zip(self.outbox.iter().skip(1)).all(|(a, b)| a.seq + 1 == b.seq);
        if starts && goes_on {
            return Ok(());
        }
        let reason = format!("the outbox goes on at {next_seq} by one");
        Err(PortError::caused(ErrorKind::Invalid, "adding outbox entries out of sequence", reason))
    }
}

/// Whether a write was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It was.
    Stored,
    /// Somebody else owns the stage: drop the memory and claim again.
    Fenced,
}

/// The port. See the module for its guarantees.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Takes the stage over (S2) and answers its state (S4).
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)>;

    /// Moves state, offset and outbox (S1, S3).
    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome>;

    /// Removes outbox entries up to and with `through`.
    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome>;

    /// What the last commit left, without taking over: for reports and consoles.
    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>>;
}
