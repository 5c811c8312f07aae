//! Port `Lake` on Delta tables in a folder.
//!
//! Invariants: a commit stands on the snapshot whose positions were compared with those of its base,
//! and Delta's own check refuses it when one of its transactions moved since (K2); a data file and
//! its name are synced before a commit may name it (K4), the commit before it is answered; log
//! clean-up is maintenance's business, never a writer's.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::{
    DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri,
    kernel::{
        Action, Add,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
};
use tokio::sync::Mutex;

use super::{
    columns::{DATE, delta_fields},
    positions::PositionNames,
};
use crate::{
    adapters::embedded::SystemClock,
    ports::{
        ErrorKind, PortError, PortResult,
        clock::Clock,
        event_log::Partition,
        lake::{Committed, DataFile, Lake, Table, TableCommit, TableSnapshot},
    },
};

/// Commits between two checkpoints of a table's log.
const CHECKPOINT_INTERVAL: &str = "100";
/// How often a commit is tried anew behind commits that do not disturb it.
const RETRIES: usize = 15;

/// A table and the positions of the version that is loaded.
struct Opened {
    table: DeltaTable,
    snapshot: TableSnapshot,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableFigures {
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// See the module.
pub struct DeltaLake {
    root: PathBuf,
    names: PositionNames,
    tables: BTreeMap<Table, Mutex<Option<Opened>>>,
}

impl DeltaLake {
    /// The lake in the folder `root`, which is made when absent. `source` names the log whose offsets
    /// the positions are; `partitions` is the number of its partitions.
    pub fn open(root: impl Into<PathBuf>, source: &str, partitions: Partition) -> PortResult<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|error| io_error("opening the lake", error))?;
        let tables = Table::ALL.into_iter().map(|table| (table, Mutex::new(None))).collect();
        Ok(Self { root, names: PositionNames { source: source.to_owned(), partitions }, tables })
    }

    /// The folder of a table.
    pub fn folder(&self, table: Table) -> PathBuf {
        self.root.join(table.as_str())
    }

    /// The folder of all tables.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How many partitions its source has.
    pub fn partitions(&self) -> Partition {
        self.names.partitions
    }

    /// Rows, files and bytes of a table's newest version.
    pub async fn figures(&self, table: Table) -> PortResult<TableFigures> {
        let Some(delta) = self.table(table).await? else { return Ok(TableFigures::default()) };
        let state = delta.snapshot().map_err(|error| delta_error("reading a table", error))?;
        let mut figures = TableFigures::default();
        for file in state.log_data().iter() {
            figures.files += 1;
            figures.rows += file.num_records().unwrap_or_default() as u64;
            figures.bytes += u64::try_from(file.size()).unwrap_or_default();
        }
        Ok(figures)
    }

    /// The newest version of a table, if it exists: for readers in this process.
    pub async fn table(&self, table: Table) -> PortResult<Option<DeltaTable>> {
        let mut slot = self.slot(table)?.lock().await;
        self.refresh(table, &mut slot).await?;
        Ok(slot.as_ref().map(|opened| opened.table.clone()))
    }

    fn slot(&self, table: Table) -> PortResult<&Mutex<Option<Opened>>> {
        self.tables.get(&table).ok_or_else(|| PortError::new(ErrorKind::Invalid, "finding a table"))
    }

