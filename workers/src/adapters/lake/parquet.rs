//! Records to Parquet: JSON to typed Arrow builders to zstd level 1.
//!
//! Invariants: the same rows give the same bytes (no time, no host, a fixed `created_by`); a value
//! that does not fit its column goes to `extra`, a record that is no JSON object is an error.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryBuilder, BooleanBuilder, Int64Builder, RecordBatch, StringBuilder},
    error::ArrowError,
};
use bytes::Bytes;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
    schema::types::ColumnPath,
};
use sonic_rs::{JsonValueTrait, LazyValue, to_object_iter};

use super::columns::{Column, EXTRA, Kind, columns, file_schema};
use crate::{
    ports::{event_log::Partition, lake::Table},
    runtime::archive::{EncodeError, Encoder, Row},
};

/// Stands in every file as its maker. Changes only when the bytes for the same rows change.
const CREATED_BY: &str = "parking lake 1";
const ROWS_OF_GROUP: usize = 262_144;

/// Writes Parquet files.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParquetEncoder;

impl Encoder for ParquetEncoder {
    fn extension(&self) -> &'static str {
        "zstd.parquet"
    }

    fn encode(&self, table: Table, partition: Partition, rows: &[Row]) -> Result<Bytes, EncodeError> {
        let refuse = |reason: String| EncodeError { table: table.as_str(), partition, reason };
        let mut builders = TableBuilders::new(table, rows.len());
        for row in rows {
            builders.append(partition, row).map_err(|reason| {
                refuse(format!("offset {}, ordinal {}: {reason}", row.origin.offset, row.origin.ordinal))
            })?;
        }
        let batch = builders.finish(table).map_err(|error| refuse(error.to_string()))?;
        write(table, &batch).map_err(|error| refuse(error.to_string()))
    }
}

fn write(table: Table, batch: &RecordBatch) -> Result<Bytes, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROWS_OF_GROUP));
    for column in columns(table).into_iter().filter(|column| column.kind == Kind::Id) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name), false);
    }
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build()))?;
    writer.write(batch)?;
    writer.into_inner().map(Bytes::from)
}

enum Builder {
    Text(StringBuilder),
    Long(Int64Builder),
    Bool(BooleanBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Text | Kind::Id | Kind::Json => Self::Text(StringBuilder::with_capacity(rows, 0)),
            Kind::Long => Self::Long(Int64Builder::with_capacity(rows)),
            Kind::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Kind::Bytes => Self::Bytes(BinaryBuilder::with_capacity(rows, 0)),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Long(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
        }
    }

