//! The archive: moves every accepted event and every output of the stages into the lake, once (G4).
//!
//! The lake's own positions say where to go on; nothing else is trusted. For each table: read from
//! the position + 1, judge, gather rows, cut, put files, commit on the very snapshot that was checked.
//! The memory that tells duplicates stands in the object store under the last offset that it covers,
//! written before the commit; the version that the lake has committed selects it after a restart.
//!
//! Must not trust an answer: an error of a commit may mean success, so the positions decide what
//! happened. Any await may be the last one: dropped there, a new archive does the same work again.

mod batch;
mod commit;
mod encoder;
mod inventory_rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use parking_crds::{duration::Duration, event::Millis, inventory::Inventory};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::batch::Batch;
pub use self::{
    batch::WATERMARK,
    encoder::{EncodeError, Encoder, NdjsonEncoder, Row, RowOrigin},
};
use crate::{
    domain::verdict::EventLimits,
    ports::{
        ErrorKind, PortError, PortResult,
        clock::Clock,
        event_log::{EventLog, Offset, Partition, Stream, StreamPartition},
        lake::{Lake, Position, Table, TableSnapshot},
        object_store::ObjectStore,
    },
};

/// When a batch is committed: at the first that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollAfter {
    /// Rows of a partition.
    pub rows: u64,
    /// Bytes of a partition's rows.
    pub bytes: u64,
    /// Age of the oldest record read; `None` where results must not depend on the pace of a run.
    pub age: Option<Duration>,
}

impl Default for RollAfter {
    fn default() -> Self {
        Self { rows: 1_000_000, bytes: 64 * 1024 * 1024, age: Some(Duration::from_secs(60)) }
    }
}

/// What an archive works on.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// Its share of the partitions.
    pub partitions: Vec<Partition>,
    /// Limits of a batch.
    pub roll_after: RollAfter,
    /// Limits of a verdict: the ones of every stage of the pipeline.
    pub limits: EventLimits,
    /// The inventory; its revisions are archived by the owner of partition 0.
    pub inventory: Arc<Inventory>,
    /// Spreads the pauses between attempts of owners.
    pub jitter: u64,
}

/// The ports of an archive.
#[derive(Clone)]
pub struct ArchivePorts {
    /// What it reads.
    pub log: Arc<dyn EventLog>,
    /// What it writes.
    pub lake: Arc<dyn Lake>,
    /// Where its memory stands.
    pub objects: Arc<dyn ObjectStore>,
    /// For ages and pauses.
    pub clock: Arc<dyn Clock>,
    /// The format of files.
    pub encoder: Arc<dyn Encoder>,
}

/// Whether a step may leave rows uncommitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Commit what reached a limit.
    AtLimits,
    /// Commit all that there is, once all of it was read: the streams are complete, or the process ends.
    Now,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub read: u64,
    /// Commits made.
    pub commits: u64,
    /// Tables whose state was dropped because another owner moved their positions.
    pub lost: u64,
}

