//! Port `Lake` on Delta tables, in a folder or in a bucket.
//!
//! Invariants: a commit stands on the snapshot whose positions were compared with those of its base,
//! and Delta's own check refuses it when one of its transactions moved since (K2); a data file and
//! its name are synced before a commit may name it (K4), the commit before it is answered; log
//! clean-up is maintenance's business, never a writer's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::{
    DeltaTable, DeltaTableError,
    kernel::{
        Action, Add,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
};
use parking_crds::{
    lake_index::{self, LakeIndex},
    time::day::{DAY, utc_date},
};
use tokio::sync::Mutex;

use super::{
    columns::{DATE, delta_fields},
    place::{LakePlace, Place, Put, commit_error, delta_error},
    positions::{LogSources, PositionNames},
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
    place: Place,
    names: PositionNames,
    tables: BTreeMap<Table, Mutex<Option<Opened>>>,
}

impl DeltaLake {
    /// The lake at a place. `sources` names the logs whose offsets the positions are; `partitions` is
    /// the number of partitions of each.
    pub fn open(
        place: impl Into<LakePlace>,
        sources: impl Into<LogSources>,
        partitions: Partition,
    ) -> PortResult<Self> {
        Ok(Self::at(Place::open(place.into())?, sources.into(), partitions))
    }

    /// The lake at a place as its index tells of it; `None` where nothing was archived yet. For readers, who know
    /// neither log nor topics.
    pub async fn open_indexed(
        place: impl Into<LakePlace>,
        partitions: Partition,
    ) -> PortResult<Option<Self>> {
        let place = Place::open(place.into())?;
        let Some(text) = place.read_object(lake_index::KEY).await? else { return Ok(None) };
        let index = LakeIndex::parse(&text)
            .map_err(|error| PortError::caused(ErrorKind::Invalid, "reading what the lake holds", error))?;
        Ok(Some(Self::at(place, LogSources::of_index(&index), partitions)))
    }

    fn at(place: Place, sources: LogSources, partitions: Partition) -> Self {
        let tables = Table::ALL.into_iter().map(|table| (table, Mutex::new(None))).collect();
        Self { place, names: PositionNames { sources, partitions }, tables }
    }

    /// The folder of a table, where the lake is in a folder.
    pub fn folder(&self, table: Table) -> Option<PathBuf> {
        self.root().map(|root| root.join(table.as_str()))
    }

    /// The folder of all tables, where the lake is in a folder.
    pub fn root(&self) -> Option<&Path> {
        self.place.folder()
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Name under which a table keeps its positions.
    pub(super) fn source(&self, table: Table) -> &str {
        self.names.sources.name(table)
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
        let newest = async {
            let mut slot = self.slot(table)?.lock().await;
            self.refresh(table, &mut slot).await?;
            Ok(slot.as_ref().map(|opened| opened.table.clone()))
        };
        self.reading(table, newest).await
    }

    async fn reading<T>(&self, table: Table, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let attempt = format!("reading table {}", table.as_str());
        self.place.limited(&attempt, ErrorKind::Transient, call).await
    }

    fn slot(&self, table: Table) -> PortResult<&Mutex<Option<Opened>>> {
        self.tables.get(&table).ok_or_else(|| PortError::new(ErrorKind::Invalid, "finding a table"))
    }

    /// Loads the table, or what was committed since; leaves `None` where there is no table.
    async fn refresh(&self, table: Table, slot: &mut Option<Opened>) -> PortResult<()> {
        let failed = |error| delta_error(format!("reading table {}", table.as_str()), error);
        // Taken out: where this is dropped on its way, version and positions stay of one piece.
        if let Some(mut opened) = slot.take() {
            let before = opened.table.version();
            opened.table.update_incremental(None).await.map_err(failed)?;
            if opened.table.version() != before {
                let read = self.names.read(table, &opened.table, Some(&opened.snapshot)).await;
                opened.snapshot = read.map_err(failed)?;
            }
            *slot = Some(opened);
            return Ok(());
        }
        let Some(loaded) = self.place.load(table.as_str()).await.map_err(failed)? else { return Ok(()) };
        let snapshot = self.names.read(table, &loaded, None).await.map_err(failed)?;
        *slot = Some(Opened { table: loaded, snapshot });
        Ok(())
    }

    /// Makes the table; that another owner was quicker is fine.
    async fn create(&self, table: Table, slot: &mut Option<Opened>) -> PortResult<()> {
        let failed = |error| delta_error(format!("making table {}", table.as_str()), error);
        let log = self.place.log_store(table.as_str()).map_err(failed)?;
        let created = CreateBuilder::new()
            .with_log_store(log)
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
            opened.snapshot = self.names.read(table, &opened.table, Some(&opened.snapshot)).await?;
        }
        self.place.settle(table.as_str(), version)?;
        Ok(())
    }

