//! Two stages of one partition in one process: every record is fetched and read once for both.
//!
//! Must not mix them: each has its own state, offset, outbox and owner, as if it ran alone. Invariants: a
//! stage that is ahead of the other steps no record twice; an error or a fence of one drops both from
//! memory, and each is loaded anew from its own last commit.

use parking_crds::duration::Duration;

use super::stage::{Owned, Stage, StageError, StageRunner, Turn};
use crate::{domain::record::Reading, ports::state_store::Outcome};

/// Runs two stages on the same partition of one log.
pub struct PairRunner<A, B> {
    first: StageRunner<A>,
    second: StageRunner<B>,
}

impl<A: Stage, B: Stage> PairRunner<A, B> {
    /// Both must read the same partition.
    pub fn new(first: StageRunner<A>, second: StageRunner<B>) -> Self {
        Self { first, second }
    }

    /// The two.
    pub fn runners(&self) -> (&StageRunner<A>, &StageRunner<B>) {
        (&self.first, &self.second)
    }

    /// One turn of the loop, for both.
    pub async fn turn(&mut self) -> Result<Turn, StageError> {
        let (Some(mut first), Some(mut second)) = (self.first.take().await?, self.second.take().await?)
        else {
            return Ok(Turn::Fenced);
        };
        let fetched = self.first.fetch(first.next.min(second.next)).await?;
        let at_end = fetched.records.is_empty();
        for (offset, bytes) in fetched.iter() {
            let reading = Reading::of(bytes);
            let full = self.first.step_read(offset, &reading, &mut first);
            if (self.second.step_read(offset, &reading, &mut second) || full)
                && self.commit(&mut first, &mut second).await? == Outcome::Fenced
            {
                return Ok(Turn::Fenced);
            }
        }
        let due = at_end || self.first.is_due(&first) || self.second.is_due(&second);
        if due && self.commit(&mut first, &mut second).await? == Outcome::Fenced {
            return Ok(Turn::Fenced);
        }
        self.first.put(first);
        self.second.put(second);
        Ok(if at_end { Turn::Idle } else { Turn::Advanced })
    }

    /// Two commits at once share one sync of the store.
    async fn commit(&self, first: &mut Owned<A>, second: &mut Owned<B>) -> Result<Outcome, StageError> {
        match tokio::join!(self.first.commit(first), self.second.commit(second)) {
            (Ok(Outcome::Stored), Ok(Outcome::Stored)) => Ok(Outcome::Stored),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Ok(Outcome::Fenced),
        }
    }

    /// Completes when there is something to step.
    pub async fn wait(&self) -> Result<(), StageError> {
        self.first.wait().await
    }

    /// Whether it is the first stage's duty to tell the time in silence, and there is a time to tell.
    pub fn tells_time(&self) -> bool {
        self.first.tells_time()
    }

    /// Tells the partition that so much time went by since its last record.
    pub async fn tick(&self, tenant: &str, elapsed: Duration) -> Result<(), StageError> {
        self.first.tick(tenant, elapsed).await
    }
}

#[cfg(test)]
mod tests;