impl Progress {
    /// Nothing to read, nothing to commit.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Why the archive cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Rows cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The lake is at a position whose memory is not in the object store.
    #[error("the object {key}, which belongs to the lake's position, is missing or cannot be read")]
    Memory {
        /// Its key.
        key: String,
    },
    /// The lake holds more than the log ever had: it belongs to another log.
    #[error("table {table}, partition {partition}: the lake is at offset {lake}, the log ends at {log}")]
    AheadOfLog {
        /// Name of the table.
        table: &'static str,
        /// The partition.
        partition: Partition,
        /// Last offset in the lake.
        lake: Offset,
        /// End of the log.
        log: Offset,
    },
    /// A stage's output stream holds something else.
    #[error("table {table}, partition {partition}, offset {offset}: not a stage's output: {reason}")]
    NoOutput {
        /// Name of the table.
        table: &'static str,
        /// The partition.
        partition: Partition,
        /// The record.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
}

/// About how much one read asks for.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The identities of the archived streams, by their tables.
pub async fn log_ids(log: &dyn EventLog) -> PortResult<BTreeMap<Table, Uuid>> {
    let mut ids = BTreeMap::new();
    for (stream, table) in STREAMS {
        ids.insert(table, log.log_id(stream).await?);
    }
    Ok(ids)
}

/// The streams and their tables.
const STREAMS: [(Stream, Table); 4] = [
    (Stream::Events, Table::Events),
    (Stream::Sessions, Table::Sessions),
    (Stream::Alerts, Table::Alerts),
    (Stream::DeadLetters, Table::DeadLetters),
];

/// One owner's archive.
pub struct Archive {
    ports: ArchivePorts,
    settings: ArchiveSettings,
    loaded: BTreeMap<Table, Loaded>,
    inventory_done: bool,
}

/// A table's version and the batches on top of it. Each batch knows the position that it continues;
/// the version is of no partition that another owner moved.
struct Loaded {
    version: Option<u64>,
    log: LogTag,
    batches: Vec<Batch>,
}

/// Which log offsets belong to, as names have it: eight hexadecimal digits. A log that is made anew counts from 0
/// again, and shall not meet the names of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogTag(u32);

impl From<Uuid> for LogTag {
    fn from(log_id: Uuid) -> Self {
        Self(log_id.as_fields().0)
    }
}

impl fmt::Display for LogTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Archive {
    /// An archive that will load everything from the lake.
    pub fn new(ports: ArchivePorts, settings: ArchiveSettings) -> Self {
        Self { ports, settings, loaded: BTreeMap::new(), inventory_done: false }
    }

    /// One round over all tables: reads what is there up to the limits, commits what is due. A table that fails
    /// holds back no other; the first error is answered. After it the archive may go on or be dropped; neither loses
    /// nor doubles a row. Dropped on its way, it may go on as well.
    pub async fn run_once(&mut self, flush: Flush) -> Result<Progress, ArchiveError> {
        let mut progress = Progress::default();
        let mut outcome = self.archive_inventory(&mut progress).await;
        for (stream, table) in STREAMS {
            outcome = outcome.and(self.step(stream, table, flush, &mut progress).await);
        }
        outcome.map(|()| progress)
    }

    /// Commits what was read, whether that is due or not, and reads nothing more.
    pub async fn settle(&mut self) -> Result<(), ArchiveError> {
        let mut outcome = Ok(());
        for (_, table) in STREAMS {
            let pending = self.loaded.get(&table).map_or_else(Vec::new, |loaded| {
                loaded.batches.iter().filter(|batch| batch.is_pending()).map(Batch::partition).collect()
            });
            if !pending.is_empty() {
                outcome = outcome.and(self.commit_batches(table, &pending, &mut Progress::default()).await);
            }
        }
        outcome
    }

    /// Completes when a record stands behind what was read.
    #[expect(clippy::disallowed_methods, reason = "every partition is waited for at once")]
    pub async fn arrived(&self) -> PortResult<()> {
        let mut arrivals = JoinSet::new();
        for (stream, loaded) in self.loaded_streams() {
            for batch in &loaded.batches {
                let (log, next) = (Arc::clone(&self.ports.log), batch.next());
                let at = StreamPartition { stream, partition: batch.partition() };
                arrivals.spawn(async move { log.arrived(at, next).await });
            }
        }
        match arrivals.join_next().await {
            Some(Ok(arrived)) => arrived,
            Some(Err(error)) => Err(PortError::caused(ErrorKind::Closed, "waiting for records", error)),
            None => std::future::pending().await,
        }
    }

    fn loaded_streams(&self) -> impl Iterator<Item = (Stream, &Loaded)> {
        STREAMS.iter().filter_map(|(stream, table)| Some((*stream, self.loaded.get(table)?)))
    }

    /// First offset that is not in the lake, of each partition of the share whose table is loaded.
    pub fn positions(&self) -> impl Iterator<Item = (StreamPartition, Offset)> + '_ {
        let loaded = self.loaded_streams();
        loaded.flat_map(|(stream, loaded)| {
            let place = move |batch: &Batch| {
                (StreamPartition { stream, partition: batch.partition() }, batch.first())
            };
            loaded.batches.iter().map(place)
        })
    }

    /// Runs rounds until nothing is left to read or to commit.
    pub async fn run_until_idle(&mut self, flush: Flush) -> Result<Progress, ArchiveError> {
        let mut total = Progress::default();
        loop {
            let round = self.run_once(flush).await?;
            if round.is_idle() {
                return Ok(total);
            }
            total.read += round.read;
            total.commits += round.commits;
            total.lost += round.lost;
        }
    }

