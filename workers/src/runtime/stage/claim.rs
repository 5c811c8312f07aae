//! How an owner takes a stage over, and what it does where the store has lost the state.
//!
//! Invariants: a state that the log still reaches is gone on from, even one that is older than a snapshot, as
//! stepping again leads to the same; else the newest snapshot that can be read and that the log reaches is put
//! back, whole and before anything is stepped. A claim that needs no snapshot does not fail for the want of one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Owned, RuleNews, Stage, StageError, StageRunner, account::bytes_of};
use crate::{
    ports::{
        event_log::{Bounds, Offset, Stream, StreamPartition},
        state_store::{Commit, Outcome, StageKey, Stored, Token},
    },
    runtime::{
        outputs::Outputs,
        snapshot::{Snapshot, Snapshots},
    },
    sentence::sentence,
};

/// The stage's partition of the log.
struct Reach {
    log_id: Uuid,
    start: Offset,
    end: Offset,
}

/// What a claim goes on from.
enum Ground {
    State(Stored),
    Nothing,
    Fenced,
}

impl<S: Stage> StageRunner<S> {
    pub(super) async fn claim(&mut self) -> Result<Option<Owned<S>>, StageError> {
        let owner = (self.draw_owner)();
        let (token, stored) = self.ports.store.claim(&self.key, owner).await?;
        // Asked after the claim: until then the owner before may append and commit beyond any end.
        let log_id = self.ports.log.log_id(Stream::Events).await?;
        let at = StreamPartition { stream: Stream::Events, partition: self.key.partition };
        let Bounds { start, end } = self.ports.log.bounds(at).await?;
        let reach = Reach { log_id, start, end };
        let mut stage = (self.make)();
        let (mut base, mut next, mut next_seq, mut stored_bytes) = (0, start, 0, 0);
        let known = self.losses.rebuilt.take();
        let ground = self.ground(token, stored, &reach).await;
        self.count_rebuild(known);
        match ground? {
            Ground::Fenced => return Ok(None),
            Ground::Nothing => {}
            Ground::State(stored) => {
                stage.restore(&stored.blocks).map_err(|source| StageError::State {
                    role: self.key.role,
                    partition: self.key.partition,
                    source,
                })?;
                stored_bytes = bytes_of(&stored);
                (base, next, next_seq) = (stored.next_offset, stored.next_offset, stored.next_seq);
                if self.publish(token, stored.outbox).await? == Outcome::Fenced {
                    return Ok(None);
                }
            }
        }
        let mut account = stage.take_account();
        if self.live.is_some() {
            stage.note_rows();
        }
        let now = self.ports.clock.monotonic();
        self.rule_news =
            RuleNews { is_whole: true, rules: std::mem::take(&mut account.rules).into_iter().collect() };
        Ok(Some(Owned {
            account,
            stored_bytes,
            stage,
            token,
            log_id,
            base,
            next,
            stepped: 0,
            next_seq,
            outputs: Outputs::new(self.key.partition),
            since: None,
            outputs_since: None,
            kept: base,
            snapshot_due: now,
            show_due: now,
            shows_anew: true,
        }))
    }

    /// A claim may rebuild the state, or leave what is known of an earlier one.
    fn count_rebuild(&mut self, known: Option<Offset>) {
        match self.losses.rebuilt {
            Some(_) => self.losses.rebuilds += 1,
            None => self.losses.rebuilt = known,
        }
    }

    async fn ground(
        &mut self,
        token: Token,
        stored: Option<Stored>,
        reach: &Reach,
    ) -> Result<Ground, StageError> {
        if let Some(stored) = &stored {
            self.check_log(stored, reach)?;
        }
        match stored {
            Some(stored) if stored.next_offset >= reach.start => {
                self.tell_if_gone_back(stored.next_offset, reach).await;
                Ok(Ground::State(stored))
            }
            lost => match self.newest_snapshot(reach).await? {
                Some(snapshot) => self.rebuild(token, lost, snapshot).await,
                None => lost.map_or(Ok(Ground::Nothing), |lost| Err(self.expired(lost.next_offset, reach))),
            },
        }
    }

