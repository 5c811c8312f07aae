//! A job's result: a Delta table beside the others, `stats_<job>`, replaced whole by each run.
//!
//! The commit carries the versions that were read, and as an application transaction a number made of
//! them, the job and the range: the same number means the same result.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use bytes::Bytes;
use deltalake::{
    DeltaTable,
    kernel::{
        Action, Add, DataType as DeltaType, StructField, Transaction,
        transaction::{CommitBuilder, CommitProperties},
    },
    operations::create::CreateBuilder,
    protocol::{DeltaOperation, SaveMode},
};
use parking_crds::{stats_job::StatsJobSpec, time::Window};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use sha2::{Digest, Sha256};

use super::{
    StatsError,
    session::{doubles, longs, texts},
};
use crate::{
    adapters::lake::{
        DeltaLake,
        place::{Place, Put},
    },
    domain::stats::StatRow,
};

/// The column with the first instant of a row's bucket or window.
pub(super) const START: &str = "start";
const RUN: &str = "parking/run";
const WINDOWS: &str = "parking/windows";
const ROWS: &str = "parking/rows";

/// The table of a job's result.
pub(super) fn name_of(job: &str) -> String {
    format!("stats_{job}")
}

/// Whether a job has a result.
pub async fn exists(lake: &DeltaLake, job: &str) -> Result<bool, StatsError> {
    Ok(lake.place().load(&name_of(job)).await?.is_some())
}

/// What a run leaves beside its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Stands for versions, job and range.
    pub(super) key: i64,
    /// Windows computed.
    pub(super) windows: u64,
    /// Rows of all results.
    pub(super) rows: u64,
}

/// A number that stands for what a run would compute.
pub(super) fn key(spec: &StatsJobSpec, range: Window, versions: &BTreeMap<&'static str, u64>) -> i64 {
    let text =
        serde_json::json!({"spec": spec, "start": range.start, "end": range.end, "versions": versions});
    let digest = Sha256::digest(text.to_string());
    let head = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    i64::try_from(head >> 1).unwrap_or_default()
}

/// A job's result table.
pub(super) struct ResultTable<'a> {
    place: &'a Place,
    name: String,
    table: DeltaTable,
}

impl<'a> ResultTable<'a> {
    /// Opens it, made when absent.
    pub(super) async fn open(lake: &'a DeltaLake, job: &str) -> Result<Self, StatsError> {
        let (place, name) = (lake.place(), name_of(job));
        let table = if let Some(table) = place.load(&name).await? {
            table
        } else {
            let log = place.log_store(&name)?;
            CreateBuilder::new().with_log_store(log).with_columns(fields()).await?
        };
        Ok(Self { place, name, table })
    }

    /// The run that the table holds, if it is the one with this key.
    pub(super) async fn unchanged(&self, key: i64) -> Result<Option<Run>, StatsError> {
        let number = |name| async move {
            self.table.snapshot()?.transaction_version(self.table.log_store().as_ref(), name).await
        };
        let stored: Option<i64> = number(RUN).await?;
        if stored != Some(key) {
            return Ok(None);
        }
        let count = |count: Option<i64>| u64::try_from(count.unwrap_or_default()).unwrap_or_default();
        Ok(Some(Run { key, windows: count(number(WINDOWS).await?), rows: count(number(ROWS).await?) }))
    }

    /// Puts these rows in the place of those that are there, in one commit.
    pub(super) async fn replace(
        &self,
        rows: &[StatRow],
        run: &Run,
        versions: &BTreeMap<&'static str, u64>,
    ) -> Result<(), StatsError> {
        let body = Bytes::from(encode(&batch_of(rows)?)?);
        let path = format!("stats-{:016x}.zstd.parquet", run.key);
        if self.place.put(&self.name, &path, body.clone()).await? == Put::Differs {
            self.place.replace(&self.name, &path, body.clone()).await?;
        }
        let state = self.table.snapshot()?.clone();
        let mut actions: Vec<Action> = Vec::new();
        for file in state.log_data().iter().filter(|file| file.path() != path.as_str()) {
            actions.push(Action::Remove(file.remove_action(true)));
        }
        actions.push(Action::Add(add(path, body.len(), rows.len())));
        let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let transactions = vec![
            Transaction::new(RUN, run.key),
            Transaction::new(WINDOWS, long(run.windows)),
            Transaction::new(ROWS, long(run.rows)),
        ];
        let read = serde_json::to_value(versions).unwrap_or_default();
        let properties = CommitProperties::default()
            .with_metadata([("parking.versions".to_owned(), read)])
            .with_application_transactions(transactions)
            .with_cleanup_expired_logs(Some(false));
        let operation =
            DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&state), self.table.log_store(), operation)
            .await?;
        Ok(())
    }
}

