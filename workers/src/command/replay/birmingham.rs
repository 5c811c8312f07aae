//! The car parks of Birmingham: one row, one count of a whole car park.
//!
//! Must not judge: a negative count becomes a record, which the verdict refuses.
//! Invariants: `LastUpdated` is local time of Europe/London (in the hour that comes twice: the first);
//! the event's id is UUIDv5(device, `LastUpdated` as written), so a repeated row is a duplicate.

use jiff::{civil::DateTime, tz::TimeZone};
use parking_crds::event::{EventType, Ext, Millis, ParkingEvent, SourceType};
use uuid::Uuid;

use super::{Flaw, Mapper, NAMESPACE, columns::Columns};

const CODE: &str = "SystemCodeNumber";
const CAPACITY: &str = "Capacity";
const COUNT: &str = "Occupancy";
const UPDATED: &str = "LastUpdated";

/// IANA zone of the readings.
pub const TIME_ZONE: &str = "Europe/London";

/// Id of the zone that a car park is.
pub fn zone_id(code: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("birmingham/zone/{code}").as_bytes())
}

/// Id of the device that reports on it.
pub fn device_id(code: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("birmingham/device/{code}").as_bytes())
}

/// Reads rows.
pub(super) struct Readings {
    columns: Columns<4>,
    zone: TimeZone,
    tenant: String,
}

impl Readings {
    pub(super) fn open(header: &[u8], tenant: &str) -> Result<Self, &'static str> {
        let columns = Columns::resolve(header, [CODE, CAPACITY, COUNT, UPDATED])?;
        // The time zones are part of the binary, so this one is known.
        let zone = TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC);
        Ok(Self { columns, zone, tenant: tenant.to_owned() })
    }

    fn instant(&self, updated: &str) -> Result<Millis, Flaw> {
        let refuse = || Flaw::field(UPDATED, updated, "local time like 2016-10-04 07:59:42");
        // The parser takes a date alone too, which a cut line may end with.
        let whole = updated.len() == "2016-10-04 07:59:42".len();
        let local: DateTime = updated.parse().ok().filter(|_| whole).ok_or_else(refuse)?;
        let instant = self.zone.to_timestamp(local).map_err(|_| refuse())?;
        Ok(instant.as_millisecond())
    }
}

impl Mapper for Readings {
    fn time(&self, row: &[u8], _: u8) -> Result<Option<Millis>, Flaw> {
        let [_, _, _, updated] = self.columns.pick(row)?;
        self.instant(&updated).map(Some)
    }

    fn record(&self, row: &[u8], _: u8, record: &mut Vec<u8>) -> Result<Option<Uuid>, Flaw> {
        let [code, _, count, updated] = self.columns.pick(row)?;
        let occupied = count.parse().map_err(|_| Flaw::field(COUNT, &count, "whole number"))?;
        let event = reading(&code, occupied, &updated, self.instant(&updated)?, &self.tenant);
        super::write(&event, record);
        Ok(Some(event.curb_zone_id))
    }
}

fn reading(code: &str, occupied: i64, updated: &str, time: Millis, tenant: &str) -> ParkingEvent {
    let device = device_id(code);
    ParkingEvent {
        ext: Ext { occupied: Some(occupied), ..super::ext(tenant) },
        ..super::event(
            Uuid::new_v5(&device, updated.as_bytes()),
            EventType::ScheduledReport,
            time,
            zone_id(code),
            (SourceType::DataFeed, device),
        )
    }
}

#[cfg(test)]
mod tests {
    use parking_crds::event::Quality;

    use super::*;

    const HEADER: &[u8] = b"SystemCodeNumber,Capacity,Occupancy,LastUpdated";

    fn event(row: &str) -> ParkingEvent {
        let mut record = Vec::new();
        let readings = Readings::open(HEADER, "birmingham").unwrap();
        let zone = readings.record(row.as_bytes(), 0, &mut record).unwrap();
        let event: ParkingEvent = serde_json::from_slice(&record).unwrap();
        assert_eq!(zone, Some(event.curb_zone_id));
        assert_eq!(readings.time(row.as_bytes(), 0).unwrap(), Some(event.event_time));
        event
    }

    fn flaw(row: &str) -> String {
        let readings = Readings::open(HEADER, "birmingham").unwrap();
        readings.record(row.as_bytes(), 0, &mut Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn row_is_a_replayed_count_report_without_seq() {
        let event = event("BHMBCCMKT01,577,61,2016-10-04 07:59:42");
        assert_eq!(event.event_type, EventType::ScheduledReport);
        assert_eq!(event.data_source_type, SourceType::DataFeed);
        assert_eq!(event.curb_zone_id.to_string(), "b73d6a5b-0cf9-5c50-872b-fd025065eae2");
        assert_eq!(event.data_source_device_id.to_string(), "4063de01-e745-59a2-94db-1d0989b678b7");
        assert_eq!(event.event_id, Uuid::new_v5(&event.data_source_device_id, b"2016-10-04 07:59:42"));
        assert_eq!(event.event_time, 1_475_564_382_000);
        assert_eq!(event.event_publication_time, event.event_time);
        let ext = event.ext;
        assert_eq!((ext.occupied, ext.seq, ext.quality), (Some(61), None, Some(Quality::Replayed)));
    }

    #[test]
    fn local_time_follows_the_clocks_and_the_double_hour_is_the_first() {
        let time = |updated: &str| event(&format!("A,1,1,{updated}")).event_time;
        assert_eq!(time("2016-10-30 01:30:00"), 1_477_787_400_000);
        assert_eq!(time("2016-10-30 02:30:00"), 1_477_794_600_000);
    }

    #[test]
    fn negative_count_is_a_record() {
        assert_eq!(event("BHMBRTARC01,496,-8,2016-12-13 12:30:02").ext.occupied, Some(-8));
    }

    #[test]
    fn unreadable_rows_name_their_field() {
        assert_eq!(flaw("A,1,x,2016-10-04 07:59:42"), ", field `Occupancy`: `x` is no whole number");
        assert!(flaw("A,1,1,2016-10-04").contains("`LastUpdated`"));
        assert!(flaw("A,1,1,2016-10-04 07:59:4").contains("`LastUpdated`"));
        assert_eq!(flaw("A,1"), ": 2 fields, the header has 4");
    }
}
