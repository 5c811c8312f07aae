//! Keeps tables quick to read and as small as wanted: compaction, retention, checkpoints, removal of what
//! nobody can need.
//!
//! Must not hold a lock that a reader or a writer waits for, nor touch a position: it works on versions
//! of its own and commits beside the writers. Invariants: rows change only by retention, which counts
//! back from the table's watermark and removes whole dates; a file is removed only when no version
//! younger than `keep` shows it and no commit can name it any more, so that a run which reads an older
//! version ends as it began.

mod decide;

use std::{collections::BTreeMap, fmt, sync::Arc};

use deltalake::{
    DeltaTable, DeltaTableError, FilterOp, FilterValue, checkpoints,
    kernel::{
        Action,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    logstore::object_store::{Error as StoreError, ObjectStoreExt, path::Path},
    operations::vacuum::{self, VacuumMode},
    protocol::DeltaOperation,
};
use parking_crds::{duration::Duration, event::Millis};
use parquet::{
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{DeltaLake, columns::DATE, place::delta_error, positions::last_checkpoint};
use crate::ports::{
    PortResult,
    clock::Clock,
    lake::{Lake, Table, TableSnapshot},
};

/// Least time that replaced files, orphans and log entries are kept.
const SHORTEST_KEEP: Duration = Duration::from_secs(3_600);
/// Most dates that one run compacts: the next run goes on.
const DATES_OF_A_RUN: usize = 32;
/// Commits after which a checkpoint is made, where the writers made none.
const COMMITS_WITHOUT_CHECKPOINT: u64 = 20;
/// How often a commit is tried anew behind commits that do not disturb it.
const RETRIES: usize = 30;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceSettings {
    /// How long rows stay, counted back from the table's watermark; absent means forever. The inventory
    /// stays forever.
    pub retention: Option<Duration>,
    /// How long files and log entries that the newest version does not need stay; at least an hour.
    /// Longer than any run that reads and any put that waits for its commit.
    pub keep: Duration,
    /// Small files of one date that are worth one large file; at least two.
    pub small_files: usize,
}

impl Default for MaintenanceSettings {
    fn default() -> Self {
        Self { retention: None, keep: Duration::from_secs(7 * 86_400), small_files: 8 }
    }
}

/// What was done to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that retention took out of the table.
    pub expired_files: u64,
    /// Rows in them.
    pub expired_rows: u64,
    /// Files that were replaced by larger ones.
    pub compacted_files: u64,
    /// Files in their place.
    pub larger_files: u64,
    /// Whether a checkpoint was made.
    pub checkpoint: bool,
    /// Log entries that were removed.
    pub log_entries: u64,
    /// Files that were removed from the place.
    pub removed_files: u64,
    /// Steps that gave way to other commits; the next run does them.
    pub gave_way: u64,
}

/// See the module.
#[derive(Clone)]
pub struct Maintenance {
    lake: Arc<DeltaLake>,
    clock: Arc<dyn Clock>,
    settings: MaintenanceSettings,
}

/// A table's newest version and the positions of it.
struct Newest {
    delta: DeltaTable,
    positions: TableSnapshot,
}

impl Maintenance {
    /// Of a lake. The clock tells how old files are, and nothing else.
    pub fn new(lake: Arc<DeltaLake>, clock: Arc<dyn Clock>, settings: MaintenanceSettings) -> Self {
        Self { lake, clock, settings }
    }

    /// Each table, apart: what fails at one does not keep from the others.
    pub async fn run(&self) -> BTreeMap<Table, PortResult<Maintained>> {
        let mut done = BTreeMap::new();
        for table in Table::ALL {
            done.insert(table, self.maintain(table).await);
        }
        done
    }

    /// One table: retention, compaction, then the log, then files.
    pub async fn maintain(&self, table: Table) -> PortResult<Maintained> {
        let mut done = Maintained::default();
        self.expire(table, &mut done).await?;
        self.compact(table, &mut done).await?;
        self.tidy_log(table, &mut done).await?;
        self.remove_files(table, &mut done).await?;
        Ok(done)
    }

    async fn newest(&self, table: Table) -> PortResult<Option<Newest>> {
        // The positions first: what the version then has in addition lies beyond them.
        let positions = self.lake.snapshot(table).await?;
        let delta = self.lake.table(table).await?;
        Ok(delta.map(|delta| Newest { delta, positions }))
    }

    /// Takes the dates before the watermark less the retention out of the table.
    async fn expire(&self, table: Table, done: &mut Maintained) -> PortResult<()> {
        let failed = |error| delta_error(format!("removing old rows of table {}", table.as_str()), error);
        let Some(retention) = self.settings.retention.filter(|_| table != Table::Inventory) else {
            return Ok(());
        };
        let Some(Newest { delta, positions }) = self.newest(table).await? else { return Ok(()) };
        let Some(watermark) = decide::watermark(&positions) else { return Ok(()) };
        let first = decide::first_kept_date(watermark, retention);
        let state = delta.snapshot().map_err(failed)?.clone();
        let (mut removes, mut rows) = (Vec::new(), 0);
        for file in state.log_data().iter() {
            let date = file.partition_values_map().remove(DATE).flatten();
            if date.is_some_and(|date| date < first) {
                rows += file.num_records().unwrap_or_default() as u64;
                removes.push(Action::Remove(file.remove_action(true)));
            }
        }
        if removes.is_empty() {
            return Ok(());
        }
        let files = removes.len() as u64;
        let operation = DeltaOperation::Delete { predicate: Some(format!("{DATE} < '{first}'")) };
        let made = CommitBuilder::from(properties())
            .with_actions(removes)
            .build(Some(&state), delta.log_store(), operation)
            .await;
        if made_way(made.map(|_| ()), done).map_err(failed)? {
            (done.expired_files, done.expired_rows) = (files, rows);
        }
        Ok(())
    }

    /// Makes few files of many, of dates that the watermark has passed.
    async fn compact(&self, table: Table, done: &mut Maintained) -> PortResult<()> {
        let failed = |error| delta_error(format!("compacting table {}", table.as_str()), error);
        let Some(Newest { delta, positions }) = self.newest(table).await? else { return Ok(()) };
        let Some(watermark) = decide::watermark(&positions) else { return Ok(()) };
        let state = delta.snapshot().map_err(failed)?.clone();
        let shown = state.log_data();
        let files = shown.iter().filter_map(|file| {
            let date = file.partition_values_map().remove(DATE).flatten()?;
            Some((date, u64::try_from(file.size()).unwrap_or_default()))
        });
        let mut dates = decide::worth_compacting(files, watermark, self.settings.small_files);
        dates.truncate(DATES_OF_A_RUN);
        if dates.is_empty() {
            return Ok(());
        }
        let wanted = dates.iter().map(String::as_str).collect();
        let made = delta
            .optimize()
            .with_filters(&[(DATE, FilterOp::In, FilterValue::Set(wanted))])
            .with_target_size(decide::LARGE_FILE)
            .with_writer_properties(writer_properties().map_err(|error| failed(error.into()))?)
            .with_max_concurrent_tasks(1)
            .await;
        match made {
            Ok((_, metrics)) => {
                done.compacted_files = metrics.num_files_removed;
                done.larger_files = metrics.num_files_added;
                Ok(())
            }
            Err(error) => made_way(Err(error), done).map(|_| ()).map_err(failed),
        }
    }

    /// Makes a checkpoint where the last one is far back, and removes the entries before an old one.
    async fn tidy_log(&self, table: Table, done: &mut Maintained) -> PortResult<()> {
        let failed = |error| delta_error(format!("tidying the log of table {}", table.as_str()), error);
        let Some(delta) = self.lake.table(table).await? else { return Ok(()) };
        let version = delta.snapshot().map_err(failed)?.version();
        let last = last_checkpoint(&delta).await.map_err(failed)?.unwrap_or_default();
        if version >= last.saturating_add(COMMITS_WITHOUT_CHECKPOINT) {
            checkpoints::create_checkpoint(&delta, None).await.map_err(failed)?;
            done.checkpoint = true;
        }
        let log = delta.log_store();
        let removed = checkpoints::cleanup_expired_logs_for(version, log.as_ref(), self.kept_since(), None);
        done.log_entries = removed.await.map_err(failed)? as u64;
        Ok(())
    }

    /// Removes files that no version shows which is young enough to be read, and that no commit can name.
    async fn remove_files(&self, table: Table, done: &mut Maintained) -> PortResult<()> {
        let failed = |error| delta_error(format!("removing files of table {}", table.as_str()), error);
        let Some(Newest { delta, positions }) = self.newest(table).await? else { return Ok(()) };
        let store = delta.log_store().object_store(None);
        let kept = chrono::Duration::milliseconds(self.keep().millis());
        let (_, plan) = delta
            .vacuum()
            .with_mode(VacuumMode::Full)
            .with_clock(Arc::new(VacuumClock(Arc::clone(&self.clock))))
            .with_retention_period(kept)
            .with_enforce_retention_duration(false)
            .with_dry_run(true)
            .await
            .map_err(failed)?;
        for path in &plan.files_deleted {
            if !decide::can_be_committed(table, path, &positions) {
                let at = Path::parse(path).map_err(|error| failed(StoreError::from(error).into()))?;
                match store.delete(&at).await {
                    Ok(()) => done.removed_files += 1,
                    Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(failed(error.into())),
                }
            }
        }
        Ok(())
    }

    fn keep(&self) -> Duration {
        self.settings.keep.max(SHORTEST_KEEP)
    }

    fn kept_since(&self) -> Millis {
        self.clock.now().saturating_sub(self.keep().millis())
    }
}

fn properties() -> CommitProperties {
    CommitProperties::default()
        .with_max_retries(RETRIES)
        .with_create_checkpoint(true)
        .with_cleanup_expired_logs(Some(false))
}

/// Whether a commit was made; `false` where it gave way to one that disturbs it.
fn made_way(made: Result<(), DeltaTableError>, done: &mut Maintained) -> Result<bool, DeltaTableError> {
    match made {
        Ok(()) => Ok(true),
        Err(DeltaTableError::Transaction {
            source: TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_),
        }) => {
            done.gave_way += 1;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn writer_properties() -> Result<WriterProperties, parquet::errors::ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    Ok(WriterProperties::builder().set_compression(zstd).build())
}

/// The port's clock as the one of `vacuum`.
struct VacuumClock(Arc<dyn Clock>);

impl fmt::Debug for VacuumClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VacuumClock")
    }
}

impl vacuum::Clock for VacuumClock {
    fn current_timestamp_millis(&self) -> i64 {
        self.0.now()
    }
}
