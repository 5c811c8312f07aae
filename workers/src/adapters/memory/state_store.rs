//! The state store in memory, and the live view beside it.
//!
//! A checkpoint of it can be put back, as a store does that fails over to a replica that lags, and it can be
//! emptied.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::locked;
use crate::ports::{
    PortResult,
    event_log::{Offset, Stream},
    live_view::{LiveKind, LiveRows, LiveView},
    state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Stored, Token},
};

#[derive(Clone, Debug, Default)]
struct Stage {
    token: Option<Token>,
    position: Option<(Uuid, Offset)>,
    blocks: BTreeMap<BlockKey, Bytes>,
    outbox: BTreeMap<u64, (Stream, Bytes)>,
    next_seq: u64,
    live: BTreeMap<(LiveKind, Uuid), Bytes>,
}

impl Stage {
    fn stored(&self) -> Option<Stored> {
        let (log_id, next_offset) = self.position?;
        let entry = |(seq, (stream, record)): (&u64, &(Stream, Bytes))| OutboxEntry {
            seq: *seq,
            stream: *stream,
            record: record.clone(),
        };
        Some(Stored {
            log_id,
            next_offset,
            blocks: self.blocks.iter().map(|(key, block)| (*key, block.clone())).collect(),
            outbox: self.outbox.iter().map(entry).collect(),
            next_seq: self.next_seq,
        })
    }

    fn owned_by(&self, token: Token) -> bool {
        self.token == Some(token)
    }

    fn apply(&mut self, commit: Commit) {
        self.position = Some((commit.log_id, commit.next));
        for (key, block) in commit.blocks {
            match block {
                Some(block) => self.blocks.insert(key, block),
                None => self.blocks.remove(&key),
            };
        }
        for entry in commit.outbox {
            self.next_seq = entry.seq + 1;
            self.outbox.insert(entry.seq, (entry.stream, entry.record));
        }
    }
}

/// What a store held at some time.
#[derive(Clone, Debug)]
pub struct StateCheckpoint {
    stages: BTreeMap<StageKey, Stage>,
}

/// See the module. A clone is another handle on the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStateStore {
    stages: Arc<Mutex<BTreeMap<StageKey, Stage>>>,
}

impl MemoryStateStore {
    /// Everything as it is now.
    pub fn checkpoint(&self) -> StateCheckpoint {
        StateCheckpoint { stages: locked(&self.stages).clone() }
    }

    /// Puts a checkpoint back: later commits, trims and claims are forgotten.
    pub fn roll_back(&self, to: StateCheckpoint) {
        *locked(&self.stages) = to.stages;
    }

    /// What a reader sees of the rows of a kind.
    pub fn shown(&self, kind: LiveKind) -> BTreeMap<Uuid, Bytes> {
        let stages = locked(&self.stages);
        let rows = stages.values().flat_map(|stage| &stage.live);
        rows.filter(|((of, _), _)| *of == kind).map(|((_, id), row)| (*id, row.clone())).collect()
    }

    /// Forgets everything, claims too.
    pub fn flush(&self) {
        locked(&self.stages).clear();
    }
}

#[async_trait]
impl StateStore for MemoryStateStore {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let mut stages = locked(&self.stages);
        let stage = stages.entry(stage.clone()).or_default();
        let epoch = stage.token.map_or(1, |token| token.epoch + 1);
        let token = Token { owner, epoch };
        stage.token = Some(token);
        Ok((token, stage.stored()))
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let mut stages = locked(&self.stages);
        let Some(stage) = stages.get_mut(stage).filter(|stage| stage.owned_by(commit.token)) else {
            return Ok(Outcome::Fenced);
        };
        if stage.position.map_or(0, |(_, next)| next) != commit.base {
            return Ok(Outcome::Fenced);
        }
        commit.check_outbox(stage.next_seq)?;
        stage.apply(commit);
        Ok(Outcome::Stored)
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        let mut stages = locked(&self.stages);
        let Some(stage) = stages.get_mut(stage).filter(|stage| stage.owned_by(token)) else {
            return Ok(Outcome::Fenced);
        };
        stage.outbox.retain(|seq, _| *seq > through);
        Ok(Outcome::Stored)
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        Ok(locked(&self.stages).get(stage).and_then(Stage::stored))
    }
}

#[async_trait]
impl LiveView for MemoryStateStore {
    async fn show(&self, stage: &StageKey, token: Token, rows: LiveRows) -> PortResult<Outcome> {
        let mut stages = locked(&self.stages);
        let Some(stage) = stages.get_mut(stage).filter(|stage| stage.owned_by(token)) else {
            return Ok(Outcome::Fenced);
        };
        let LiveRows { kind, rows, all } = rows;
        for (id, row) in rows {
            match row {
                Some(row) => stage.live.insert((kind, id), row),
                None => stage.live.remove(&(kind, id)),
            };
        }
        if let Some(all) = all {
            stage.live.retain(|(of, id), _| *of != kind || all.contains(id));
        }
        Ok(Outcome::Stored)
    }
}
