//! The bytes of a record: JSON written field by field into a reused buffer.
//!
//! Must not decide anything but the damage that a draft asks for. Invariant: a record without damage
//! reads as the event profile's own types; a curb event has at least 430 bytes.

use parking_crds::event::Millis;
use uuid::{Uuid, fmt::Hyphenated};

use super::{
    device::{Device, Numbered},
    draft::{Damage, Draft, Kind},
    zone::ZoneFeed,
};

const DAY: Millis = 86_400_000;

/// Writes records.
pub(super) struct Renderer {
    tenant: String,
    name: Vec<u8>,
}

impl Renderer {
    pub(super) fn new(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), name: Vec::new() }
    }

    /// Appends the bytes of one record.
    pub(super) fn write(&mut self, zone: &ZoneFeed, draft: &Draft, published: Millis, out: &mut Vec<u8>) {
        let Some(device) = zone.devices.get(draft.device as usize) else { return };
        match draft.kind {
            Kind::OutOfService { out: gone, incident } => {
                let begun = if gone { "begin" } else { "end" };
                self.companion(zone, (incident, begun), "space.out_of_service", draft, out);
                id(out, ",\"curb_space_id\":", device.space);
                text(out, if gone { ",\"out_of_service\":true" } else { ",\"out_of_service\":false" });
                self.companion_end(out);
            }
            Kind::Closed { closed, incident } => {
                self.companion(
                    zone,
                    (incident, if closed { "begin" } else { "end" }),
                    "zone.closed",
                    draft,
                    out,
                );
                text(out, if closed { ",\"closed\":true" } else { ",\"closed\":false" });
                self.companion_end(out);
            }
            Kind::Corrected { occupied, incident } => {
                self.companion(zone, (incident, "begin"), "count.corrected", draft, out);
                number(out, ",\"occupied\":", i64::from(occupied));
                self.companion_end(out);
            }
            _ => self.event(zone, device, draft, published, out),
        }
    }

    fn event(
        &mut self,
        zone: &ZoneFeed,
        device: &Device,
        draft: &Draft,
        published: Millis,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let damage = draft.damage;
        self.head(device, draft, out);
        number(out, ",\"event_publication_time\":", published);
        if let Kind::Start { session, .. } | Kind::End { session, .. } = draft.kind {
            id(out, ",\"event_session_id\":", session);
        }
        let swapped = |wanted, id: Uuid| if damage == Some(wanted) { Uuid::new_v5(&id, b"gone") } else { id };
        id(out, ",\"curb_zone_id\":", swapped(Damage::UnknownZone, zone.id));
        if !matches!(draft.kind, Kind::Count { .. }) {
            id(out, ",\"curb_space_id\":", swapped(Damage::UnknownSpace, device.space));
        }
        let counter = matches!(draft.kind, Kind::Count { .. });
        text(
            out,
            if counter { ",\"data_source_type\":\"camera\"" } else { ",\"data_source_type\":\"in_ground\"" },
        );
        id(out, ",\"data_source_device_id\":", device.id);
        text(out, ",\"data_source_device_name\":\"");
        text(out, &zone.code);
        if damage == Some(Damage::NotUtf8) {
            out.push(0xff);
        }
        number(out, "/", i64::from(draft.device));
        let online = if matches!(draft.kind, Kind::Lost { .. }) { "false" } else { "true" };
        text(out, "\",\"sensor_status_is_commissioned\":true,\"sensor_status_is_online\":");
        text(out, online);
        Self::vehicles(draft, out);
        self.ext(draft, out);
        if damage == Some(Damage::Cut) {
            out.truncate(start + (out.len() - start) / 2);
        }
    }

    fn head(&mut self, device: &Device, draft: &Draft, out: &mut Vec<u8>) {
        self.name.clear();
        boot(&mut self.name, draft);
        number(&mut self.name, ":", sequence(draft));
        id(out, "{\"event_id\":", Uuid::new_v5(&device.id, &self.name));
        let kind = match draft.kind {
            _ if draft.damage == Some(Damage::WrongType) => "park_stop",
            Kind::Start { .. } => "park_start",
            Kind::End { .. } => "park_end",
            Kind::Lost { .. } => "comms_lost",
            Kind::Restored { .. } => "comms_restored",
            _ => "scheduled_report",
        };
        if draft.damage != Some(Damage::MissingField) {
            text(out, ",\"event_type\":\"");
            text(out, kind);
            text(out, "\"");
        }
        text(out, ",\"event_purpose\":\"vehicle_parking\"");
        match draft.damage {
            Some(Damage::InvalidTime) => text(out, ",\"event_time\":\"soon\""),
            Some(Damage::FarAhead) => number(out, ",\"event_time\":", draft.time + DAY),
            Some(Damage::TooOld) => number(out, ",\"event_time\":", draft.time - 2 * DAY),
            _ => number(out, ",\"event_time\":", draft.time),
        }
    }

    fn vehicles(draft: &Draft, out: &mut Vec<u8>) {
        match draft.kind {
            Kind::Start { vehicle, .. } => {
                text(out, ",\"vehicle_type\":\"");
                text(out, vehicle);
                text(out, "\"");
            }
            Kind::End { cost, .. } => number(out, ",\"actual_cost\":", cost),
            Kind::Report { occupied: true } => text(out, ",\"curb_occupants\":[{\"type\":\"car\"}]"),
            Kind::Report { occupied: false } => text(out, ",\"curb_occupants\":[]"),
            _ => {}
        }
    }

    fn ext(&self, draft: &Draft, out: &mut Vec<u8>) {
        text(out, ",\"ext\":{\"schema_version\":1,\"tenant\":\"");
        text(out, &self.tenant);
        number(out, "\",\"seq\":", sequence(draft));
        text(out, ",\"boot_id\":\"");
        boot(out, draft);
        text(out, "\"");
        let inferred = matches!(draft.kind, Kind::Lost { .. } | Kind::Restored { .. });
        if !inferred {
            number(out, ",\"device_time\":", draft.time);
            number(out, ",\"battery_pct\":", 40 + i64::from(draft.device % 60));
            number(out, ",\"rssi_dbm\":", -60 - i64::from(draft.device % 50));
        }
        if matches!(draft.kind, Kind::End { .. }) {
            text(out, ",\"currency\":\"GBP\"");
        }
        match draft.kind {
            _ if draft.damage == Some(Damage::NegativeCount) => number(out, ",\"occupied\":", -3),
            Kind::Count { occupied } => number(out, ",\"occupied\":", i64::from(occupied)),
            _ => {}
        }
        text(out, if inferred { ",\"quality\":\"inferred\"}}" } else { ",\"quality\":\"synthetic\"}}" });
    }

    fn companion(
        &mut self,
        zone: &ZoneFeed,
        (incident, part): (u32, &str),
        record_type: &str,
        draft: &Draft,
        out: &mut Vec<u8>,
    ) {
        self.name.clear();
        text(&mut self.name, part);
        number(&mut self.name, " ", i64::from(incident));
        id(out, "{\"event_id\":", Uuid::new_v5(&zone.id, &self.name));
        text(out, ",\"record_type\":\"");
        text(out, record_type);
        number(out, "\",\"event_time\":", draft.time);
        number(out, ",\"event_publication_time\":", draft.time + 1_000);
        id(out, ",\"curb_zone_id\":", zone.id);
    }

    fn companion_end(&self, out: &mut Vec<u8>) {
        text(out, ",\"ext\":{\"schema_version\":1,\"tenant\":\"");
        text(out, &self.tenant);
        text(out, "\",\"quality\":\"synthetic\"}}");
    }
}

/// Numbers of inferred records count the two ends of each outage.
fn sequence(draft: &Draft) -> i64 {
    match draft.kind {
        Kind::Lost { outage } => 2 * i64::from(outage),
        Kind::Restored { outage } => 2 * i64::from(outage) + 1,
        _ => draft.number.seq.cast_signed(),
    }
}

fn boot(out: &mut Vec<u8>, draft: &Draft) {
    match draft.kind {
        Kind::Lost { .. } | Kind::Restored { .. } => text(out, "inferred:gateway"),
        _ => {
            let Numbered { boot, .. } = draft.number;
            number(out, "b", i64::from(boot));
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn id(out: &mut Vec<u8>, field: &str, id: Uuid) {
    let mut buffer = [0; Hyphenated::LENGTH];
    text(out, field);
    out.push(b'"');
    text(out, id.as_hyphenated().encode_lower(&mut buffer));
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, field: &str, number: i64) {
    text(out, field);
    if number < 0 {
        out.push(b'-');
    }
    let (mut digits, mut rest) = ([b'0'; 20], number.unsigned_abs());
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}
