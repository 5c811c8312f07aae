//! The state store, and what a careless one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_workers::{
    adapters::memory::MemoryStateStore,
    domain::track::Tracker,
    ports::{
        PortResult,
        event_log::Stream,
        state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::{Ledger, Plant, let_others_go};
use crate::{faults::FaultKind, trace::Trace};

/// Revisions that each owner has told, by session.
type Revisions = BTreeMap<(Uuid, String), u64>;

/// See the module. Checks besides that nobody but the last claimant ever commits (S2).
#[derive(Clone)]
pub(crate) struct Store {
    inner: MemoryStateStore,
    plant: Plant,
    ledger: Ledger,
    trace: Trace,
    revisions: Arc<Mutex<Revisions>>,
}

impl Store {
    pub(crate) fn new(inner: MemoryStateStore, plant: Plant, ledger: Ledger, trace: Trace) -> Self {
        Self { inner, plant, ledger, trace, revisions: Arc::default() }
    }

    async fn apply(&self, stage: &StageKey, mut commit: Commit) -> PortResult<Outcome> {
        let current = self.ledger.owner(stage).unwrap_or(commit.token);
        match self.plant {
            Plant::NoFence => {
                commit.token = current;
                self.rebase(stage, &mut commit).await?;
            }
            Plant::BaseNotChecked => self.rebase(stage, &mut commit).await?,
            Plant::ZombieTokenAccepted => commit.token = current,
            Plant::OutboxTrimmedBeforePublish => commit.outbox.clear(),
            Plant::OffsetBeforeState => {
                let offset = Commit { blocks: vec![], outbox: vec![], ..commit.clone() };
                if self.inner.commit(stage, offset).await? == Outcome::Fenced {
                    return Ok(Outcome::Fenced);
                }
                let_others_go().await;
                commit.base = commit.next;
            }
            Plant::StateBeforeOffset => {
                let blocks = Commit { next: commit.base, outbox: vec![], ..commit.clone() };
                if self.inner.commit(stage, blocks).await? == Outcome::Fenced {
                    return Ok(Outcome::Fenced);
                }
                let_others_go().await;
                commit.blocks.clear();
            }
            Plant::RevisionsRestarted => self.restart_revisions(&mut commit),
            // Only a rebuild brings blocks and no output where nothing is stored.
            Plant::ZonesNotRebuilt if commit.outbox.is_empty() && self.inner.peek(stage).await?.is_none() => {
                commit.blocks.retain(|(key, _)| key.class != Tracker::CLASS);
            }
            _ => {}
        }
        self.inner.commit(stage, commit).await
    }

    /// Makes a commit stand on whatever the store holds.
    async fn rebase(&self, stage: &StageKey, commit: &mut Commit) -> PortResult<()> {
        if let Some(stored) = self.inner.peek(stage).await? {
            commit.base = stored.next_offset;
            for (seq, entry) in (stored.next_seq..).zip(&mut commit.outbox) {
                entry.seq = seq;
            }
        }
        Ok(())
    }

    fn restart_revisions(&self, commit: &mut Commit) {
        let mut told = self.revisions.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in commit.outbox.iter_mut().filter(|entry| entry.stream == Stream::Sessions) {
            let mut record: Value = serde_json::from_slice(&entry.record).unwrap();
            let Some(session) = record["session_id"].as_str() else { continue };
            let revision = told.entry((commit.token.owner, session.to_owned())).or_default();
            record["revision"] = (*revision).into();
            *revision += 1;
            entry.record = Bytes::from(record.to_string());
        }
    }
}

#[async_trait]
impl StateStore for Store {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let (token, mut stored) = self.inner.claim(stage, owner).await?;
        self.ledger.claimed(stage, token);
        if let Some(stored) = stored.as_mut().filter(|_| self.plant == Plant::OutboxForgottenByClaim) {
            stored.outbox.clear();
        }
        Ok((token, stored))
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let owner = self.ledger.owner(stage);
        let (token, base, next) = (commit.token, commit.base, commit.next);
        let outcome = self.apply(stage, commit).await?;
        let replaced = owner != Some(token);
        self.trace.note(format_args!("{}/{} commit {base}..{next} {outcome:?}", stage.role, stage.partition));
        if replaced {
            self.trace.struck(FaultKind::Zombie, 1);
        }
        if replaced && outcome == Outcome::Stored {
            let (role, partition) = (stage.role, stage.partition);
            self.trace
                .wrong(format!("{role}/{partition}: a commit of an owner that was replaced was stored"));
        }
        Ok(outcome)
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        let owner = self.ledger.owner(stage).unwrap_or(token);
        let careless = matches!(self.plant, Plant::NoFence | Plant::ZombieTokenAccepted);
        self.inner.trim(stage, if careless { owner } else { token }, through).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.inner.peek(stage).await
    }
}
