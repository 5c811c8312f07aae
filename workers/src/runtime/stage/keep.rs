//! When a stage writes a snapshot of its state, and what it holds.

use super::{Owned, Stage, StageRunner, account::bytes_of};
use crate::{
    ports::{PortResult, state_store::Outcome},
    runtime::snapshot::{SnapshotPlace, Snapshots},
    sentence::sentence,
};

impl<S: Stage> StageRunner<S> {
    /// Writes a snapshot where one is due. One that fails is tried again when the next is due.
    pub(super) async fn keep(&mut self, owned: &mut Owned<S>) -> Outcome {
        let Some(place) = self.snapshots.as_ref().filter(|_| self.needs_snapshot(owned)) else {
            return Outcome::Stored;
        };
        let now = self.ports.clock.monotonic();
        if now < owned.snapshot_due {
            return Outcome::Stored;
        }
        owned.snapshot_due = now + place.limits.age.millis();
        match self.write_snapshot(place, owned).await {
            Ok(Outcome::Stored) => owned.kept = owned.base,
            Ok(Outcome::Fenced) => return Outcome::Fenced,
            Err(error) => {
                self.losses.snapshots += 1;
                let (role, partition, error) = (self.key.role, self.key.partition, sentence(&error));
                tracing::warn!(role, partition, "a snapshot of the state is tried again later: {error}");
            }
        }
        Outcome::Stored
    }

    /// Writes down what the store holds: it answers the state of one moment, so that nobody who writes or empties
    /// it meanwhile spoils a snapshot, and nothing in memory needs to be encoded whole. What came before the base
    /// was published by this owner, whatever the outbox holds.
    async fn write_snapshot(&self, place: &SnapshotPlace, owned: &mut Owned<S>) -> PortResult<Outcome> {
        let stored = self.ports.store.peek(&self.key).await?;
        let own = stored.filter(|stored| stored.log_id == owned.log_id && stored.next_offset == owned.base);
        // Anything else is another owner's, or gone.
        let Some(own) = own else { return Ok(Outcome::Fenced) };
        owned.stored_bytes = bytes_of(&own);
        Snapshots::of(place, &self.key, owned.log_id).write(own, owned.next_seq).await?;
        Ok(Outcome::Stored)
    }
}
