//! A record of the `events` stream as the stages see it: borrowed, and only the fields that decide.
//!
//! Must not allocate for a well-formed record, do I/O or read clocks. [`Record::parse`] is the one
//! place where bytes become facts; what it refuses carries a reason of the closed list.

use std::borrow::Cow;

use parking_crds::event::{
    DeadLetterReason, EARLIEST_EVENT_TIME, EventType, Millis, Quality, SourceType, optional_millis,
};
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A curb event.
    Event(EventType),
    /// The zone closed (`true`) or opened.
    ZoneClosed(bool),
    /// The record's space left service (`true`) or came back.
    SpaceOutOfService(bool),
    /// A person counted the zone.
    CountCorrected(i64),
    /// Time passed in the partition.
    Tick,
    /// The input is complete.
    InputEnded,
    /// A companion record that changes neither occupancy nor alerts.
    Fact,
}

/// A borrowed record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// `event_id`.
    pub id: Uuid,
    /// What it says.
    pub body: Body,
    /// `event_time`.
    pub time: Millis,
    /// `event_publication_time`; the event time where the record carries none.
    pub published: Millis,
    /// `curb_zone_id`; absent only in ticks and ends of input.
    pub zone: Option<Uuid>,
    /// `curb_space_id`.
    pub space: Option<Uuid>,
    /// `data_source_device_id`; nil in companion records.
    pub device: Uuid,
    /// `data_source_type`.
    pub source_type: Option<SourceType>,
    /// `event_session_id`.
    pub session: Option<Uuid>,
    /// `sensor_status_is_online`.
    pub online: Option<bool>,
    /// Length of `curb_occupants`, where given.
    pub occupants: Option<u32>,
    /// `ext.seq`.
    pub seq: Option<u64>,
    /// `ext.boot_id`.
    pub boot: Option<Cow<'a, str>>,
    /// `ext.occupied`: a count report.
    pub occupied: Option<i64>,
    /// `ext.quality`.
    pub quality: Quality,
}

/// A record of the log, read once for all who look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<'a> {
    /// As it stands in the log.
    pub bytes: &'a [u8],
    /// What it says.
    pub record: Result<Record<'a>, Refusal>,
}

impl<'a> Reading<'a> {
    /// Reads bytes of the log.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, record: Record::parse(bytes) }
    }
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason of the closed list.
    pub reason: DeadLetterReason,
    /// What exactly, for people; names the field.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    fn missing(field: &'static str) -> Self {
        Self { reason: DeadLetterReason::MissingField, detail: Cow::Borrowed(field) }
    }

    fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: DeadLetterReason::InvalidValue, detail: detail.into() }
    }
}

impl<'a> Record<'a> {
    /// Largest record that is looked at, bytes.
    pub const MAX_SIZE: usize = 64 * 1024;

    /// Reads a record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > Self::MAX_SIZE {
            let detail = format!("{} bytes, at most {} are allowed", bytes.len(), Self::MAX_SIZE);
            return Err(Refusal { reason: DeadLetterReason::TooLarge, detail: detail.into() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| Refusal {
            reason: DeadLetterReason::NotUtf8,
            detail: format!("byte {}", error.valid_up_to()).into(),
        })?;
        let raw: Raw<'a> = sonic_rs::from_str(text).map_err(|error| refuse_syntax(&error))?;
        let body = raw.body()?;
        let time = raw.event_time.ok_or(Refusal::missing("event_time"))?;
        if time < EARLIEST_EVENT_TIME {
            return Err(Refusal::invalid("event_time: before 2010"));
        }
        let is_event = matches!(body, Body::Event(_));
        let zone = raw.curb_zone_id.map(|Id(id)| id);
        if zone.is_none() && !matches!(body, Body::Tick | Body::InputEnded) {
            return Err(Refusal::missing("curb_zone_id"));
        }
        let published = match raw.event_publication_time {
            Some(published) => published,
            None if is_event => return Err(Refusal::missing("event_publication_time")),
            None => time,
        };
        let device = match raw.data_source_device_id {
            Some(Id(device)) => device,
            None if is_event => return Err(Refusal::missing("data_source_device_id")),
            None => Uuid::nil(),
        };
        let ext = raw.ext.ok_or(Refusal::missing("ext"))?;
        Ok(Self {
            id: raw.event_id.ok_or(Refusal::missing("event_id"))?.0,
            body,
            time,
            published,
            zone,
            space: raw.curb_space_id.map(|Id(id)| id),
            device,
            source_type: raw.data_source_type,
            session: raw.event_session_id.map(|Id(id)| id),
            online: raw.sensor_status_is_online,
            occupants: raw.curb_occupants.map(|Length(length)| length),
            seq: ext.seq,
            boot: ext.boot_id,
            occupied: ext.occupied,
            quality: ext.quality.unwrap_or_default(),
        })
    }

