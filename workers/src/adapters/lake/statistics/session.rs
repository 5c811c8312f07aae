//! The lake's tables as a `DataFusion` session: one version of each, read through views.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use datafusion::{
    datasource::MemTable, error::DataFusionError, execution::context::SessionContext, prelude::SessionConfig,
};
use parking_crds::{event::Millis, time::Window};

use super::StatsError;
use crate::{
    adapters::lake::{DeltaLake, columns::table_schema},
    domain::stats::ZoneFacts,
    ports::lake::{Lake, Table, TableSnapshot},
};

/// Reports that a sensor may miss before its space counts as unknown.
const MISSED_REPORTS: i64 = 3;
/// How long a space's state holds where no reports are expected.
const WITHOUT_LIMIT: Millis = 100 * 365 * 86_400_000;

/// One version of every table.
pub(super) struct Session {
    pub(super) context: SessionContext,
    snapshots: BTreeMap<Table, TableSnapshot>,
    partitions: u32,
}

impl Session {
    /// Fixes the versions and registers the tables, absent ones as empty.
    pub(super) async fn open(lake: &DeltaLake) -> Result<Self, StatsError> {
        let context = SessionContext::new_with_config(config());
        let mut snapshots = BTreeMap::new();
        for table in Table::ALL {
            // The snapshot first: what the table then has in addition lies beyond its watermark.
            snapshots.insert(table, lake.snapshot(table).await?);
            let provider = match lake.table(table).await? {
                Some(delta) => delta.table_provider().await?,
                None => Arc::new(MemTable::try_new(table_schema(table), vec![Vec::new()])?),
            };
            context.register_table(all_of(table), provider)?;
        }
        let session = Self { context, snapshots, partitions: lake.partitions() };
        for table in Table::ALL {
            session.view(table.as_str(), &format!("SELECT * FROM {}", body_of(table))).await?;
        }
        Ok(session)
    }

