//! The event profile: Curb Data Specification 1.0.1 events, their companion records and the closed
//! list of reasons for which a record is refused.
//!
//! Must not do I/O or read clocks. Producers build [`ParkingEvent`] and [`CompanionRecord`]; the hot
//! path of the workers reads the same bytes through a borrowed view of its own.
//!
//! Invariants: times are integer milliseconds since the epoch (strings, which the CDS examples show,
//! are accepted and never emitted); unknown fields are refused; `ext.schema_version` is 1.

use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

mod dead_letter;

pub use dead_letter::DeadLetterReason;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// 2010-01-01T00:00:00Z: no event is older (profile's `minimum`).
pub const EARLIEST_EVENT_TIME: Millis = 1_262_304_000_000;

/// What happened at the curb: the eight values of CDS `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A vehicle stopped in the space or zone.
    ParkStart,
    /// A vehicle left.
    ParkEnd,
    /// The device cannot be heard: its spaces are unknown from here on.
    CommsLost,
    /// The device is heard again: spaces stay unknown until their next report.
    CommsRestored,
    /// The device left service.
    Decommissioned,
    /// Level-triggered truth: what the device sees now.
    ScheduledReport,
    /// A vehicle passed into an area.
    EnterArea,
    /// A vehicle passed out of an area.
    ExitArea,
}

/// How an observation was made: CDS `data_source_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// A feed of another system.
    DataFeed,
    /// A camera.
    Camera,
    /// A sensor above the ground.
    AboveGround,
    /// A sensor in the ground.
    InGround,
    /// A parking meter.
    Meter,
    /// A payment system.
    Payment,
    /// A person.
    InPerson,
    /// Anything else.
    Other,
}

/// CDS `vehicle_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the specification's own and say it all")]
pub enum VehicleType {
    Bicycle,
    CargoBicycle,
    Car,
    Scooter,
    Moped,
    Motorcycle,
    Truck,
    Van,
    Freight,
    Other,
    Unspecified,
}

/// CDS `vehicle_propulsion_types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the specification's own and say it all")]
pub enum Propulsion {
    Human,
    ElectricAssist,
    Electric,
    Combustion,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// A device saw it.
    #[default]
    Observed,
    /// The platform concluded it; `boot_id` is then `inferred:<source>`.
    Inferred,
    /// The simulator made it.
    Synthetic,
    /// Old data, played again: publication time equals event time, the age limit does not apply.
    Replayed,
}

/// One vehicle in a `scheduled_report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupant {
    /// What it is.
    #[serde(rename = "type")]
    pub vehicle_type: VehicleType,
}

/// What CDS has no field for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ext {
    /// Always 1.
    pub schema_version: u32,
    /// The city or operator, `^[a-z0-9-]{1,63}$`.
    pub tenant: String,
    /// Per device and boot, one more for each event: tells duplicates and gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Changes when the device starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The device's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_millis")]
    pub device_time: Option<Millis>,
    /// ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The reservation that this stay uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<Uuid>,
    /// Battery, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery_pct: Option<u8>,
    /// Signal strength, dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rssi_dbm: Option<i32>,
    /// Absent means observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// How many vehicles stand in the whole zone: a count report. Negative ones are dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupied: Option<i64>,
}

/// A curb event as it travels on the `events` stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParkingEvent {
    /// Stable over retries: UUIDv5(device, boot, seq) where the device numbers its events.
    pub event_id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// Why, one of the words of CDS (`parking`, `delivery`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_purpose: Option<String>,
    /// GeoJSON feature; may be absent for fixed sensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_location: Option<Box<serde_json::value::RawValue>>,
    /// When it happened on the ground.
    #[serde(deserialize_with = "millis")]
    pub event_time: Millis,
    /// When ingest first had it.
    #[serde(deserialize_with = "millis")]
    pub event_publication_time: Millis,
    /// Joins the two ends of a stay, where departures can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_session_id: Option<Uuid>,
    /// The zone, and the key of the record.
    pub curb_zone_id: Uuid,
    /// Areas around it, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curb_area_ids: Vec<Uuid>,
    /// The space, where single spaces are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curb_space_id: Option<Uuid>,
    /// How it was seen.
    pub data_source_type: SourceType,
    /// Who runs the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source_operator_id: Option<Uuid>,
    /// The device.
    pub data_source_device_id: Uuid,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source_device_name: Option<String>,
    /// Whether it is in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_status_is_commissioned: Option<bool>,
    /// Whether it can be heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_status_is_online: Option<bool>,
    /// A token: clear text never leaves ingest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_license_plate: Option<String>,
    /// A permit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_permit_number: Option<String>,
    /// Length, cm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_length: Option<u32>,
    /// What stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_type: Option<VehicleType>,
    /// What drives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicle_propulsion_types: Vec<Propulsion>,
    /// Lanes in its way (illegal stops).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicle_blocked_lane_types: Vec<String>,
    /// All vehicles seen, in a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curb_occupants: Option<Vec<Occupant>>,
    /// Money paid, smallest unit of the currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_cost: Option<u64>,
    /// The profile's own fields.
    pub ext: Ext,
}

