//! The writer: the one thread that changes the database, by groups.
//!
//! Invariants: a group is one atomic batch; nobody is answered and no end moves before it is durable;
//! after a failed group nothing is written any more, since memory and disk may differ.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use fjall::{OwnedWriteBatch, PersistMode};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    batch::EncodedBatch,
    database::{Ends, Tables, error_kind},
    keys,
};
use crate::{
    adapters::outbox::{self, Piece},
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Mark, Offset, StreamPartition},
        state_store::{Commit, Outcome, StageKey, Token},
    },
};

/// A group that holds this much does not wait for more.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<PortResult<T>>;

/// What the writer is asked to do.
pub(super) enum Work {
    Append { parts: Vec<(StreamPartition, Vec<EncodedBatch>)>, mark: Option<Mark>, reply: Reply<Vec<Offset>> },
    Claim { stage: StageKey, owner: Uuid, reply: Reply<Token> },
    Commit { stage: StageKey, commit: Commit, reply: Reply<Outcome> },
    Trim { stage: StageKey, token: Token, through: u64, reply: Reply<Outcome> },
}

/// A stage's owner and position, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct StageMeta {
    pub(super) token: Option<(Uuid, u64)>,
    pub(super) position: Option<(Uuid, Offset)>,
    pub(super) next_seq: u64,
    /// Outbox entries below are gone.
    pub(super) first_seq: u64,
    /// First sequence of each piece of the outbox.
    pub(super) pieces: Vec<u64>,
}

impl StageMeta {
    fn owned_by(&self, token: Token) -> bool {
        self.token == Some((token.owner, token.epoch))
    }
}

/// An answer that waits for its group.
enum Answer {
    Append(Reply<Vec<Offset>>, Vec<Offset>),
    Claim(Reply<Token>, Token),
    Outcome(Reply<Outcome>, Outcome),
}

impl Answer {
    fn give(self, failed: Option<&PortFailure>) {
        // A caller that went away needs no answer.
        match self {
            Self::Append(reply, firsts) => drop(reply.send(answer(firsts, failed))),
            Self::Claim(reply, token) => drop(reply.send(answer(token, failed))),
            Self::Outcome(reply, outcome) => drop(reply.send(answer(outcome, failed))),
        }
    }
}

fn answer<T>(value: T, failed: Option<&PortFailure>) -> PortResult<T> {
    match failed {
        None => Ok(value),
        Some(failure) => Err(failure.to_error()),
    }
}

/// A failed group, told to each of its callers.
#[derive(Clone)]
struct PortFailure {
    kind: ErrorKind,
    source: Arc<fjall::Error>,
}

impl PortFailure {
    fn to_error(&self) -> PortError {
        PortError::caused(self.kind, "writing to the data folder", Arc::clone(&self.source))
    }
}

struct Group {
    batch: OwnedWriteBatch,
    bytes: usize,
    ends: BTreeMap<StreamPartition, Offset>,
    answers: Vec<Answer>,
    must_sync: bool,
}

struct Writer {
    tables: Tables,
    ends: Arc<Ends>,
    stages: BTreeMap<StageKey, StageMeta>,
    failed: Option<PortFailure>,
}

