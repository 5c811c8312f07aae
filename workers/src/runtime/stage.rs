//! The loop of a stage: fetch, step each record, commit state with offset and outbox, publish, trim.
//!
//! Must not know what a stage does. Invariants (G2, G3): nothing is published before it is committed;
//! the state in memory is dropped on every error and every fence, and loaded anew from the store. A stage
//! goes on without a snapshot that could not be written: no more than a loss of the store needs it.

mod account;
mod claim;
mod due;
mod error;
mod keep;
mod show;

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::{duration::Duration, event::Millis, worker_config::CommitSettings};
use smallvec::SmallVec;
use uuid::Uuid;

pub use account::{Account, RuleNews};
pub use error::StageError;

use super::{
    live::{LivePlace, LiveRow},
    occupancy::Totals,
    outputs::Outputs,
    snapshot::SnapshotPlace,
    tick,
};
use crate::ports::{
    clock::Clock,
    event_log::{EventLog, Offset, Partition, Records, Stream, StreamPartition},
    live_view::LiveKind,
    state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Token},
};

/// Why stored blocks could not be taken back.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A pure step over the records of one partition of `events`.
pub trait Stage: Send + Sync {
    /// The role, as stores and metrics name it.
    const ROLE: &'static str;

    /// Applies records in their order, [`GROUP`] at most.
    fn step(&mut self, records: &[(Offset, &[u8])], outputs: &mut Outputs);

    /// Blocks that changed since the last call.
    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)>;

    /// Newest event time, ms, where it is this stage's duty to tell the time in silence.
    fn time_to_tell(&self) -> Option<Millis> {
        None
    }

    /// What it made of its input so far.
    fn take_account(&mut self) -> Account {
        Account::default()
    }

    /// What its rows are about, where it has any to show.
    const ROWS: Option<LiveKind> = None;

    /// Begins to note which of its rows change; all count as changed.
    fn note_rows(&mut self) {}

    /// Whether some row changed since it was taken.
    fn has_changed_rows(&self) -> bool {
        false
    }

    /// Takes the next row that changed, as it stands now.
    fn next_row(&mut self) -> Option<LiveRow> {
        None
    }

    /// Ids of all its rows.
    fn row_ids(&self) -> Vec<Uuid> {
        Vec::new()
    }

    /// Takes all stored blocks back; called once, on a new stage.
    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError>;
}

/// Records that are stepped at a time: enough to fetch what they touch from memory at once, few enough
/// that it is still near when they are stepped.
pub const GROUP: usize = 32;

/// When a stage commits, at the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLimits {
    /// Records stepped.
    pub records: u64,
    /// Outputs waiting.
    pub outputs: usize,
    /// Time since the first record.
    pub age: Duration,
    /// Time since the first output; `None` commits as soon as nothing is left to read.
    pub outbox_delay: Option<Duration>,
    /// Bytes per fetch.
    pub fetch_bytes: usize,
}

impl Default for CommitLimits {
    fn default() -> Self {
        Self {
            records: 200_000,
            outputs: 50_000,
            age: Duration::from_secs(1),
            outbox_delay: None,
            fetch_bytes: 1 << 20,
        }
    }
}

impl From<CommitSettings> for CommitLimits {
    /// Those of a worker.
    fn from(settings: CommitSettings) -> Self {
        Self {
            outputs: usize::try_from(settings.max_blocks).unwrap_or(usize::MAX),
            age: settings.interval,
            outbox_delay: Some(settings.outbox_delay),
            ..Self::default()
        }
    }
}

/// The ports of a stage.
#[derive(Clone)]
pub struct StagePorts {
    /// Where records come from and outputs go.
    pub log: Arc<dyn EventLog>,
    /// Where state is kept.
    pub store: Arc<dyn StateStore>,
    /// For the age of a commit only.
    pub clock: Arc<dyn Clock>,
}

/// What one turn of the loop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Records were stepped.
    Advanced,
    /// All records are stepped, and are committed when that is due.
    Waiting,
    /// All records are stepped, committed and published.
    Idle,
    /// Another owner took over; the memory was dropped.
    Fenced,
}

/// Runs one stage on one partition.
pub struct StageRunner<S> {
    ports: StagePorts,
    key: StageKey,
    limits: CommitLimits,
    make: Box<dyn Fn() -> S + Send + Sync>,
    draw_owner: Box<dyn FnMut() -> Uuid + Send + Sync>,
    snapshots: Option<SnapshotPlace>,
    live: Option<LivePlace>,
    owned: Option<Owned<S>>,
    losses: Losses,
    done: Totals,
    rule_news: RuleNews,
}