/// A fact beside the curb events, on the same stream so that it keeps its place in the zone's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionRecord {
    /// Its identity.
    pub event_id: Uuid,
    /// When it became true.
    #[serde(deserialize_with = "millis")]
    pub event_time: Millis,
    /// When ingest first had it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_millis")]
    pub event_publication_time: Option<Millis>,
    /// The zone; absent only for records about the partition itself (`tick`, `input.ended`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curb_zone_id: Option<Uuid>,
    /// What it says.
    #[serde(flatten)]
    pub body: CompanionBody,
    /// The profile's own fields.
    pub ext: Ext,
}

/// What a companion record says, by `record_type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record_type")]
pub enum CompanionBody {
    /// The whole zone closed or opened: closed, its N is 0.
    #[serde(rename = "zone.closed")]
    ZoneClosed {
        /// False opens it again.
        closed: bool,
    },
    /// A space left or re-entered service: N changes by one.
    #[serde(rename = "space.out_of_service")]
    SpaceOutOfService {
        /// The space.
        curb_space_id: Uuid,
        /// False puts it back.
        out_of_service: bool,
    },
    /// A person counted the zone: replaces the count of a zone without per-space sensors.
    #[serde(rename = "count.corrected")]
    CountCorrected {
        /// Vehicles counted.
        occupied: i64,
    },
    /// Charging ended, the vehicle may still stand there.
    #[serde(rename = "charging.ended")]
    ChargingEnded {
        /// The space.
        curb_space_id: Uuid,
    },
    /// Somebody takes care of an alert.
    #[serde(rename = "alert.acknowledged")]
    AlertAcknowledged {
        /// The alert.
        alert_id: Uuid,
    },
    /// Space held for a reservation.
    #[serde(rename = "reservation.held")]
    ReservationHeld {
        /// The reservation.
        reservation_id: Uuid,
    },
    /// Money captured.
    #[serde(rename = "payment.captured")]
    PaymentCaptured {
        /// The payment.
        payment_id: Uuid,
        /// Smallest unit of the currency.
        amount: u64,
        /// End of the paid time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid_until: Option<Millis>,
    },
    /// Time passed in a silent partition; written by its occupancy stage.
    #[serde(rename = "tick")]
    Tick {},
    /// The input is complete: closes statistics windows, fires no timer.
    #[serde(rename = "input.ended")]
    InputEnded {},
}

/// Reads a time that is an integer or, as in the CDS examples, a string of digits.
pub fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    deserializer.deserialize_any(MillisVisitor)
}

/// [`millis`] where the field may be absent or null.
pub fn optional_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    #[derive(Deserialize)]
    struct Wrapped(#[serde(deserialize_with = "millis")] Millis);
    Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
}

struct MillisVisitor;

impl de::Visitor<'_> for MillisVisitor {
    type Value = Millis;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("milliseconds since the epoch, as an integer or a string of digits")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Millis, E> {
        Ok(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Millis, E> {
        Millis::try_from(value).map_err(|_| E::custom("time beyond the range of milliseconds"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Millis, E> {
        value.parse().map_err(|_| E::custom("a time must be whole milliseconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"event_id":"7d8a5885-e949-5ac9-8fb7-fa4d43b68530","event_type":"park_start","event_time":"1760601600000","event_publication_time":1760601600412,"curb_zone_id":"02885f6f-ef93-441b-9e74-487279380656","data_source_type":"in_ground","data_source_device_id":"0fcb51b0-4529-4d28-a339-81e9a9bbcdb3","ext":{"schema_version":1,"tenant":"melbourne"}}"#;

    #[test]
    fn string_time_is_accepted_and_integer_is_emitted() {
        let event: ParkingEvent = serde_json::from_str(MINIMAL).unwrap();
        assert_eq!(event.event_time, 1_760_601_600_000);
        assert!(serde_json::to_string(&event).unwrap().contains("\"event_time\":1760601600000,"));
    }

    #[test]
    fn unknown_field_is_refused() {
        let text = MINIMAL.replace("\"event_type\"", "\"colour\":\"red\",\"event_type\"");
        assert!(serde_json::from_str::<ParkingEvent>(&text).unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn companion_record_round_trips() {
        let record = CompanionRecord {
            event_id: Uuid::nil(),
            event_time: EARLIEST_EVENT_TIME,
            event_publication_time: None,
            curb_zone_id: Some(Uuid::nil()),
            body: CompanionBody::CountCorrected { occupied: 4 },
            ext: Ext { schema_version: 1, tenant: "t".into(), ..Ext::default() },
        };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("\"record_type\":\"count.corrected\""));
        assert_eq!(serde_json::from_str::<CompanionRecord>(&text).unwrap(), record);
    }

    #[test]
    fn every_reason_has_the_word_of_its_serialised_form() {
        for reason in DeadLetterReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
