//! Local time: days and hours of IANA time zones as ranges of instants.
//!
//! Invariant: consecutive hours and days meet without gap or overlap, also where clocks change, so a
//! local day has 23, 24 or 25 hours.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
pub use parking_crds::time::day::{end_of_day, start_of_day};
use parking_crds::{event::Millis, inventory::Inventory};

/// One hour.
pub const HOUR: Millis = 3_600_000;

/// The latest end of the day that holds `time`, over the time zones of the inventory.
pub fn end_of_day_everywhere(time: Millis, inventory: &Inventory) -> Millis {
    let revision = inventory.at(time);
    let names: BTreeSet<&str> = revision.zones().iter().map(|zone| revision.time_zone(zone)).collect();
    let ends = names.into_iter().filter_map(|name| Some(end_of_day(time, &TimeZone::get(name).ok()?)));
    ends.max().unwrap_or(time)
}