    async fn commit_checked(
        &self,
        table: Table,
        attempt: &str,
        commit: &TableCommit,
    ) -> PortResult<Committed> {
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
        // Taken out: a commit that is dropped on its way leaves nothing that is half new.
        let Some(mut opened) = slot.take() else { return Ok(Committed::Conflict) };
        match self.commit_on(table, &mut opened, commit).await {
            Ok(()) => {
                let snapshot = opened.snapshot.clone();
                *slot = Some(opened);
                Ok(Committed::Yes(snapshot))
            }
            Err(DeltaTableError::Transaction { source: TransactionError::CommitConflict(_) }) => {
                // Nothing of it was taken: the next look reads on from there.
                *slot = Some(opened);
                Ok(Committed::Conflict)
            }
            Err(error) => Err(commit_error(attempt, error)),
        }
    }

    /// Files of the first date that the newest version has rows of.
    pub(super) async fn files_of_first_date(&self, table: Table) -> PortResult<BTreeSet<String>> {
        let Some(newest) = self.table(table).await? else { return Ok(BTreeSet::new()) };
        let state = newest.snapshot().map_err(|error| delta_error("reading a table", error))?;
        let files = state.log_data();
        let paths = || files.iter().map(|file| file.path().into_owned());
        let folder = |path: &String| path.split('/').next().map(str::to_owned);
        let first = paths().filter_map(|path| folder(&path)).min();
        Ok(paths().filter(|path| folder(path) == first).collect())
    }

    /// Whether the newest version names a file.
    async fn shows(&self, table: Table, path: &str) -> PortResult<bool> {
        let Some(newest) = self.table(table).await? else { return Ok(false) };
        let state = newest.snapshot().map_err(|error| delta_error("reading a table", error))?;
        Ok(state.log_data().iter().any(|file| file.path() == path))
    }
}

#[async_trait]
impl Lake for DeltaLake {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        let newest = async {
            let mut slot = self.slot(table)?.lock().await;
            self.refresh(table, &mut slot).await?;
            Ok(slot.as_ref().map(|opened| opened.snapshot.clone()).unwrap_or_default())
        };
        self.reading(table, newest).await
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        if self.place.put(table.as_str(), path, body.clone()).await? == Put::Done {
            return Ok(());
        }
        // Left there by another build before a commit; once committed it stays.
        if self.shows(table, path).await? {
            let reason = "the table shows other rows under this name: another owner was quicker, or the log \
                          was made anew under the name of the old one";
            let attempt = format!("writing {}/{path}", table.as_str());
            return Err(PortError::caused(ErrorKind::Invalid, attempt, reason));
        }
        self.place.replace(table.as_str(), path, body).await
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        let attempt = format!("committing to table {}", table.as_str());
        let made = self.commit_checked(table, &attempt, &commit);
        self.place.limited(&attempt, ErrorKind::Ambiguous, made).await
    }
}

fn add(file: &DataFile) -> Action {
    let day = utc_date(i64::from(file.date) * DAY);
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