    /// Loads the table, or what was committed since; leaves `None` where there is no table.
    async fn refresh(&self, table: Table, slot: &mut Option<Opened>) -> PortResult<()> {
        let failed = |error| delta_error(format!("reading table {}", table.as_str()), error);
        if let Some(opened) = slot {
            let before = opened.table.version();
            if let Err(error) = opened.table.update_incremental(None).await {
                *slot = None;
                return Err(failed(error));
            }
            if opened.table.version() != before {
                opened.snapshot = self.read_positions(table, &opened.table).await.map_err(failed)?;
            }
            return Ok(());
        }
        if !self.folder(table).join("_delta_log").is_dir() {
            return Ok(());
        }
        let loaded = match builder(&self.folder(table)).map_err(failed)?.load().await {
            Ok(loaded) => loaded,
            Err(DeltaTableError::NotATable(_)) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let snapshot = self.read_positions(table, &loaded).await.map_err(failed)?;
        *slot = Some(Opened { table: loaded, snapshot });
        Ok(())
    }

    async fn read_positions(
        &self,
        table: Table,
        delta: &DeltaTable,
    ) -> Result<TableSnapshot, DeltaTableError> {
        let log = delta.log_store();
        self.names.read(table, delta.snapshot()?.snapshot(), log.as_ref()).await
    }

    /// Makes the table; that another owner was quicker is fine.
    async fn create(&self, table: Table, slot: &mut Option<Opened>) -> PortResult<()> {
        let failed = |error| delta_error(format!("making table {}", table.as_str()), error);
        let empty = builder(&self.folder(table)).and_then(DeltaTableBuilder::build).map_err(failed)?;
        let created = CreateBuilder::new()
            .with_log_store(empty.log_store())
            .with_table_name(table.as_str())
            .with_columns(delta_fields(table))
            .with_partition_columns([DATE])
            .with_configuration([(
                "delta.checkpointInterval".to_owned(),
                Some(CHECKPOINT_INTERVAL.to_owned()),
            )])
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        self.refresh(table, slot).await?;
        match created {
            Err(error) if slot.is_none() => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn commit_on(
        &self,
        table: Table,
        opened: &mut Opened,
        commit: &TableCommit,
    ) -> Result<(), DeltaTableError> {
        let log = opened.table.log_store();
        let properties = CommitProperties::default()
            .with_application_transactions(self.names.transactions(table, &commit.positions))
            .with_max_retries(RETRIES)
            .with_create_checkpoint(true)
            .with_cleanup_expired_logs(Some(false));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        let state = opened.table.snapshot()?.clone();
        let finalized = CommitBuilder::from(properties)
            .with_actions(commit.files.iter().map(add).collect())
            .build(Some(&state), log, operation)
            .await?;
        let (version, alone) = (finalized.version(), state.version() + 1);
        opened.table.state = Some(finalized.snapshot());
        if version == alone {
            opened.snapshot.version = Some(version);
            opened.snapshot.positions.extend(commit.positions.iter().map(|(&key, &value)| (key, value)));
        } else {
            opened.snapshot = self.read_positions(table, &opened.table).await?;
        }
        let entry = self.folder(table).join("_delta_log").join(format!("{version:020}.json"));
        sync(&entry)?;
        Ok(())
    }
}

#[async_trait]
impl Lake for DeltaLake {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        let mut slot = self.slot(table)?.lock().await;
        self.refresh(table, &mut slot).await?;
        Ok(slot.as_ref().map(|opened| opened.snapshot.clone()).unwrap_or_default())
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        let target = self.folder(table).join(path);
        let written = tokio::task::spawn_blocking(move || put_file(&target, &body)).await;
        let failed = |error| io_error(format!("writing {}/{path}", table.as_str()), error);
        written.map_err(io::Error::other).and_then(|written| written).map_err(failed)
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        let mut slot = self.slot(table)?.lock().await;
        if slot.is_none() {
            self.refresh(table, &mut slot).await?;
        }
        if slot.is_none() {
            self.create(table, &mut slot).await?;
        }
        let moved = |slot: &Option<Opened>| {
            slot.as_ref().is_none_or(|Opened { snapshot, .. }| {
                let differs = |key| snapshot.positions.get(key) != commit.base.positions.get(key);
                commit.positions.keys().any(differs)
            })
        };
        if moved(&slot) {
            self.refresh(table, &mut slot).await?;
            if moved(&slot) {
                return Ok(Committed::Conflict);
            }
        }
        let Some(opened) = slot.as_mut() else { return Ok(Committed::Conflict) };
        match self.commit_on(table, opened, &commit).await {
            Ok(()) => Ok(Committed::Yes(opened.snapshot.clone())),
            Err(DeltaTableError::Transaction { source: TransactionError::CommitConflict(_) }) => {
                *slot = None;
                Ok(Committed::Conflict)
            }
            Err(error) => {
                *slot = None;
                let attempt = format!("committing to table {}", table.as_str());
                Err(PortError::caused(ErrorKind::Ambiguous, attempt, error))
            }
        }
    }
}

fn builder(folder: &Path) -> Result<DeltaTableBuilder, DeltaTableError> {
    DeltaTableBuilder::from_url(ensure_table_uri(folder.to_string_lossy())?)
}

fn add(file: &DataFile) -> Action {
    let midnight = crate::domain::calendar::timestamp(i64::from(file.date) * 86_400_000);
    let day = midnight.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    Action::Add(Add {
        path: file.path.clone(),
        partition_values: [(DATE.to_owned(), Some(day))].into(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: SystemClock::new().now(),
        data_change: true,
        stats: Some(format!(r#"{{"numRecords":{}}}"#, file.rows)),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// Writes beside the target, syncs, renames, syncs the folder. A whole file with the same bytes stays.
pub(super) fn put_file(target: &Path, body: &[u8]) -> io::Result<()> {
    if fs::read(target).is_ok_and(|there| there == body) {
        return Ok(());
    }
    let folder = target.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    fs::create_dir_all(folder)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let mut file = File::create(&beside)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&beside, target)?;
    File::open(folder)?.sync_all()
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn io_error(attempt: impl Into<String>, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Full
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    PortError::caused(kind, attempt, error)
}

fn delta_error(attempt: impl Into<String>, error: DeltaTableError) -> PortError {
    PortError::caused(ErrorKind::Transient, attempt, error)
}
