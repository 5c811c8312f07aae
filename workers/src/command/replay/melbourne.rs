//! The bay sensors of Melbourne: one row, the last known state of one bay.
//!
//! Must not invent: a row tells the last change (`Status_Timestamp`) and when the sensor was last heard
//! (`Lastupdated`), so it becomes two records, each at its own time: the change, and a report.
//!
//! Invariants: ids derive from the bay and the time, so the same fact in a later snapshot is a duplicate;
//! bays without a zone number stand in the zone [`UNZONED`].

use jiff::Timestamp;
use parking_crds::event::{EventType, Millis, Occupant, ParkingEvent, SourceType, VehicleType};
use uuid::Uuid;

use super::{Flaw, Mapper, NAMESPACE, columns::Columns};

const HEARD: &str = "Lastupdated";
const CHANGED: &str = "Status_Timestamp";
const ZONE: &str = "Zone_Number";
const STATUS: &str = "Status_Description";
const BAY: &str = "KerbsideID";

/// IANA zone of the city.
pub const TIME_ZONE: &str = "Australia/Melbourne";

/// Code of the zone of the bays that have none.
pub const UNZONED: &str = "unzoned";

const CHANGE: u8 = 0;

/// Id of a zone.
pub fn zone_id(code: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("melbourne/zone/{code}").as_bytes())
}

/// Id of the space that a bay is.
pub fn space_id(bay: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("melbourne/space/{bay}").as_bytes())
}

/// Id of the sensor in a bay.
pub fn device_id(bay: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("melbourne/device/{bay}").as_bytes())
}

/// Reads rows.
pub(super) struct Bays {
    columns: Columns<5>,
    tenant: String,
}

struct Bay<'a> {
    time: Millis,
    written: &'a str,
    zone: &'a str,
    name: &'a str,
    present: bool,
}

impl Bays {
    pub(super) fn open(header: &[u8], tenant: &str) -> Result<Self, &'static str> {
        let columns = Columns::resolve(header, [HEARD, CHANGED, ZONE, STATUS, BAY])?;
        Ok(Self { columns, tenant: tenant.to_owned() })
    }
}

impl Mapper for Bays {
    fn facets(&self) -> u8 {
        2
    }

    fn time(&self, row: &[u8], facet: u8) -> Result<Option<Millis>, Flaw> {
        let [heard, changed, ..] = self.columns.pick(row)?;
        if facet == CHANGE { instant(CHANGED, &changed) } else { instant(HEARD, &heard) }.map(Some)
    }

    fn record(&self, row: &[u8], facet: u8, record: &mut Vec<u8>) -> Result<Option<Uuid>, Flaw> {
        let [heard, changed, zone, status, bay] = self.columns.pick(row)?;
        let present = match &*status {
            "Present" => true,
            "Unoccupied" => false,
            _ => return Err(Flaw::field(STATUS, &status, "Present or Unoccupied")),
        };
        if bay.is_empty() {
            return Err(Flaw::field(BAY, &bay, "bay number"));
        }
        let (field, written) = if facet == CHANGE { (CHANGED, &changed) } else { (HEARD, &heard) };
        let zone = if zone.is_empty() { UNZONED } else { &zone };
        let bay = Bay { time: instant(field, written)?, written, zone, name: &bay, present };
        let event = if facet == CHANGE { bay.change(&self.tenant) } else { bay.report(&self.tenant) };
        super::write(&event, record);
        Ok(Some(event.curb_zone_id))
    }
}

impl Bay<'_> {
    fn change(&self, tenant: &str) -> ParkingEvent {
        let device = device_id(self.name);
        let session = Uuid::new_v5(&device, format!("session {}", self.written).as_bytes());
        ParkingEvent {
            // The start that an end belongs to is not in a snapshot.
            event_session_id: self.present.then_some(session),
            ..self.event(if self.present { EventType::ParkStart } else { EventType::ParkEnd }, tenant)
        }
    }

    fn report(&self, tenant: &str) -> ParkingEvent {
        let occupant = Occupant { vehicle_type: VehicleType::Unspecified };
        ParkingEvent {
            curb_occupants: Some(self.present.then_some(occupant).into_iter().collect()),
            sensor_status_is_online: Some(true),
            ..self.event(EventType::ScheduledReport, tenant)
        }
    }

    fn event(&self, event_type: EventType, tenant: &str) -> ParkingEvent {
        let device = device_id(self.name);
        let kind = if event_type == EventType::ScheduledReport { "report" } else { "change" };
        let id = Uuid::new_v5(&device, format!("{kind} {}", self.written).as_bytes());
        ParkingEvent {
            curb_space_id: Some(space_id(self.name)),
            ext: super::ext(tenant),
            ..super::event(id, event_type, self.time, zone_id(self.zone), (SourceType::InGround, device))
        }
    }
}

fn instant(field: &'static str, written: &str) -> Result<Millis, Flaw> {
    let instant: Result<Timestamp, _> = written.parse();
    let refuse = |_| Flaw::field(field, written, "time with offset like 2025-03-25T11:44:37+11:00");
    instant.map(Timestamp::as_millisecond).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"\xef\xbb\xbfLastupdated,Status_Timestamp,Zone_Number,Status_Description,KerbsideID,Location";
    const ROW: &str =
        "2025-03-25T11:44:37+11:00,2025-03-25T10:56:53+11:00,7265,Present,17954,\"-37.81, 144.97\"";

    fn events(row: &str) -> [ParkingEvent; 2] {
        let bays = Bays::open(HEADER, "melbourne").unwrap();
        [0, 1].map(|facet| {
            let mut record = Vec::new();
            bays.record(row.as_bytes(), facet, &mut record).unwrap();
            let event: ParkingEvent = serde_json::from_slice(&record).unwrap();
            assert_eq!(bays.time(row.as_bytes(), facet).unwrap(), Some(event.event_time));
            event
        })
    }

    #[test]
    fn row_is_a_change_and_a_report_of_the_same_bay() {
        let [change, report] = events(ROW);
        assert_eq!((change.event_type, change.event_time), (EventType::ParkStart, 1_742_860_613_000));
        assert_eq!((report.event_type, report.event_time), (EventType::ScheduledReport, 1_742_863_477_000));
        assert_eq!(report.curb_occupants.unwrap().len(), 1);
        assert_eq!(change.curb_space_id, report.curb_space_id);
        assert!(change.event_session_id.is_some() && change.event_id != report.event_id);
    }

    #[test]
    fn free_bay_is_an_end_without_a_session_and_an_empty_report() {
        let [change, report] = events(&ROW.replace("Present", "Unoccupied"));
        assert_eq!((change.event_type, change.event_session_id), (EventType::ParkEnd, None));
        assert_eq!(report.curb_occupants, Some(Vec::new()));
    }

    #[test]
    fn bay_without_a_zone_is_kept() {
        assert_eq!(events(&ROW.replace("7265", ""))[0].curb_zone_id, zone_id(UNZONED));
    }

    #[test]
    fn unreadable_rows_name_their_field() {
        let bays = Bays::open(HEADER, "melbourne").unwrap();
        for (from, to, field) in [
            ("Present", "Gone", "Status_Description"),
            ("17954", "", "KerbsideID"),
            ("10:56:53+11:00", "10:56", "Status_Timestamp"),
        ] {
            let flaw = bays.record(ROW.replace(from, to).as_bytes(), 0, &mut Vec::new()).unwrap_err();
            assert!(flaw.to_string().contains(field), "{flaw}");
        }
    }
}
