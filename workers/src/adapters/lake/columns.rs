//! The columns of each table: one list from which the Delta schema, the Arrow schema and the encoder
//! are derived.
//!
//! Names are those of the CDS profile; `ext_…` are the members of `ext`. Times are CDS's integers,
//! milliseconds since the epoch. Rare nested fields are JSON text. `extra` keeps, as one JSON object,
//! whatever has no column or a value that does not fit it: nothing of a record is lost.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::kernel::{DataType as DeltaType, StructField};

use crate::ports::lake::Table;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A string of its own in nearly every row: a dictionary would only cost.
    Id,
    /// Any JSON value, as text.
    Json,
    /// A whole number, or one written as a string.
    Long,
    /// A truth value.
    Bool,
    /// Base 64 in the record, bytes in the table.
    Bytes,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// The partition column; its value stands in the log and in the path, not in the files.
pub(super) const DATE: &str = "event_date";
/// What has no column.
pub(super) const EXTRA: &str = "extra";

/// Columns that the archive knows, before those of the record.
const ORIGIN: [Column; 3] =
    [column("partition", Kind::Long), column("offset", Kind::Long), column("ordinal", Kind::Long)];

const EVENTS: &[Column] = &[
    column("late", Kind::Bool),
    column("replayed", Kind::Bool),
    column("event_id", Kind::Id),
    column("event_type", Kind::Text),
    column("record_type", Kind::Text),
    column("event_purpose", Kind::Text),
    column("event_location", Kind::Json),
    column("event_time", Kind::Long),
    column("event_publication_time", Kind::Long),
    column("event_session_id", Kind::Id),
    column("curb_zone_id", Kind::Text),
    column("curb_area_ids", Kind::Json),
    column("curb_space_id", Kind::Text),
    column("data_source_type", Kind::Text),
    column("data_source_operator_id", Kind::Text),
    column("data_source_device_id", Kind::Text),
    column("data_source_device_name", Kind::Text),
    column("sensor_status_is_commissioned", Kind::Bool),
    column("sensor_status_is_online", Kind::Bool),
    column("vehicle_license_plate", Kind::Text),
    column("vehicle_permit_number", Kind::Text),
    column("vehicle_length", Kind::Long),
    column("vehicle_type", Kind::Text),
    column("vehicle_propulsion_types", Kind::Json),
    column("vehicle_blocked_lane_types", Kind::Json),
    column("curb_occupants", Kind::Json),
    column("actual_cost", Kind::Long),
    column("occupied", Kind::Long),
    column("closed", Kind::Bool),
    column("out_of_service", Kind::Bool),
    column("alert_id", Kind::Text),
    column("reservation_id", Kind::Text),
    column("payment_id", Kind::Text),
    column("amount", Kind::Long),
    column("paid_until", Kind::Long),
    column("ext_schema_version", Kind::Long),
    column("ext_tenant", Kind::Text),
    column("ext_seq", Kind::Long),
    column("ext_boot_id", Kind::Text),
    column("ext_device_time", Kind::Long),
    column("ext_currency", Kind::Text),
    column("ext_reservation_id", Kind::Text),
    column("ext_battery_pct", Kind::Long),
    column("ext_rssi_dbm", Kind::Long),
    column("ext_quality", Kind::Text),
    column("ext_occupied", Kind::Long),
];

const SESSIONS: &[Column] = &[
    column("record_type", Kind::Text),
    column("session_id", Kind::Id),
    column("revision", Kind::Long),
    column("curb_zone_id", Kind::Text),
    column("curb_space_id", Kind::Text),
    column("device_id", Kind::Text),
    column("start", Kind::Long),
    column("start_kind", Kind::Text),
    column("end", Kind::Long),
    column("end_kind", Kind::Text),
    column("dwell_ms", Kind::Long),
    column("late", Kind::Bool),
    column("replayed", Kind::Bool),
];

const ALERTS: &[Column] = &[
    column("record_type", Kind::Text),
    column("alert_id", Kind::Id),
    column("fingerprint", Kind::Text),
    column("rule", Kind::Text),
    column("rule_hash", Kind::Text),
    column("state", Kind::Text),
    column("severity", Kind::Text),
    column("labels", Kind::Json),
    column("value", Kind::Json),
    column("active_at", Kind::Long),
    column("starts_at", Kind::Long),
    column("fired_at", Kind::Long),
    column("ends_at", Kind::Long),
    column("cause_event_ids", Kind::Json),
    column("generation", Kind::Long),
    column("replayed", Kind::Bool),
];

const DEAD_LETTERS: &[Column] = &[
    column("record_type", Kind::Text),
    column("reason", Kind::Text),
    column("detail", Kind::Text),
    column("event_time", Kind::Long),
    column("bytes", Kind::Bytes),
];

const INVENTORY: &[Column] = &[
    column("revision", Kind::Long),
    column("valid_from", Kind::Long),
    column("curb_zone_id", Kind::Text),
    column("user_zone_id", Kind::Text),
    column("name", Kind::Text),
    column("curb_area_id", Kind::Text),
    column("labels", Kind::Json),
    column("num_spaces", Kind::Long),
    column("class", Kind::Text),
    column("time_zone", Kind::Text),
    column("stale_after_ms", Kind::Long),
    column("expected_report_interval_ms", Kind::Long),
    column("max_stay_ms", Kind::Long),
    column("grace_ms", Kind::Long),
    column("rate", Kind::Long),
    column("rate_currency", Kind::Text),
    column("rate_per_ms", Kind::Long),
    column("curb_space_ids", Kind::Json),
    column("device_ids", Kind::Json),
];

/// The columns of a table's files, in order, without [`DATE`].
pub(super) fn columns(table: Table) -> Vec<Column> {
    let own = match table {
        Table::Events => EVENTS,
        Table::Sessions => SESSIONS,
        Table::Alerts => ALERTS,
        Table::DeadLetters => DEAD_LETTERS,
        Table::Inventory => INVENTORY,
    };
    let extra = column(EXTRA, Kind::Json);
    ORIGIN.iter().chain(own).copied().chain([extra]).collect()
}

/// The schema of a table's files.
pub(super) fn file_schema(table: Table) -> SchemaRef {
    let fields =
        columns(table).into_iter().map(|column| Field::new(column.name, arrow_type(column.kind), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The schema that readers of the table see.
pub(super) fn table_schema(table: Table) -> SchemaRef {
    let file = file_schema(table);
    let date = Arc::new(Field::new(DATE, DataType::Date32, true));
    Arc::new(Schema::new(file.fields().iter().cloned().chain([date]).collect::<Vec<_>>()))
}

/// The same in the words of Delta.
pub(super) fn delta_fields(table: Table) -> Vec<StructField> {
    let mut fields: Vec<StructField> = columns(table)
        .into_iter()
        .map(|column| StructField::new(column.name, delta_type(column.kind), true))
        .collect();
    fields.push(StructField::new(DATE, DeltaType::DATE, true));
    fields
}

fn arrow_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Id | Kind::Json => DataType::Utf8,
        Kind::Long => DataType::Int64,
        Kind::Bool => DataType::Boolean,
        Kind::Bytes => DataType::Binary,
    }
}

fn delta_type(kind: Kind) -> DeltaType {
    match kind {
        Kind::Text | Kind::Id | Kind::Json => DeltaType::STRING,
        Kind::Long => DeltaType::LONG,
        Kind::Bool => DeltaType::BOOLEAN,
        Kind::Bytes => DeltaType::BINARY,
    }
}