    /// Whether it is old data played again.
    pub fn is_replayed(&self) -> bool {
        self.quality == Quality::Replayed
    }
}

fn refuse_syntax(error: &sonic_rs::Error) -> Refusal {
    let reason = match error.classify() {
        sonic_rs::error::Category::TypeUnmatched | sonic_rs::error::Category::NotFound => {
            DeadLetterReason::InvalidValue
        }
        _ => DeadLetterReason::Malformed,
    };
    let text = error.to_string();
    Refusal { reason, detail: text.lines().next().unwrap_or_default().to_owned().into() }
}

#[derive(Deserialize)]
struct Raw<'a> {
    event_id: Option<Id>,
    event_type: Option<&'a str>,
    record_type: Option<&'a str>,
    #[serde(default, deserialize_with = "optional_millis")]
    event_time: Option<Millis>,
    #[serde(default, deserialize_with = "optional_millis")]
    event_publication_time: Option<Millis>,
    event_session_id: Option<Id>,
    curb_zone_id: Option<Id>,
    curb_space_id: Option<Id>,
    data_source_type: Option<SourceType>,
    data_source_device_id: Option<Id>,
    sensor_status_is_online: Option<bool>,
    curb_occupants: Option<Length>,
    closed: Option<bool>,
    out_of_service: Option<bool>,
    occupied: Option<i64>,
    #[serde(borrow)]
    ext: Option<RawExt<'a>>,
}

#[derive(Deserialize)]
struct RawExt<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    boot_id: Option<Cow<'a, str>>,
    occupied: Option<i64>,
    quality: Option<Quality>,
}

impl Raw<'_> {
    fn body(&self) -> Result<Body, Refusal> {
        if let Some(word) = self.event_type {
            return event_type(word).map(Body::Event).ok_or_else(|| unknown("event_type", word));
        }
        match self.record_type.ok_or(Refusal::missing("event_type"))? {
            "zone.closed" => Ok(Body::ZoneClosed(self.closed.ok_or(Refusal::missing("closed"))?)),
            "space.out_of_service" => {
                self.curb_space_id.as_ref().ok_or(Refusal::missing("curb_space_id"))?;
                Ok(Body::SpaceOutOfService(self.out_of_service.ok_or(Refusal::missing("out_of_service"))?))
            }
            "count.corrected" => Ok(Body::CountCorrected(self.occupied.ok_or(Refusal::missing("occupied"))?)),
            "tick" => Ok(Body::Tick),
            "input.ended" => Ok(Body::InputEnded),
            "charging.ended" | "alert.acknowledged" => Ok(Body::Fact),
            word if word.starts_with("payment.") || word.starts_with("reservation.") => Ok(Body::Fact),
            word => Err(unknown("record_type", word)),
        }
    }
}

fn unknown(field: &str, word: &str) -> Refusal {
    let word: String = word.chars().take(40).collect();
    Refusal { reason: DeadLetterReason::UnknownType, detail: format!("{field}: {word}").into() }
}