    /// Versions of the tables that exist.
    pub(super) fn versions(&self) -> BTreeMap<&'static str, u64> {
        let versions = self.snapshots.iter();
        versions.filter_map(|(table, snapshot)| Some((table.as_str(), snapshot.version?))).collect()
    }

    /// The least watermark over the partitions of these tables; `None` where one has none yet.
    pub(super) fn complete_until(&self, tables: &[Table]) -> Option<Millis> {
        let marks: Option<Vec<Millis>> = tables.iter().map(|table| self.watermark(*table)).collect();
        Some(marks?.into_iter().min().unwrap_or(Millis::MAX))
    }

    /// The least watermark over the partitions of a table; `None` where one has none yet.
    pub(super) fn watermark(&self, table: Table) -> Option<Millis> {
        let positions = &self.snapshots.get(&table)?.positions;
        let marks = (0..self.partitions).map(|partition| positions.get(&partition)?.watermark);
        marks.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Time of the first accepted event, out of the first date alone.
    pub(super) async fn first_event(&self) -> Result<Option<Millis>, StatsError> {
        let first = "SELECT MIN(event_time) FROM all_events WHERE event_date = \
                     (SELECT MIN(event_date) FROM all_events)";
        let batches = self.sql(first).await?;
        let Some(batch) = batches.first() else { return Ok(None) };
        Ok(longs(batch, 0)?.first().copied().flatten())
    }

    /// Times of the first and the last accepted event.
    pub(super) async fn range_of_events(&self) -> Result<Option<(Millis, Millis)>, StatsError> {
        let batches = self.sql("SELECT MIN(event_time), MAX(event_time) FROM events").await?;
        let Some(batch) = batches.first() else { return Ok(None) };
        let (first, last) = (longs(batch, 0)?, longs(batch, 1)?);
        Ok(first.first().copied().flatten().zip(last.first().copied().flatten()))
    }

    /// Every zone of every revision, each with the time for which the revision holds.
    pub(super) async fn zones(&self) -> Result<Vec<ZoneFacts>, StatsError> {
        let batches = self
            .sql(
                "SELECT curb_zone_id, user_zone_id, valid_from, revision, num_spaces, stale_after_ms, \
                 expected_report_interval_ms, CASE WHEN curb_space_ids = '[]' THEN 1 ELSE 0 END \
                 FROM inventory",
            )
            .await?;
        let mut zones = Vec::new();
        let mut starts = BTreeMap::new();
        for batch in &batches {
            let (ids, codes) = (texts(batch, 0)?, texts(batch, 1)?);
            let (from, revisions, spaces) = (longs(batch, 2)?, longs(batch, 3)?, longs(batch, 4)?);
            let (stale, expected, counts) = (longs(batch, 5)?, longs(batch, 6)?, longs(batch, 7)?);
            let numbers = from.into_iter().zip(revisions).zip(spaces).zip(stale).zip(expected).zip(counts);
            for ((zone, code), (((((from, revision), spaces), stale), expected), counts)) in
                ids.into_iter().zip(codes).zip(numbers)
            {
                let count_only = counts == Some(1);
                let missed =
                    expected.map_or(WITHOUT_LIMIT, |expected| expected.saturating_mul(MISSED_REPORTS));
                let hold = if count_only { stale.unwrap_or(WITHOUT_LIMIT) } else { missed };
                starts.insert(revision.unwrap_or_default(), from.unwrap_or_default());
                let (zone, user_zone_id) = (zone.unwrap_or_default(), code.unwrap_or_default());
                let (valid_from, spaces) = (revision.unwrap_or_default(), spaces.unwrap_or_default());
                zones.push(ZoneFacts {
                    zone,
                    user_zone_id,
                    valid_from,
                    valid_to: 0,
                    spaces,
                    count_only,
                    hold,
                });
            }
        }
        for zone in &mut zones {
            let revision = zone.valid_from;
            let own = starts.get(&revision).copied().unwrap_or_default();
            zone.valid_from = if revision == 0 { Millis::MIN } else { own };
            zone.valid_to = starts.get(&(revision + 1)).copied().unwrap_or(Millis::MAX);
        }
        zones.sort_by(|a, b| (&a.zone, a.valid_from).cmp(&(&b.zone, b.valid_from)));
        Ok(zones)
    }

    /// The answer to a user's query, which sees events, sessions and alerts of the window only.
    pub(super) async fn answer(
        &self,
        sql: &str,
        window: Window,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), DataFusionError> {
        for (table, time) in [
            (Table::Events, "event_time"),
            (Table::Sessions, "COALESCE(\"end\", \"start\")"),
            (Table::Alerts, "starts_at"),
        ] {
            let (Window { start, end }, body) = (window, body_of(table));
            let cut = format!("SELECT * FROM {body} WHERE {time} >= {start} AND {time} < {end}");
            self.view(table.as_str(), &cut).await?;
        }
        let answer = self.collect(sql).await;
        for table in Table::ALL {
            self.view(table.as_str(), &format!("SELECT * FROM {}", body_of(table))).await?;
        }
        answer
    }

    async fn collect(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), DataFusionError> {
        let answer = self.context.sql(sql).await?;
        let schema = Arc::clone(answer.schema().inner());
        Ok((schema, answer.collect().await?))
    }

    /// Puts rows in the place of those that a table of the session has.
    pub(super) fn put_table(&self, name: &str, rows: Arc<MemTable>) -> Result<(), DataFusionError> {
        self.context.deregister_table(name)?;
        self.context.register_table(name, rows)?;
        Ok(())
    }

    /// Runs one of our own statements.
    pub(super) async fn sql(&self, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
        self.context.sql(sql).await?.collect().await
    }

    async fn view(&self, name: &str, select: &str) -> Result<(), DataFusionError> {
        let view = self.context.sql(select).await?.into_view();
        self.context.deregister_table(name)?;
        self.context.register_table(name, view)?;
        Ok(())
    }
}

fn config() -> SessionConfig {
    SessionConfig::new().with_information_schema(false)
}

fn all_of(table: Table) -> String {
    format!("all_{}", table.as_str())
}

/// What a reader sees of a table: of sessions, the newest revision of each.
fn body_of(table: Table) -> String {
    let all = all_of(table);
    if table == Table::Sessions {
        let newest = "ROW_NUMBER() OVER (PARTITION BY session_id ORDER BY revision DESC)";
        return format!(
            "(SELECT * FROM (SELECT *, {newest} AS newest FROM {all}) AS s WHERE newest = 1) AS s"
        );
    }
    all
}

/// A column of whole numbers.
pub(super) fn longs(batch: &RecordBatch, column: usize) -> Result<Vec<Option<i64>>, StatsError> {
    let array = typed(batch, column, &DataType::Int64)?;
    Ok(array.as_primitive::<Int64Type>().iter().collect())
}

/// A column of texts.
pub(super) fn texts(batch: &RecordBatch, column: usize) -> Result<Vec<Option<String>>, StatsError> {
    let array = typed(batch, column, &DataType::Utf8)?;
    Ok(array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// A column of decimals.
pub(super) fn doubles(batch: &RecordBatch, column: usize) -> Result<Vec<Option<f64>>, StatsError> {
    let array = typed(batch, column, &DataType::Float64)?;
    Ok(array.as_primitive::<arrow::datatypes::Float64Type>().iter().collect())
}

fn typed(batch: &RecordBatch, column: usize, to: &DataType) -> Result<ArrayRef, StatsError> {
    let Some(array) = batch.columns().get(column) else {
        return Ok(arrow::array::new_null_array(to, batch.num_rows()));
    };
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    debug_assert!(array.len() == batch.num_rows());
    Ok(cast(array, to)?)
}