    fn check_log(&self, stored: &Stored, reach: &Reach) -> Result<(), StageError> {
        let StageKey { role, partition } = self.key;
        let (next, found, end) = (stored.next_offset, reach.log_id, reach.end);
        if stored.log_id != found || next > end {
            return Err(StageError::ForeignLog { role, partition, next, stored: stored.log_id, found, end });
        }
        Ok(())
    }

    fn expired(&self, next: Offset, reach: &Reach) -> StageError {
        let StageKey { role, partition } = self.key;
        StageError::Expired { role, partition, next, start: reach.start }
    }

    /// Reports a store that stands before a snapshot that was taken of it.
    async fn tell_if_gone_back(&mut self, next: Offset, reach: &Reach) {
        let Some(place) = &self.snapshots else { return };
        let StageKey { role, partition } = self.key;
        match Snapshots::of(place, &self.key, reach.log_id).offsets().await {
            Ok(offsets) => {
                if let Some(kept) = offsets.first().filter(|kept| **kept > next) {
                    self.losses.rebuilt = Some(next);
                    tracing::warn!(
                        role,
                        partition,
                        "the state store went back to offset {next} from {kept} or later: what follows is stepped again"
                    );
                }
            }
            Err(error) => {
                let error = sentence(&error);
                tracing::debug!(role, partition, "not known whether the state store went back: {error}");
            }
        }
    }

    /// The newest snapshot that can be read, of those that the log reaches.
    async fn newest_snapshot(&mut self, reach: &Reach) -> Result<Option<Snapshot>, StageError> {
        let Some(place) = &self.snapshots else { return Ok(None) };
        let StageKey { role, partition } = self.key;
        let snapshots = Snapshots::of(place, &self.key, reach.log_id);
        for next in snapshots.offsets().await?.into_iter().filter(|next| *next <= reach.end) {
            if next < reach.start {
                return Err(self.expired(next, reach));
            }
            match snapshots.read(next).await? {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error) => {
                    self.losses.rebuilt = Some(reach.start);
                    let error = sentence(&error);
                    tracing::warn!(role, partition, "the snapshot at offset {next} is passed over: {error}");
                }
            }
        }
        Ok(None)
    }

    /// Puts a snapshot back in place of what the store still holds.
    async fn rebuild(
        &mut self,
        token: Token,
        lost: Option<Stored>,
        snapshot: Snapshot,
    ) -> Result<Ground, StageError> {
        let Snapshot { log_id, next_offset: next, next_seq, blocks, .. } = snapshot;
        let StageKey { role, partition } = self.key;
        let held = lost.as_ref().map(|lost| lost.next_offset);
        tracing::warn!(
            role,
            partition,
            held,
            "the state store has lost the state: it is rebuilt from the snapshot at offset {next}"
        );
        self.losses.rebuilt = Some(next);
        let (older, outbox, used_seq) =
            lost.map_or_else(Default::default, |lost| (lost.blocks, lost.outbox, lost.next_seq));
        let removed = older.into_iter().map(|(key, _)| (key, None));
        let put_back = blocks.iter().map(|(key, block)| (*key, Some(block.clone())));
        let changed: BTreeMap<_, _> = removed.chain(put_back).collect();
        let commit = Commit {
            token,
            log_id,
            base: held.unwrap_or(0),
            next,
            blocks: changed.into_iter().collect(),
            outbox: Vec::new(),
        };
        match self.ports.store.commit(&self.key, commit).await? {
            Outcome::Fenced => Ok(Ground::Fenced),
            Outcome::Stored => {
                let next_seq = next_seq.max(used_seq);
                Ok(Ground::State(Stored { log_id, next_offset: next, blocks, outbox, next_seq }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
