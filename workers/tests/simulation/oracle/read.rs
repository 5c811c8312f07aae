//! What the records of a partition say, read with a plain JSON reader, field by field.

use bytes::Bytes;
use parking_crds::event::{DeadLetterReason, EARLIEST_EVENT_TIME, Millis};
use serde_json::Value;
use uuid::Uuid;

const EVENT_TYPES: [&str; 8] = [
    "park_start",
    "park_end",
    "comms_lost",
    "comms_restored",
    "decommissioned",
    "scheduled_report",
    "enter_area",
    "exit_area",
];
const SOURCE_TYPES: [&str; 8] =
    ["data_feed", "camera", "above_ground", "in_ground", "meter", "payment", "in_person", "other"];
const COMPANIONS: [&str; 7] = [
    "zone.closed",
    "space.out_of_service",
    "count.corrected",
    "tick",
    "input.ended",
    "charging.ended",
    "alert.acknowledged",
];

/// A record that could be read.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) id: Uuid,
    /// Word of the event type or the record type.
    pub(crate) kind: String,
    pub(crate) is_event: bool,
    pub(crate) time: Millis,
    pub(crate) published: Millis,
    pub(crate) zone: Option<Uuid>,
    pub(crate) space: Option<Uuid>,
    pub(crate) device: Uuid,
    pub(crate) session: Option<Uuid>,
    pub(crate) online: Option<bool>,
    pub(crate) occupants: Option<usize>,
    pub(crate) seq: Option<u64>,
    pub(crate) boot: Option<String>,
    /// The count that it reports or corrects.
    pub(crate) counted: Option<i64>,
    /// Of `zone.closed` and `space.out_of_service`.
    pub(crate) off: bool,
    pub(crate) replayed: bool,
}

/// Reads one record, or says why it cannot be one.
pub(crate) fn read(bytes: &Bytes) -> Result<Fact, DeadLetterReason> {
    use DeadLetterReason::{InvalidValue, Malformed, MissingField, NotUtf8, TooLarge, UnknownType};
    if bytes.len() > 64 * 1024 {
        return Err(TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotUtf8)?;
    let record: Value = serde_json::from_str(text).map_err(|_| Malformed)?;
    if !record["data_source_type"].is_null()
        && !SOURCE_TYPES.contains(&record["data_source_type"].as_str().unwrap_or_default())
    {
        return Err(InvalidValue);
    }
    let (id, zone) = (id_of(&record["event_id"])?, id_of(&record["curb_zone_id"])?);
    let (space, device) = (id_of(&record["curb_space_id"])?, id_of(&record["data_source_device_id"])?);
    let session = id_of(&record["event_session_id"])?;
    let (time, published) = (time_of(&record["event_time"])?, time_of(&record["event_publication_time"])?);
    let is_event = record["event_type"].is_string();
    let kind = record[if is_event { "event_type" } else { "record_type" }].as_str().ok_or(MissingField)?;
    let companion =
        |kind| COMPANIONS.contains(&kind) || kind.starts_with("payment.") || kind.starts_with("reservation.");
    if !(if is_event { EVENT_TYPES.contains(&kind) } else { companion(kind) }) {
        return Err(UnknownType);
    }
    let time = time.ok_or(MissingField)?;
    if time < EARLIEST_EVENT_TIME {
        return Err(InvalidValue);
    }
    let of_the_partition = ["tick", "input.ended"].contains(&kind);
    if id.is_none()
        || (zone.is_none() && !of_the_partition)
        || (is_event && (published.is_none() || device.is_none()))
        || !record["ext"].is_object()
    {
        return Err(MissingField);
    }
    let ext = &record["ext"];
    Ok(Fact {
        id: id.unwrap(),
        kind: kind.to_owned(),
        is_event,
        time,
        published: published.unwrap_or(time),
        zone,
        space,
        device: device.unwrap_or_default(),
        session,
        online: record["sensor_status_is_online"].as_bool(),
        occupants: record["curb_occupants"].as_array().map(Vec::len),
        seq: ext["seq"].as_u64(),
        boot: ext["boot_id"].as_str().map(ToOwned::to_owned),
        counted: ext["occupied"].as_i64().or(record["occupied"].as_i64()),
        off: record["closed"].as_bool().or(record["out_of_service"].as_bool()).unwrap_or_default(),
        replayed: ext["quality"] == "replayed",
    })
}

fn id_of(value: &Value) -> Result<Option<Uuid>, DeadLetterReason> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Uuid::parse_str(text).map(Some).map_err(|_| DeadLetterReason::InvalidValue),
        _ => Err(DeadLetterReason::InvalidValue),
    }
}

fn time_of(value: &Value) -> Result<Option<Millis>, DeadLetterReason> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => number.as_i64().map(Some).ok_or(DeadLetterReason::InvalidValue),
        Value::String(text) => text.parse().map(Some).map_err(|_| DeadLetterReason::InvalidValue),
        _ => Err(DeadLetterReason::InvalidValue),
    }
}