fn event_type(word: &str) -> Option<EventType> {
    Some(match word {
        "park_start" => EventType::ParkStart,
        "park_end" => EventType::ParkEnd,
        "comms_lost" => EventType::CommsLost,
        "comms_restored" => EventType::CommsRestored,
        "decommissioned" => EventType::Decommissioned,
        "scheduled_report" => EventType::ScheduledReport,
        "enter_area" => EventType::EnterArea,
        "exit_area" => EventType::ExitArea,
        _ => return None,
    })
}

/// A UUID read from borrowed text, without the detour over an owned string.
#[derive(Clone, Copy)]
struct Id(Uuid);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Uuid::try_parse(text).map(Self).map_err(|_| de::Error::custom("not a UUID"))
    }
}

/// The length of a list whose elements do not matter.
struct Length(u32);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> de::Visitor<'de> for Count {
            type Value = Length;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while list.next_element::<de::IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }
        }
        deserializer.deserialize_seq(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event_id":"7d8a5885-e949-5ac9-8fb7-fa4d43b68530","event_type":"park_start","event_purpose":"vehicle_parking","event_time":"1760601600000","event_publication_time":1760601600412,"event_session_id":null,"curb_zone_id":"02885f6f-ef93-441b-9e74-487279380656","curb_space_id":"7e6be807-ff61-4f12-85c8-0fb740b24436","data_source_type":"in_ground","data_source_device_id":"0fcb51b0-4529-4d28-a339-81e9a9bbcdb3","vehicle_type":"car","curb_occupants":[{"type":"car"},{"type":"van"}],"ext":{"schema_version":1,"tenant":"melbourne","seq":812,"boot_id":"b7","quality":"observed"}}"#;

    fn reason(text: &str) -> DeadLetterReason {
        Record::parse(text.as_bytes()).unwrap_err().reason
    }

    #[test]
    fn deciding_fields_are_read_and_the_rest_is_passed_over() {
        let record = Record::parse(EVENT.as_bytes()).unwrap();
        assert_eq!(record.body, Body::Event(EventType::ParkStart));
        assert_eq!((record.time, record.published), (1_760_601_600_000, 1_760_601_600_412));
        assert_eq!((record.seq, record.boot.as_deref(), record.occupants), (Some(812), Some("b7"), Some(2)));
        assert_eq!(record.session, None);
    }

    #[test]
    fn too_large_is_told() {
        assert_eq!(reason(&" ".repeat(Record::MAX_SIZE + 1)), DeadLetterReason::TooLarge);
    }

    #[test]
    fn not_utf8_is_told() {
        assert_eq!(Record::parse(b"{\"a\":\"\xff\"}").unwrap_err().reason, DeadLetterReason::NotUtf8);
    }

    #[test]
    fn malformed_is_told() {
        assert_eq!(reason(&EVENT[..EVENT.len() - 5]), DeadLetterReason::Malformed);
        assert_eq!(reason("nonsense"), DeadLetterReason::Malformed);
    }

    #[test]
    fn missing_field_is_told_by_name() {
        for field in [
            "event_id",
            "event_time",
            "event_publication_time",
            "curb_zone_id",
            "data_source_device_id",
            "ext",
        ] {
            let refusal =
                Record::parse(EVENT.replace(&format!("\"{field}\""), "\"x\"").as_bytes()).unwrap_err();
            assert_eq!((refusal.reason, &*refusal.detail), (DeadLetterReason::MissingField, field));
        }
    }

    #[test]
    fn invalid_value_is_told() {
        for (from, to) in [
            ("\"1760601600000\"", "true"),
            ("7d8a5885", "7d8a588"),
            ("in_ground", "seabed"),
            ("\"1760601600000\"", "5"),
        ] {
            assert_eq!(reason(&EVENT.replace(from, to)), DeadLetterReason::InvalidValue, "{to}");
        }
    }

    #[test]
    fn unknown_type_is_told() {
        assert_eq!(reason(&EVENT.replace("park_start", "park_jump")), DeadLetterReason::UnknownType);
        let companion = EVENT.replace("event_type", "record_type");
        assert_eq!(reason(&companion), DeadLetterReason::UnknownType);
    }
}