/// Puts the answer of a user's query in the place of the one before.
pub(super) async fn replace_query(
    lake: &DeltaLake,
    job: &str,
    query: &str,
    rows: RecordBatch,
) -> Result<(), StatsError> {
    let name = name_of(&format!("{job}_{query}"));
    let table = match lake.place().load(&name).await? {
        Some(table) => table,
        None => DeltaTable::new(lake.place().log_store(&name)?),
    };
    table
        .write(vec![rows])
        .with_save_mode(SaveMode::Overwrite)
        .with_schema_mode(deltalake::operations::write::SchemaMode::Overwrite)
        .await?;
    Ok(())
}

/// The rows of a job's result; none where it has not run.
pub async fn read(lake: &DeltaLake, job: &str) -> Result<Vec<StatRow>, StatsError> {
    read_table(lake, &name_of(job)).await
}

/// The rows of a table of results; none where there is none.
pub async fn read_table(lake: &DeltaLake, name: &str) -> Result<Vec<StatRow>, StatsError> {
    let Some(table) = lake.place().load(name).await? else { return Ok(Vec::new()) };
    let context = datafusion::prelude::SessionContext::new();
    context.register_table("result", table.table_provider().await?)?;
    let select = "SELECT zone_id, user_zone_id, start, statistic, value, coverage FROM result \
                  ORDER BY user_zone_id, start, statistic";
    let mut rows = Vec::new();
    for batch in context.sql(select).await?.collect().await? {
        let (zones, codes, starts) = (texts(&batch, 0)?, texts(&batch, 1)?, longs(&batch, 2)?);
        let (statistics, values, coverages) = (texts(&batch, 3)?, doubles(&batch, 4)?, doubles(&batch, 5)?);
        let names = zones.into_iter().zip(codes).zip(statistics);
        let numbers = starts.into_iter().zip(values).zip(coverages);
        rows.extend(names.zip(numbers).map(|(((zone, code), statistic), ((start, value), coverage))| {
            StatRow {
                zone_id: zone.unwrap_or_default(),
                user_zone_id: code.unwrap_or_default(),
                start: start.unwrap_or_default(),
                statistic: statistic.unwrap_or_default(),
                value,
                coverage: coverage.unwrap_or_default(),
            }
        }));
    }
    Ok(rows)
}

fn fields() -> Vec<StructField> {
    [
        ("zone_id", DeltaType::STRING),
        ("user_zone_id", DeltaType::STRING),
        ("start", DeltaType::LONG),
        ("statistic", DeltaType::STRING),
        ("value", DeltaType::DOUBLE),
        ("coverage", DeltaType::DOUBLE),
    ]
    .map(|(name, kind)| StructField::new(name, kind, true))
    .into()
}

/// The rows as the tables hold them.
pub(super) fn batch_of(rows: &[StatRow]) -> Result<RecordBatch, StatsError> {
    fn text(rows: &[StatRow], value: fn(&StatRow) -> &str) -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    }
    let columns: [(&str, ArrayRef); 6] = [
        ("zone_id", text(rows, |row| &row.zone_id)),
        ("user_zone_id", text(rows, |row| &row.user_zone_id)),
        (START, Arc::new(rows.iter().map(|row| Some(row.start)).collect::<Int64Array>())),
        ("statistic", text(rows, |row| &row.statistic)),
        ("value", Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>())),
        ("coverage", Arc::new(rows.iter().map(|row| Some(row.coverage)).collect::<Float64Array>())),
    ];
    let types: [DataType; 6] = columns.each_ref().map(|(_, array)| array.data_type().clone());
    let names = columns.iter().map(|(name, _)| *name).zip(types);
    let schema =
        Arc::new(Schema::new(names.map(|(name, kind)| Field::new(name, kind, true)).collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.map(|(_, array)| array).into())?)
}

/// A file of rows.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>, StatsError> {
    let zstd = Compression::ZSTD(parquet::basic::ZstdLevel::try_new(1)?);
    let properties =
        WriterProperties::builder().set_created_by("parking lake 1".to_owned()).set_compression(zstd);
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties.build()))?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// The action that shows a file.
pub(super) fn add(path: String, size: usize, rows: usize) -> Add {
    let long = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Add {
        path,
        partition_values: [].into(),
        size: long(size),
        modification_time: 0,
        data_change: true,
        stats: Some(format!(r#"{{"numRecords":{rows}}}"#)),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}
