//! What came out: streams read back without their repetitions, and the rows of the lake.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_crds::event::Millis;
use parking_workers::ports::{
    event_log::{Partition, Stream},
    lake::Table,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{lifecycle::Told, verdict::Judged, zones::Stay};
use crate::world::World;

/// One output, known by its origin.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) origin: (u64, u64),
    pub(crate) json: Value,
    bytes: Bytes,
}

/// A row of a table: partition, origin, late, record.
pub(crate) type Row = (Partition, (u64, u64), bool, Bytes);

/// The outputs of a stream in the order of their origins, each once, without watermarks. Repetitions
/// must be the same, byte for byte (G3).
pub(crate) fn once(
    world: &World,
    stream: Stream,
    partition: Partition,
    wrong: &mut Vec<String>,
) -> Vec<Output> {
    let mut known: BTreeMap<(u64, u64), Output> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for bytes in world.records(stream, partition) {
        if !seen.insert(bytes.clone()) {
            continue;
        }
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else {
            wrong.push(format!("{} {partition}: an output is no JSON", stream.as_str()));
            continue;
        };
        let number = |field: &str| json["origin"][field].as_u64().unwrap_or(u64::MAX);
        let origin = (number("offset"), number("ordinal"));
        if number("partition") != u64::from(partition) {
            wrong.push(format!("{} {partition}: an output of another partition", stream.as_str()));
        }
        if known.contains_key(&origin) {
            wrong.push(format!("{} {partition}: two outputs have the origin {origin:?}", stream.as_str()));
        }
        known.entry(origin).or_insert(Output { origin, json, bytes });
    }
    known.into_values().filter(|output| output.json["record_type"] != "watermark").collect()
}

pub(crate) fn event_rows(partition: Partition, judged: &[Judged]) -> Vec<Row> {
    let row = |record: &Judged| {
        let (_, late) = record.accepted()?;
        Some((partition, (record.offset, 0), late, record.bytes.clone()))
    };
    judged.iter().filter_map(row).collect()
}

pub(crate) fn rows(partition: Partition, outputs: Vec<Output>) -> Vec<Row> {
    outputs.into_iter().map(|output| (partition, output.origin, false, output.bytes)).collect()
}

#[derive(Deserialize)]
struct Line<'a> {
    offset: u64,
    ordinal: u64,
    late: bool,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The rows that a reader of the table sees, sorted.
pub(crate) fn lake_rows(world: &World, table: Table, wrong: &mut Vec<String>) -> Vec<Row> {
    let mut rows = Vec::new();
    for seen in world.files(table) {
        let before = rows.len();
        let name = seen.file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let partition = name.split('-').nth(1).and_then(|number| number.parse().ok());
        let Some(partition) = partition else {
            wrong.push(format!("{}: a file of no partition", seen.file.path));
            continue;
        };
        for line in seen.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(Line { offset, ordinal, late, record }) = serde_json::from_slice(line) else {
                wrong.push(format!("{}: a row that cannot be read", seen.file.path));
                continue;
            };
            rows.push((partition, (offset, ordinal), late, Bytes::copy_from_slice(record.get().as_bytes())));
        }
        if rows.len() - before != usize::try_from(seen.file.rows).unwrap() {
            wrong.push(format!("{}: not as many rows as the table says", seen.file.path));
        }
    }
    rows.sort();
    rows
}

/// A session in words that sort: what the latest revision must say.
pub(crate) fn stay(zone: Uuid, stay: &Stay) -> String {
    json!([
        stay.session,
        zone,
        stay.space,
        stay.device,
        stay.start,
        stay.start_kind,
        stay.end,
        stay.end_kind,
        stay.end.map(|end| end - stay.start)
    ])
    .to_string()
}

/// The same of a record on the stream.
pub(crate) fn told_stay(output: &Output) -> String {
    let fields = [
        "session_id",
        "curb_zone_id",
        "curb_space_id",
        "device_id",
        "start",
        "start_kind",
        "end",
        "end_kind",
        "dwell_ms",
    ];
    Value::from(fields.map(|field| output.json[field].clone()).to_vec()).to_string()
}

pub(crate) fn alert(told: &Told) -> (u64, String) {
    let fields = json!([
        told.alert,
        format!("parking/{}", told.rule),
        told.state,
        told.generation,
        told.active_at,
        told.starts_at,
        told.fired_at,
        told.ends_at
    ]);
    (told.offset, fields.to_string())
}

pub(crate) fn told_alert(output: &Output) -> (u64, String) {
    let fields = ["alert_id", "rule", "state", "generation", "active_at", "starts_at", "fired_at", "ends_at"];
    let fields = fields.map(|field| output.json[field].clone()).to_vec();
    (output.origin.0, Value::from(fields).to_string())
}

/// First instant after the day in London that holds `time`.
pub(crate) fn end_of_day(time: Millis) -> Millis {
    let zoned = jiff::Timestamp::from_millisecond(time).unwrap().in_tz("Europe/London").unwrap();
    zoned.tomorrow().unwrap().start_of_day().unwrap().timestamp().as_millisecond()
}