/// What went wrong with the keeping of a stage's state, for those who report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Where the state was taken up again after the store had last lost it or gone back.
    pub rebuilt: Option<Offset>,
    /// How often that happened.
    pub rebuilds: u64,
    /// Snapshots that could not be written.
    pub snapshots: u64,
}

/// A stage in memory, and where it stands.
struct Owned<S> {
    stage: S,
    token: Token,
    log_id: Uuid,
    base: Offset,
    /// First offset not yet stepped.
    next: Offset,
    /// Records stepped since the last commit.
    stepped: u64,
    next_seq: u64,
    outputs: Outputs,
    /// When the first record since the last commit was stepped.
    since: Option<Millis>,
    /// When the first output since the last commit was made.
    outputs_since: Option<Millis>,
    /// The committed offset that needs no snapshot: it has one, or was claimed.
    kept: Offset,
    /// When a later one needs a snapshot.
    snapshot_due: Millis,
    /// When rows that changed are shown.
    show_due: Millis,
    /// Rows that an earlier owner left may still be shown.
    shows_anew: bool,
    /// As of the base.
    account: Account,
    /// Bytes of its blocks, when they were last read from the store.
    stored_bytes: u64,
}

impl<S: Stage> StageRunner<S> {
    /// A runner that owns nothing yet. `make` gives an empty stage, `draw_owner` a new random name.
    pub fn new(
        ports: StagePorts,
        partition: Partition,
        limits: CommitLimits,
        make: impl Fn() -> S + Send + Sync + 'static,
        draw_owner: impl FnMut() -> Uuid + Send + Sync + 'static,
    ) -> Self {
        let key = StageKey { role: S::ROLE, partition };
        Self {
            ports,
            key,
            limits,
            make: Box::new(make),
            draw_owner: Box::new(draw_owner),
            snapshots: None,
            live: None,
            owned: None,
            losses: Losses::default(),
            done: Totals::default(),
            rule_news: RuleNews::default(),
        }
    }

    /// The same, with snapshots of its state.
    #[must_use]
    pub fn with_snapshots(self, place: SnapshotPlace) -> Self {
        Self { snapshots: Some(place), ..self }
    }

    /// The same, which shows its rows.
    #[must_use]
    pub fn with_live_rows(self, place: LivePlace) -> Self {
        Self { live: Some(place), ..self }
    }

    /// Where the stage reads.
    pub fn source(&self) -> StreamPartition {
        StreamPartition { stream: Stream::Events, partition: self.key.partition }
    }

    /// First offset not yet stepped, if the stage is owned.
    pub fn next_offset(&self) -> Option<Offset> {
        self.owned.as_ref().map(|owned| owned.next)
    }

    /// First offset not yet committed, if the stage is owned.
    pub fn committed_offset(&self) -> Option<Offset> {
        self.owned.as_ref().map(|owned| if owned.stepped == 0 { owned.next } else { owned.base })
    }

    /// The stage in memory, if it is owned.
    pub fn stage(&self) -> Option<&S> {
        self.owned.as_ref().map(|owned| &owned.stage)
    }

    /// What went wrong with the keeping of its state so far.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// One turn of the loop.
    pub async fn turn(&mut self) -> Result<Turn, StageError> {
        // Taken out until the end, so that an error drops it.
        let owned = match self.owned.take() {
            Some(owned) => Some(owned),
            None => self.claim().await?,
        };
        let Some(mut owned) = owned else { return Ok(Turn::Fenced) };
        let fetched = self.ports.log.read(self.source(), owned.next, self.limits.fetch_bytes).await?;
        let at_end = fetched.records.is_empty();
        let mut records = fetched.iter();
        loop {
            let room = usize::try_from(self.room(&owned)).unwrap_or(GROUP);
            let group: SmallVec<[_; GROUP]> = records.by_ref().take(room.clamp(1, GROUP)).collect();
            let Some((last, _)) = group.last() else { break };
            owned.stage.step(&group, &mut owned.outputs);
            owned.next = last + 1;
            owned.stepped += group.len() as u64;
            owned.since.get_or_insert_with(|| self.ports.clock.monotonic());
            if !owned.outputs.is_empty() {
                owned.outputs_since.get_or_insert_with(|| self.ports.clock.monotonic());
            }
            if self.room(&owned) == 0 && self.commit(&mut owned).await? == Outcome::Fenced {
                return Ok(Turn::Fenced);
            }
        }
        let is_due = self.is_due(&owned) || (at_end && self.limits.outbox_delay.is_none());
        if is_due && self.commit(&mut owned).await? == Outcome::Fenced {
            return Ok(Turn::Fenced);
        }
        let turn = match (at_end, owned.stepped) {
            (false, _) => Turn::Advanced,
            (true, 0) => Turn::Idle,
            (true, _) => Turn::Waiting,
        };
        self.owned = Some(owned);
        Ok(turn)
    }