    /// Whether the value fits the column; if not, nothing is appended.
    fn append(&mut self, kind: Kind, value: &LazyValue<'_>) -> bool {
        if value.is_null() {
            self.append_null();
            return true;
        }
        match (self, kind) {
            (Self::Text(builder), Kind::Json) => {
                builder.append_value(value.as_raw_str());
                true
            }
            (Self::Text(builder), _) => value.as_str().map(|text| builder.append_value(text)).is_some(),
            (Self::Long(builder), _) => {
                whole_number(value).map(|number| builder.append_value(number)).is_some()
            }
            (Self::Bool(builder), _) => value.as_bool().map(|truth| builder.append_value(truth)).is_some(),
            (Self::Bytes(builder), _) => {
                let bytes =
                    value.as_str().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
                bytes.map(|bytes| builder.append_value(bytes)).is_some()
            }
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Long(mut builder) => Arc::new(builder.finish()),
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn whole_number(value: &LazyValue<'_>) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_raw_str().parse().ok(),
    }
}

/// One builder a column, and for each row the values found so far.
struct TableBuilders {
    table: Table,
    columns: Vec<(Column, Builder)>,
    /// Names and positions of columns, sorted by name.
    by_name: Vec<(&'static str, usize)>,
}

impl TableBuilders {
    fn new(table: Table, rows: usize) -> Self {
        let columns: Vec<_> =
            columns(table).into_iter().map(|column| (column, Builder::new(column.kind, rows))).collect();
        let mut by_name: Vec<_> =
            columns.iter().enumerate().map(|(position, (column, _))| (column.name, position)).collect();
        by_name.sort_unstable();
        Self { table, columns, by_name }
    }

    fn append(&mut self, partition: Partition, row: &Row) -> Result<(), String> {
        let mut slots: Vec<Option<LazyValue<'_>>> = vec![None; self.columns.len()];
        let mut extra = Extra::default();
        self.collect(&row.record, "", &mut slots, &mut extra)?;
        for ((column, builder), value) in self.columns.iter_mut().zip(slots) {
            match (column.name, builder) {
                ("partition", Builder::Long(builder)) => builder.append_value(i64::from(partition)),
                ("offset", Builder::Long(builder)) => {
                    builder.append_value(i64::try_from(row.origin.offset).unwrap_or(i64::MAX));
                }
                ("ordinal", Builder::Long(builder)) => builder.append_value(i64::from(row.origin.ordinal)),
                ("late", Builder::Bool(builder)) if self.table == Table::Events => {
                    builder.append_value(row.late);
                }
                ("replayed", Builder::Bool(builder)) if self.table == Table::Events => {
                    builder.append_value(extra.replayed);
                }
                (EXTRA, Builder::Text(builder)) => match extra.finish() {
                    Some(object) => builder.append_value(object),
                    None => builder.append_null(),
                },
                (name, builder) => match value {
                    None => builder.append_null(),
                    Some(value) if builder.append(column.kind, &value) => {}
                    Some(value) => {
                        builder.append_null();
                        extra.push(name, &value);
                    }
                },
            }
        }
        Ok(())
    }

    /// Finds the column of each member; `ext` is one level deeper.
    fn collect<'a>(
        &self,
        object: &'a [u8],
        prefix: &str,
        slots: &mut [Option<LazyValue<'a>>],
        extra: &mut Extra,
    ) -> Result<(), String> {
        for member in to_object_iter(object) {
            let (key, value) = member.map_err(|error| error.to_string())?;
            let name = format!("{prefix}{key}");
            if let (true, Cow::Borrowed(members)) = (name == "ext" && value.is_object(), value.as_raw_cow()) {
                self.collect(members.as_bytes(), "ext_", slots, extra)?;
                continue;
            }
            if name == "ext_quality" {
                extra.replayed = value.as_str() == Some("replayed");
            }
            if name == "origin" {
                continue;
            }
            let found = self.by_name.binary_search_by_key(&name.as_str(), |(name, _)| name).ok();
            let position = found.and_then(|found| self.by_name.get(found)).map(|(_, position)| *position);
            match position.and_then(|position| slots.get_mut(position)) {
                Some(slot) if !is_reserved(self.table, &name) => *slot = Some(value),
                _ => extra.push(&name, &value),
            }
        }
        Ok(())
    }

    fn finish(self, table: Table) -> Result<RecordBatch, ArrowError> {
        let arrays = self.columns.into_iter().map(|(_, builder)| builder.finish()).collect();
        RecordBatch::try_new(file_schema(table), arrays)
    }
}

/// Columns that the archive fills: a member of the record by that name is no such thing.
fn is_reserved(table: Table, name: &str) -> bool {
    let of_events = table == Table::Events && matches!(name, "late" | "replayed");
    of_events || matches!(name, "partition" | "offset" | "ordinal" | EXTRA)
}

/// Members without a column.
#[derive(Default)]
struct Extra {
    object: String,
    replayed: bool,
}

impl Extra {
    fn push(&mut self, name: &str, value: &LazyValue<'_>) {
        self.object.push(if self.object.is_empty() { '{' } else { ',' });
        self.object.push_str(&serde_json::Value::from(name).to_string());
        self.object.push(':');
        self.object.push_str(value.as_raw_str());
    }

    fn finish(&mut self) -> Option<String> {
        let mut object = std::mem::take(&mut self.object);
        (!object.is_empty()).then(|| {
            object.push('}');
            object
        })
    }
}
