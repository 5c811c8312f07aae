//! Tables of results that many runs write, each the windows of its own: `stats/<table>`.
//!
//! Each file holds the rows of one stretch of windows, and its name says of which computation and which windows. So
//! the table's own log tells which windows have a result, in the very commit that shows their rows.
//!
//! Must not know what a row means beyond the window that it belongs to. Invariants: a commit stands on the version
//! whose files were read, or it is not made: what another run committed meanwhile is read, and the change made anew;
//! a commit that would change nothing is not made.

mod pieces;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    compute::{cast, concat_batches},
    datatypes::{Schema, SchemaRef},
};
use bytes::Bytes;
use deltalake::{
    DeltaTable, DeltaTableError,
    kernel::{
        Action, MetadataExt, StructType,
        engine::arrow_conversion::{TryIntoArrow, TryIntoKernel},
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    logstore::object_store::ObjectStoreExt,
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
};
use parking_crds::{duration::Duration, names::TableName, stats_index::DoneRanges, time::Window};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use self::pieces::{Held, Piece, pieces, rest_name, sorted};
use super::{
    StatsError,
    compute::WINDOW_START,
    result::{START, add, encode},
};
use crate::{
    adapters::{
        embedded::SystemClock,
        lake::{DeltaLake, place::Place},
    },
    ports::{ErrorKind, PortError, clock::Clock},
};

/// How often a change is made anew behind those of other runs.
const ATTEMPTS: u64 = 20;

/// A table whose files are stretches of windows.
pub(super) struct StretchTable<'a> {
    place: &'a Place,
    name: String,
    /// The column by which rows belong to windows.
    time: &'static str,
    /// Whether rows with other columns take the place of all that is there.
    begins_anew: bool,
}

/// The rows of some windows, which replace those that are there.
pub(super) struct NewRows<'a> {
    /// The computation.
    pub(super) computation: &'a str,
    /// From the first window's start to the last one's end.
    pub(super) range: Window,
    /// All rows of these windows.
    pub(super) rows: &'a RecordBatch,
    /// Versions of the tables that they were computed from.
    pub(super) versions: &'a BTreeMap<&'static str, u64>,
}

/// The files that a commit shows and hides.
#[derive(Default)]
struct Change {
    actions: Vec<Action>,
    bodies: Vec<(String, Bytes)>,
}

impl<'a> StretchTable<'a> {
    /// The rows of a job's statistics, which need not exist.
    pub(super) fn of_rows(lake: &'a DeltaLake, table: &TableName) -> Self {
        Self { place: lake.place(), name: format!("stats/{table}"), time: START, begins_anew: false }
    }

    /// The answers to a query of the job. A dot stands in no name of a table, so it is no other job's.
    pub(super) fn of_answers(lake: &'a DeltaLake, table: &TableName, query: &str) -> Self {
        let name = format!("stats/{table}.{query}");
        Self { place: lake.place(), name, time: WINDOW_START, begins_anew: true }
    }

    /// Which windows of a computation have their rows.
    pub(super) async fn done(&self, computation: &str) -> Result<DoneRanges, StatsError> {
        let Some(table) = self.place.load(&self.name).await? else { return Ok(DoneRanges::default()) };
        let files = table.snapshot()?.log_data();
        let held = files.iter().filter_map(|file| Held::of(&file.path()));
        Ok(held.filter(|held| held.computation == computation).map(|held| held.range).collect())
    }

    /// Replaces the rows of some windows in one commit; answers whether that changed anything.
    pub(super) async fn replace(&self, new: &NewRows<'_>) -> Result<bool, StatsError> {
        let mut tried = false;
        for attempt in 1..=ATTEMPTS {
            let table = self.open(new.rows).await?;
            let change = self.change(&table, new).await?;
            if change.actions.is_empty() {
                return Ok(tried);
            }
            match self.commit(&table, change, new.versions).await {
                Err(StatsError::Table(DeltaTableError::Transaction { source })) if is_overtaken(&source) => {
                    tried = true;
                    // Runs that met once shall not meet again.
                    let spread = new.range.start.wrapping_add_unsigned(attempt).rem_euclid(97);
                    SystemClock::new().pause(Duration::from_millis(20 + 4 * spread)).await;
                }
                committed => return committed.map(|()| true),
            }
        }
        let reason = "other runs write the same table all the time";
        let attempt = format!("committing to table {}", self.name);
        Err(PortError::caused(ErrorKind::Transient, attempt, reason).into())
    }