    /// Commits and publishes what was stepped, and writes a snapshot, whether that is due or not.
    pub async fn settle(&mut self) -> Result<(), StageError> {
        let Some(mut owned) = self.owned.take() else { return Ok(()) };
        owned.snapshot_due = self.ports.clock.monotonic();
        owned.show_due = owned.snapshot_due;
        if self.commit(&mut owned).await? == Outcome::Stored {
            self.owned = Some(owned);
        }
        Ok(())
    }

    /// Records that may still be stepped before a commit.
    fn room(&self, owned: &Owned<S>) -> u64 {
        self.limits.records.saturating_sub(owned.stepped)
    }

    /// Completes when there is something to step.
    pub async fn wait(&self) -> Result<(), StageError> {
        let next = self.owned.as_ref().map_or(0, |owned| owned.next);
        Ok(self.ports.log.arrived(self.source(), next).await?)
    }

    /// Whether it is this stage's duty to tell the time in silence, and there is a time to tell.
    pub fn tells_time(&self) -> bool {
        self.stage().and_then(Stage::time_to_tell).is_some()
    }

    /// Tells the partition, by a record in its log, that so much time went by since its last one.
    pub async fn tick(&self, tenant: &str, elapsed: Duration) -> Result<(), StageError> {
        let Some(owned) = &self.owned else { return Ok(()) };
        let Some(newest) = owned.stage.time_to_tell() else { return Ok(()) };
        let tick = tick::record(tenant, self.key.partition, owned.next, newest + elapsed.millis());
        let parts = vec![(self.source(), std::iter::once(tick).collect())];
        self.ports.log.append(parts).await?;
        Ok(())
    }

    /// Stores what was stepped since the last commit, publishes it, and writes a snapshot and rows where they are due.
    async fn commit(&mut self, owned: &mut Owned<S>) -> Result<Outcome, StageError> {
        (owned.since, owned.outputs_since) = (None, None);
        if std::mem::take(&mut owned.stepped) > 0 && self.commit_stepped(owned).await? == Outcome::Fenced {
            return Ok(Outcome::Fenced);
        }
        if self.keep(owned).await == Outcome::Fenced {
            return Ok(Outcome::Fenced);
        }
        Ok(self.show(owned).await)
    }

    async fn commit_stepped(&mut self, owned: &mut Owned<S>) -> Result<Outcome, StageError> {
        let outbox: Vec<_> = (owned.next_seq..)
            .zip(owned.outputs.take())
            .map(|(seq, (stream, record))| OutboxEntry { seq, stream, record })
            .collect();
        let next_seq = owned.next_seq + outbox.len() as u64;
        let commit = Commit {
            token: owned.token,
            log_id: owned.log_id,
            base: owned.base,
            next: owned.next,
            blocks: owned.stage.changed_blocks(),
            outbox: outbox.clone(),
        };
        if self.ports.store.commit(&self.key, commit).await? == Outcome::Fenced {
            return Ok(Outcome::Fenced);
        }
        (owned.base, owned.next_seq) = (owned.next, next_seq);
        self.take_account(owned);
        self.publish(owned.token, outbox).await
    }

    async fn publish(&self, token: Token, outbox: Vec<OutboxEntry>) -> Result<Outcome, StageError> {
        let Some(through) = outbox.last().map(|entry| entry.seq) else { return Ok(Outcome::Stored) };
        let part = |stream| {
            let records: Records =
                outbox.iter().filter(|entry| entry.stream == stream).map(|entry| &entry.record).collect();
            (StreamPartition { stream, partition: self.key.partition }, records)
        };
        let parts = Stream::ALL.into_iter().map(part).filter(|(_, records)| !records.is_empty()).collect();
        self.ports.log.append(parts).await?;
        Ok(self.ports.store.trim(&self.key, token, through).await?)
    }
}

#[cfg(test)]
mod tests;
