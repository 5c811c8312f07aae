//! Local time: days and hours of IANA time zones as ranges of instants.
//!
//! Invariant: consecutive hours and days meet without gap or overlap, also where clocks change, so a
//! local day has 23, 24 or 25 hours.

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use parking_crds::{event::Millis, inventory::Inventory};

/// One hour.
pub const HOUR: Millis = 3_600_000;

/// First instant of the local day that holds `time`. Times beyond the calendar count as its border.
pub fn start_of_day(time: Millis, zone: &TimeZone) -> Millis {
    let zoned = timestamp(time).to_zoned(zone.clone());
    zoned.start_of_day().map_or(time, |start| start.timestamp().as_millisecond())
}

/// First instant after the local day that holds `time`.
pub fn end_of_day(time: Millis, zone: &TimeZone) -> Millis {
    let date = timestamp(time).to_zoned(zone.clone()).date();
    let tomorrow = date.tomorrow().and_then(|date| date.to_zoned(zone.clone()));
    tomorrow.map_or(time, |start| start.timestamp().as_millisecond())
}

/// The latest end of the day that holds `time`, over the time zones of the inventory.
pub fn end_of_day_everywhere(time: Millis, inventory: &Inventory) -> Millis {
    let revision = inventory.at(time);
    let names: BTreeSet<&str> = revision.zones().iter().map(|zone| revision.time_zone(zone)).collect();
    let ends = names.into_iter().filter_map(|name| Some(end_of_day(time, &TimeZone::get(name).ok()?)));
    ends.max().unwrap_or(time)
}

pub(crate) fn timestamp(time: Millis) -> Timestamp {
    let border = if time < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(time).unwrap_or(border)
}