/// Starts the writer; it ends when `queue` closes.
pub(super) fn start(
    tables: Tables,
    ends: Arc<Ends>,
    queue: mpsc::Receiver<Work>,
) -> io::Result<JoinHandle<()>> {
    let writer = Writer { tables, ends, stages: BTreeMap::new(), failed: None };
    thread::Builder::new().name("data-writer".to_owned()).spawn(move || writer.run(queue))
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(first) = queue.blocking_recv() {
            let batch = self.tables.database.batch();
            let mut group =
                Group { batch, bytes: 0, ends: BTreeMap::new(), answers: Vec::new(), must_sync: false };
            self.gather(&mut group, first);
            while group.bytes < GROUP_BYTES
                && let Ok(next) = queue.try_recv()
            {
                self.gather(&mut group, next);
            }
            self.write(group);
        }
    }

    fn gather(&mut self, group: &mut Group, work: Work) {
        match work {
            Work::Append { parts, mark, reply } => self.append(group, parts, mark, reply),
            Work::Claim { stage, owner, reply } => match self.claim(group, &stage, owner) {
                Ok(token) => group.answers.push(Answer::Claim(reply, token)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Work::Commit { stage, commit, reply } => match self.commit(group, &stage, commit) {
                Ok(outcome) => group.answers.push(Answer::Outcome(reply, outcome)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Work::Trim { stage, token, through, reply } => match self.trim(group, &stage, token, through) {
                Ok(outcome) => group.answers.push(Answer::Outcome(reply, outcome)),
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    fn append(
        &mut self,
        group: &mut Group,
        parts: Vec<(StreamPartition, Vec<EncodedBatch>)>,
        mark: Option<Mark>,
        reply: Reply<Vec<Offset>>,
    ) {
        let mut firsts = Vec::with_capacity(parts.len());
        for (at, batches) in parts {
            let durable = || self.ends.of(at).map_or(0, |end| *end.borrow());
            let end = group.ends.entry(at).or_insert_with(durable);
            firsts.push(*end);
            for EncodedBatch { count, value } in batches {
                group.bytes += value.len();
                group.batch.insert(&self.tables.records, keys::batch(at, *end), value);
                *end += Offset::from(count);
            }
        }
        if let Some(Mark { name, position }) = mark {
            group.batch.insert(&self.tables.meta, keys::mark(&name), position.as_ref());
        }
        group.must_sync = true;
        group.answers.push(Answer::Append(reply, firsts));
    }

    fn claim(&mut self, group: &mut Group, stage: &StageKey, owner: Uuid) -> PortResult<Token> {
        let mut meta = self.stage(stage)?;
        let epoch = meta.token.map_or(1, |(_, epoch)| epoch + 1);
        meta.token = Some((owner, epoch));
        group.must_sync = true;
        self.put_stage(group, stage, meta)?;
        Ok(Token { owner, epoch })
    }

    fn commit(&mut self, group: &mut Group, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let mut meta = self.stage(stage)?;
        if !meta.owned_by(commit.token) || meta.position.map_or(0, |(_, next)| next) != commit.base {
            return Ok(Outcome::Fenced);
        }
        commit.check_outbox(meta.next_seq)?;
        let prefix = keys::stage_prefix(stage);
        for (key, block) in commit.blocks {
            let key = keys::block(&prefix, key);
            match block {
                Some(block) => {
                    group.bytes += block.len();
                    group.batch.insert(&self.tables.blocks, key, block);
                }
                None => group.batch.remove(&self.tables.blocks, key),
            }
        }
        for Piece { first, value, .. } in outbox::pack(&commit.outbox) {
            group.bytes += value.len();
            group.batch.insert(&self.tables.outbox, keys::outbox(&prefix, first), value);
            meta.pieces.push(first);
        }
        meta.next_seq = commit.outbox.last().map_or(meta.next_seq, |entry| entry.seq + 1);
        meta.position = Some((commit.log_id, commit.next));
        group.must_sync = true;
        self.put_stage(group, stage, meta)?;
        Ok(Outcome::Stored)
    }

    /// Not worth a sync of its own: a trim that a power cut undoes only repeats what was sent.
    fn trim(
        &mut self,
        group: &mut Group,
        stage: &StageKey,
        token: Token,
        through: u64,
    ) -> PortResult<Outcome> {
        let mut meta = self.stage(stage)?;
        if !meta.owned_by(token) {
            return Ok(Outcome::Fenced);
        }
        let after = through.saturating_add(1).min(meta.next_seq);
        let prefix = keys::stage_prefix(stage);
        let ends = meta.pieces.iter().skip(1).copied().chain([meta.next_seq]);
        let gone = ends.take_while(|end| *end <= after).count().min(meta.pieces.len());
        for first in meta.pieces.drain(..gone) {
            group.batch.remove(&self.tables.outbox, keys::outbox(&prefix, first));
        }
        meta.first_seq = meta.first_seq.max(after);
        self.put_stage(group, stage, meta)?;
        Ok(Outcome::Stored)
    }

    fn stage(&self, stage: &StageKey) -> PortResult<StageMeta> {
        match self.stages.get(stage) {
            Some(meta) => Ok(meta.clone()),
            None => read_stage(&self.tables, stage).map(Option::unwrap_or_default),
        }
    }

    fn put_stage(&mut self, group: &mut Group, stage: &StageKey, meta: StageMeta) -> PortResult<()> {
        let value = postcard::to_allocvec(&meta)
            .map_err(|error| PortError::caused(ErrorKind::Invalid, "writing a stage's position", error))?;
        group.batch.insert(&self.tables.meta, keys::stage(stage), value);
        self.stages.insert(stage.clone(), meta);
        Ok(())
    }

    fn write(&mut self, group: Group) {
        if self.failed.is_none() {
            let mode = if group.must_sync { PersistMode::SyncData } else { PersistMode::Buffer };
            if let Err(error) = group.batch.durability(Some(mode)).commit() {
                self.fail(group.answers, error);
                return;
            }
            for (at, end) in group.ends {
                if let Some(durable) = self.ends.of(at) {
                    durable.send_replace(end);
                }
            }
        }
        for answer in group.answers {
            answer.give(self.failed.as_ref());
        }
    }

    /// The group in hand learns the reason, everything later that the folder is closed.
    fn fail(&mut self, answers: Vec<Answer>, error: fjall::Error) {
        let first = PortFailure { kind: error_kind(&error), source: Arc::new(error) };
        tracing::error!(error = %first.source, "the data folder takes no more writes");
        for answer in answers {
            answer.give(Some(&first));
        }
        self.failed = Some(PortFailure { kind: ErrorKind::Closed, ..first });
    }
}

/// A stage's owner and position as the database holds them.
pub(super) fn read_stage(tables: &Tables, stage: &StageKey) -> PortResult<Option<StageMeta>> {
    let attempt = "reading a stage's position";
    let stored = tables.meta.get(keys::stage(stage));
    let stored = stored.map_err(|error| super::database::read_error(attempt, error))?;
    let decode = |bytes: fjall::Slice| postcard::from_bytes(&bytes);
    stored.map(decode).transpose().map_err(|error| PortError::caused(ErrorKind::Corrupt, attempt, error))
}
