//! Local days of IANA time zones as ranges of instants.
//!
//! Invariant: consecutive days meet without gap or overlap, also where clocks change, so a local day has 23, 24
//! or 25 hours.

use jiff::{Timestamp, tz::TimeZone};

use crate::event::Millis;

/// One day of 24 hours.
pub const DAY: Millis = 86_400_000;

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

/// The date in UTC as ISO 8601 writes it; times beyond the calendar count as its border.
pub fn utc_date(time: Millis) -> String {
    timestamp(time).to_zoned(TimeZone::UTC).date().to_string()
}

/// The instant; times beyond the calendar count as its border.
pub fn timestamp(time: Millis) -> Timestamp {
    let border = if time < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(time).unwrap_or(border)
}
