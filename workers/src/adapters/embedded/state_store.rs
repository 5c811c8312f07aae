//! The state store in a data folder: the same atomic writes as the log.
//!
//! Fencing is decided by the writer, which sees every claim and commit in one order.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fjall::{Readable, Snapshot};
use tokio::{sync::oneshot, task};
use uuid::Uuid;

use super::{
    database::{Shared, Tables, closed, read_error},
    keys,
    writer::{Reply, StageMeta, Work},
};
use crate::{
    adapters::outbox,
    ports::{
        ErrorKind, PortError, PortResult,
        state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Stored, Token},
    },
};

const LOADING: &str = "loading a stage's state";

/// See the module. A clone is another handle on the same store.
#[derive(Clone)]
pub struct EmbeddedStateStore {
    shared: Arc<Shared>,
}

impl EmbeddedStateStore {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn ask<T>(&self, attempt: &str, work: impl FnOnce(Reply<T>) -> Work) -> PortResult<T> {
        let (reply, answer) = oneshot::channel();
        if !self.shared.send(work(reply)).await {
            return Err(closed(attempt));
        }
        answer.await.map_err(|_| closed(attempt))?
    }
}

#[async_trait]
impl StateStore for EmbeddedStateStore {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let key = stage.clone();
        let token = self.ask("claiming a stage", |reply| Work::Claim { stage: key, owner, reply }).await?;
        Ok((token, self.peek(stage).await?))
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let stage = stage.clone();
        self.ask("committing a stage", |reply| Work::Commit { stage, commit, reply }).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        let stage = stage.clone();
        self.ask("trimming an outbox", |reply| Work::Trim { stage, token, through, reply }).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        let (tables, stage) = (self.shared.tables.clone(), stage.clone());
        let load = task::spawn_blocking(move || load(&tables, &stage));
        load.await.map_err(|error| PortError::caused(ErrorKind::Closed, LOADING, error))?
    }
}

/// All of a stage as of one moment.
fn load(tables: &Tables, stage: &StageKey) -> PortResult<Option<Stored>> {
    let failed = |error| read_error(LOADING, error);
    let moment = tables.database.snapshot();
    let Some(meta) = moment.get(&tables.meta, keys::stage(stage)).map_err(failed)? else { return Ok(None) };
    let meta: StageMeta =
        postcard::from_bytes(&meta).map_err(|error| PortError::caused(ErrorKind::Corrupt, LOADING, error))?;
    let Some((log_id, next_offset)) = meta.position else { return Ok(None) };
    let prefix = keys::stage_prefix(stage);
    let blocks = load_blocks(&moment, tables, &prefix)?;
    let outbox = load_outbox(&moment, tables, &prefix, &meta)?;
    Ok(Some(Stored { log_id, next_offset, blocks, outbox, next_seq: meta.next_seq }))
}

fn load_blocks(moment: &Snapshot, tables: &Tables, prefix: &[u8]) -> PortResult<Vec<(BlockKey, Bytes)>> {
    let open = |found: fjall::Guard| {
        let (key, block) = found.into_inner().map_err(|error| read_error(LOADING, error))?;
        let key = keys::block_key(prefix, &key).ok_or_else(misplaced)?;
        Ok((key, Bytes::from(block)))
    };
    moment.prefix(&tables.blocks, prefix).map(open).collect()
}

fn load_outbox(
    moment: &Snapshot,
    tables: &Tables,
    prefix: &[u8],
    meta: &StageMeta,
) -> PortResult<Vec<OutboxEntry>> {
    let mut entries = Vec::new();
    for first in &meta.pieces {
        let piece = moment.get(&tables.outbox, keys::outbox(prefix, *first));
        let piece = piece.map_err(|error| read_error(LOADING, error))?.ok_or_else(misplaced)?;
        entries.extend(outbox::unpack(*first, &Bytes::from(piece)).ok_or_else(misplaced)?);
    }
    entries.retain(|entry| entry.seq >= meta.first_seq);
    Ok(entries)
}

fn misplaced() -> PortError {
    PortError::caused(ErrorKind::Corrupt, LOADING, "a stored key or entry has another form")
}