    /// The newest version; made when absent.
    async fn open(&self, rows: &RecordBatch) -> Result<DeltaTable, StatsError> {
        if let Some(table) = self.place.load(&self.name).await? {
            return Ok(table);
        }
        let columns: StructType = rows.schema().as_ref().try_into_kernel()?;
        let log = self.place.log_store(&self.name)?;
        let made = CreateBuilder::new()
            .with_log_store(log)
            .with_columns(columns.fields().cloned())
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        // Another run may have been quicker.
        if let Some(table) = self.place.load(&self.name).await? {
            return Ok(table);
        }
        Ok(made?)
    }

    async fn change(&self, table: &DeltaTable, new: &NewRows<'_>) -> Result<Change, StatsError> {
        let state = table.snapshot()?;
        let wanted: StructType = new.rows.schema().as_ref().try_into_kernel()?;
        let schema: Schema = (&wanted).try_into_arrow()?;
        let schema = Arc::new(schema);
        let is_known = state.schema().as_ref() == &wanted;
        let mut change = Change::default();
        if !is_known && !self.begins_anew {
            let reason =
                "it is there with other columns than statistics have: choose another name, or move it away";
            let attempt = format!("writing table {}", self.name);
            return Err(PortError::caused(ErrorKind::Invalid, attempt, reason).into());
        }
        if !is_known {
            // The columns follow from the query: with others it is another result.
            let metadata = state.metadata().clone().with_schema(&wanted).map_err(DeltaTableError::from)?;
            change.actions.push(Action::Metadata(metadata));
        }
        let held = Held { computation: new.computation.to_owned(), range: new.range };
        let (mut touched, mut hidden) = (Vec::new(), BTreeMap::new());
        for file in state.log_data().iter() {
            let path = file.path().into_owned();
            let known = Held::of(&path);
            let is_touched =
                known.as_ref().is_none_or(|known| known.is_touched(&held, file.num_records().unwrap_or(0)));
            if is_known && is_touched {
                touched.push((known, self.read(table, &file.object_store_path(), &schema).await?));
            }
            if !is_known || is_touched {
                hidden.insert(path, file.remove_action(true));
            }
        }
        let rows = sorted(&as_stored(new.rows, &schema)?)?;
        let mut shown = BTreeSet::new();
        for Piece { held, rows } in pieces(&held, &rows, &touched, self.time)? {
            let body = Bytes::from(encode(&rows)?);
            let path = held.map_or_else(|| rest_name(&body), |held| held.name(&body));
            if hidden.remove(&path).is_none() && shown.insert(path.clone()) {
                change.actions.push(Action::Add(add(path.clone(), body.len(), rows.num_rows())));
                change.bodies.push((path, body));
            }
        }
        change.actions.extend(hidden.into_values().map(Action::Remove));
        Ok(change)
    }

    async fn read(
        &self,
        table: &DeltaTable,
        path: &deltalake::Path,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, StatsError> {
        let store = table.log_store().object_store(None);
        let body = async { store.get(path).await?.bytes().await }.await.map_err(DeltaTableError::from)?;
        let mut batches = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(body)?.build()? {
            batches.push(as_stored(&batch?, schema)?);
        }
        Ok(concat_batches(schema, &batches)?)
    }

    async fn commit(
        &self,
        table: &DeltaTable,
        change: Change,
        versions: &BTreeMap<&'static str, u64>,
    ) -> Result<(), StatsError> {
        for (path, body) in change.bodies {
            // The name follows from the bytes, so whatever stands there is the same.
            self.place.put(&self.name, &path, body).await?;
        }
        let read = serde_json::to_value(versions).unwrap_or_default();
        let properties = CommitProperties::default()
            .with_metadata([("parking.versions".to_owned(), read)])
            // Without retries a commit is refused unless it stands on the newest version.
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false));
        let operation =
            DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        let committed = CommitBuilder::from(properties)
            .with_actions(change.actions)
            .build(Some(table.snapshot()?), table.log_store(), operation)
            .await?;
        let settled = self.place.settle(&self.name, committed.version());
        settled
            .map_err(|error| PortError::caused(ErrorKind::Ambiguous, "making a commit durable", error).into())
    }
}

/// Whether another commit came in between.
fn is_overtaken(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::MaxCommitAttempts(_)
            | TransactionError::VersionAlreadyExists(_)
            | TransactionError::CommitConflict(_)
    )
}

/// The rows with the types that the table's files have.
fn as_stored(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StatsError> {
    let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef, StatsError> {
        match rows.column_by_name(field.name()) {
            Some(column) => Ok(cast(column, field.data_type())?),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