    /// Whether all that was read is in the lake.
    pub fn is_done(&self) -> bool {
        let committed = |loaded: &Loaded| !loaded.batches.iter().any(Batch::is_pending);
        self.inventory_done && STREAMS.iter().all(|(_, table)| self.loaded.get(table).is_some_and(committed))
    }

    async fn step(
        &mut self,
        stream: Stream,
        table: Table,
        flush: Flush,
        progress: &mut Progress,
    ) -> Result<(), ArchiveError> {
        if !self.loaded.contains_key(&table) {
            let loaded = self.load(stream, table).await?;
            self.loaded.insert(table, loaded);
        }
        let Some(loaded) = self.loaded.get_mut(&table) else { return Ok(()) };
        let roll = self.settings.roll_after;
        let mut exhausted = BTreeSet::new();
        for batch in &mut loaded.batches {
            if batch.is_full(&roll) {
                continue;
            }
            let at = StreamPartition { stream, partition: batch.partition() };
            let fetched = self.ports.log.read(at, batch.next(), READ_BYTES).await?;
            progress.read += batch.absorb(&fetched, &roll, self.ports.clock.monotonic())?;
            if fetched.records.is_empty() {
                exhausted.insert(batch.partition());
            }
        }
        let now = self.ports.clock.monotonic();
        let is_due = |batch: &&Batch| {
            let flushed = flush == Flush::Now && exhausted.contains(&batch.partition());
            batch.is_pending() && (flushed || batch.is_full(&roll) || is_old(batch, &roll, now))
        };
        let due: Vec<Partition> = loaded.batches.iter().filter(is_due).map(Batch::partition).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.commit_batches(table, &due, progress).await
    }

    async fn load(&self, stream: Stream, table: Table) -> Result<Loaded, ArchiveError> {
        let mut base = self.ports.lake.snapshot(table).await?;
        loop {
            match self.load_at(stream, table, &base).await {
                Err(ArchiveError::Memory { key }) => {
                    // Another owner may have moved on and removed the memory of this snapshot.
                    let newer = self.ports.lake.snapshot(table).await?;
                    if newer.positions == base.positions {
                        return Err(ArchiveError::Memory { key });
                    }
                    base = newer;
                }
                Err(error) => return Err(error),
                Ok((log, batches)) => return Ok(Loaded { version: base.version, log, batches }),
            }
        }
    }

    async fn load_at(
        &self,
        stream: Stream,
        table: Table,
        base: &TableSnapshot,
    ) -> Result<(LogTag, Vec<Batch>), ArchiveError> {
        let log = LogTag::from(self.ports.log.log_id(stream).await?);
        let mut batches = Vec::with_capacity(self.settings.partitions.len());
        for &partition in &self.settings.partitions {
            let position = base.positions.get(&partition).copied();
            let (limits, inventory) = (self.settings.limits, &self.settings.inventory);
            let mut batch = Batch::new(table, partition, position, limits, inventory);
            if let Some(Position { last_offset, .. }) = position {
                let end = self.ports.log.bounds(StreamPartition { stream, partition }).await?.end;
                if last_offset >= end {
                    let table = table.as_str();
                    return Err(ArchiveError::AheadOfLog { table, partition, lake: last_offset, log: end });
                }
                self.restore(table, log, &mut batch, last_offset).await?;
            }
            batches.push(batch);
        }
        Ok((log, batches))
    }

    async fn restore(
        &self,
        table: Table,
        log: LogTag,
        batch: &mut Batch,
        at: Offset,
    ) -> Result<(), ArchiveError> {
        let key = commit::memory_key(table, log, batch.partition(), at);
        let memory = self.ports.objects.get(&key).await?;
        let restored = memory.is_some_and(|memory| batch.restore(&memory).is_ok());
        if !restored {
            return Err(ArchiveError::Memory { key });
        }
        self.remove_older_memories(table, log, batch.partition(), at).await;
        Ok(())
    }
}

fn is_old(batch: &Batch, roll: &RollAfter, now: Millis) -> bool {
    let since = batch.since().zip(roll.age);
    since.is_some_and(|(since, age)| now - since >= age.millis())
}
