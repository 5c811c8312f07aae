//! Zones from a snapshot of bay sensors, and their limits from the sign plates.
//!
//! A plate holds on some days at some hours; an inventory has one policy a zone. The plates that hold at
//! the time of the snapshot decide, the strictest first; where none holds, there is no limit.

use std::{collections::BTreeMap, path::Path};

use jiff::{Timestamp, civil::Time, civil::Weekday, tz::TimeZone};
use parking_crds::{
    duration::Duration,
    event::SourceType,
    inventory::{Device, InventoryFile, Policy, Revision, Space, Zone},
};
use serde::Deserialize;

use super::{InventoryCommandError, rows};
use crate::command::replay::melbourne::{TIME_ZONE, UNZONED, device_id, space_id, zone_id};

const GRACE: Duration = Duration::from_secs(600);
const REPORT_INTERVAL: Duration = Duration::from_secs(3_600);

#[derive(Deserialize)]
struct Bay {
    #[serde(rename = "Lastupdated")]
    heard: Timestamp,
    #[serde(rename = "Status_Timestamp")]
    changed: Timestamp,
    #[serde(rename = "Zone_Number")]
    zone: String,
    #[serde(rename = "KerbsideID")]
    number: String,
}

#[derive(Deserialize)]
struct PlateRow {
    #[serde(rename = "ParkingZone")]
    zone: String,
    #[serde(rename = "Restriction_Days")]
    days: String,
    #[serde(rename = "Time_Restrictions_Start")]
    start: Time,
    #[serde(rename = "Time_Restrictions_Finish")]
    finish: Time,
    #[serde(rename = "Restriction_Display")]
    display: String,
}

/// What a plate allows.
struct Plate {
    display: String,
    class: &'static str,
    max_stay: Duration,
}

pub(super) fn inventory(sensors: &Path, plates: &Path) -> Result<InventoryFile, InventoryCommandError> {
    let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
    for (_, bay) in rows::<Bay>(sensors)? {
        (first, last) = (first.min(bay.changed), last.max(bay.heard));
        let zone = if bay.zone.is_empty() { UNZONED.to_owned() } else { bay.zone };
        zones.entry(zone).or_default().push(bay.number);
    }
    if zones.is_empty() {
        return Err(InventoryCommandError::Empty { path: sensors.to_owned() });
    }
    let plates = plates_at(plates, last)?;
    let zones = zones.into_iter().map(|(code, bays)| zone(&code, &bays, plates.get(&code))).collect();
    let revision = Revision {
        valid_from: first,
        time_zone: TIME_ZONE.to_owned(),
        holidays: Vec::new(),
        areas: Vec::new(),
        zones,
    };
    Ok(InventoryFile { revisions: vec![revision] })
}

/// The strictest plate of each zone that holds at `time`.
fn plates_at(path: &Path, time: Timestamp) -> Result<BTreeMap<String, Plate>, InventoryCommandError> {
    let local = time.to_zoned(TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC));
    let mut strictest: BTreeMap<String, Plate> = BTreeMap::new();
    for (line, row) in rows::<PlateRow>(path)? {
        let days = days(&row.days).ok_or_else(|| InventoryCommandError::Field {
            path: path.to_owned(),
            line,
            field: "Restriction_Days",
            problem: format!("`{}` is no day or range of days", row.days),
        })?;
        let holds = days.contains(&local.weekday().to_monday_one_offset())
            && (row.start..row.finish).contains(&local.time());
        let Some(plate) = plate(&row.display).filter(|_| holds) else { continue };
        let stricter = strictest.get(&row.zone).is_none_or(|other| plate.max_stay < other.max_stay);
        if stricter {
            strictest.insert(row.zone, plate);
        }
    }
    Ok(strictest)
}

/// `Mon-Fri` or `Sat`, as numbers from Monday.
fn days(text: &str) -> Option<std::ops::RangeInclusive<i8>> {
    let day = |name| {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let week = [Weekday::Monday]
            .into_iter()
            .flat_map(|monday| (0..7).map(move |days| monday.wrapping_add(days)));
        let found = names.into_iter().zip(week).find(|(known, _)| *known == name);
        found.map(|(_, day)| day.to_monday_one_offset())
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(day(first)?..=day(last)?)
}

/// Reads `2P` (hours), `MP2P` (metered), `FP15` and `LZ30` (minutes), `QP` and `HP` (a quarter and half
/// an hour), `DP2P` (disabled). Plates without a limit (`PP`, `SP`) give nothing.
fn plate(display: &str) -> Option<Plate> {
    let (class, limit) = match display {
        "QP" => ("general", "15"),
        "HP" => ("general", "30"),
        _ => [("MP", "paid"), ("FP", "general"), ("LZ", "loading"), ("DP", "disabled")]
            .into_iter()
            .find_map(|(prefix, class)| Some((class, display.strip_prefix(prefix)?)))
            .unwrap_or(("general", display)),
    };
    let (number, unit) = limit.strip_suffix('P').map_or((limit, 60), |hours| (hours, 3_600));
    let max_stay = Duration::from_secs(number.parse::<u32>().ok().map(i64::from)? * unit);
    Some(Plate { display: display.to_owned(), class, max_stay })
}

fn zone(code: &str, bays: &[String], plate: Option<&Plate>) -> Zone {
    let spaces =
        bays.iter().map(|bay| Space { id: space_id(bay), number: bay.clone(), class: String::new() });
    let devices = bays.iter().map(|bay| Device {
        id: device_id(bay),
        source_type: SourceType::InGround,
        space: Some(space_id(bay)),
    });
    Zone {
        id: zone_id(code),
        user_zone_id: code.to_owned(),
        name: if code == UNZONED { "Bays without a zone".to_owned() } else { format!("Zone {code}") },
        area: None,
        labels: plate.map(|plate| ("plate".to_owned(), plate.display.clone())).into_iter().collect(),
        capacity: u32::try_from(bays.len()).unwrap_or(u32::MAX),
        class: plate.map_or("general", |plate| plate.class).to_owned(),
        time_zone: None,
        policy: Policy {
            max_stay: plate.map(|plate| plate.max_stay),
            grace: plate.map(|_| GRACE),
            rate: None,
        },
        expected_report_interval: Some(REPORT_INTERVAL),
        stale_after: None,
        spaces: spaces.collect(),
        devices: devices.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plates_are_read_as_painted() {
        for (display, class, minutes) in [
            ("2P", "general", 120),
            ("MP2P", "paid", 120),
            ("MP3P", "paid", 180),
            ("LZ30", "loading", 30),
            ("FP15", "general", 15),
            ("DP2P", "disabled", 120),
            ("QP", "general", 15),
            ("HP", "general", 30),
        ] {
            let plate = plate(display).unwrap();
            assert_eq!(
                (plate.class, plate.max_stay),
                (class, Duration::from_secs(minutes * 60)),
                "{display}"
            );
        }
        assert!(plate("PP").is_none() && plate("SP").is_none());
    }

    #[test]
    fn days_are_ranges() {
        assert_eq!(days("Mon-Fri"), Some(1..=5));
        assert_eq!(days("Sat"), Some(6..=6));
        assert_eq!(days("Someday"), None);
    }
}
