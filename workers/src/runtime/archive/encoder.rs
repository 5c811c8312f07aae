//! How rows become the bytes of a file: the archive's one seam towards a file format.
//!
//! Invariant: the same rows give the same bytes, so that a file put twice is the same file.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::ports::{
    event_log::{Offset, Partition},
    lake::Table,
};

/// Which input record made a row, and which of its effects the row is. Within a partition rows are
/// ordered by it, and no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowOrigin {
    /// Offset of the input record.
    pub offset: Offset,
    /// Number of the effect among those of the record.
    #[serde(default)]
    pub ordinal: u32,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it comes from.
    pub origin: RowOrigin,
    /// Whether the record lay behind the watermark; only events can.
    pub late: bool,
    /// The record as it stands in its stream.
    pub record: Bytes,
}

/// Rows cannot be written in the format.
#[derive(Debug, thiserror::Error)]
#[error("table {table}, partition {partition}: {reason}")]
pub struct EncodeError {
    /// Name of the table.
    pub table: &'static str,
    /// The partition.
    pub partition: Partition,
    /// What is wrong, naming the row.
    pub reason: String,
}

/// Turns rows into the bytes of one file.
pub trait Encoder: Send + Sync {
    /// How names of its files end, without a leading dot.
    fn extension(&self) -> &'static str;

    /// The file of these rows, which share a date.
    fn encode(&self, table: Table, partition: Partition, rows: &[Row]) -> Result<Bytes, EncodeError>;
}

/// One JSON object a line: `{"offset", "ordinal", "late", "record"}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NdjsonEncoder;

impl Encoder for NdjsonEncoder {
    fn extension(&self) -> &'static str {
        "ndjson"
    }

    fn encode(&self, _: Table, _: Partition, rows: &[Row]) -> Result<Bytes, EncodeError> {
        let mut file = BytesMut::new();
        for Row { origin: RowOrigin { offset, ordinal }, late, record } in rows {
            let head = format!(r#"{{"offset":{offset},"ordinal":{ordinal},"late":{late},"record":"#);
            file.put_slice(head.as_bytes());
            file.put_slice(record);
            file.put_slice(b"}\n");
        }
        Ok(file.freeze())
    }
}
