//! Car parks from their readings: the capacity stands in every row.

use std::{collections::BTreeMap, path::Path};

use jiff::{civil::DateTime, tz::TimeZone};
use parking_crds::{
    event::SourceType,
    inventory::{DEFAULT_STALE_AFTER, Device, InventoryFile, Policy, Revision, Zone},
};
use serde::Deserialize;

use super::{InventoryCommandError, rows};
use crate::command::replay::birmingham::{TIME_ZONE, device_id, zone_id};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reading {
    system_code_number: String,
    capacity: u32,
    last_updated: String,
}

/// One revision from local midnight of the first day. A car park with two capacities is refused: which
/// of them holds when is not in the file.
pub(super) fn inventory(path: &Path) -> Result<InventoryFile, InventoryCommandError> {
    let mut capacities: BTreeMap<String, u32> = BTreeMap::new();
    let mut first: Option<DateTime> = None;
    for (line, row) in rows::<Reading>(path)? {
        let refuse =
            |field, problem| InventoryCommandError::Field { path: path.to_owned(), line, field, problem };
        let time = row.last_updated.parse::<DateTime>();
        let time = time.map_err(|error| refuse("LastUpdated", error.to_string()))?;
        first = Some(first.map_or(time, |first| first.min(time)));
        let known = *capacities.entry(row.system_code_number).or_insert(row.capacity);
        if known != row.capacity {
            return Err(refuse("Capacity", format!("is {} and was {known} before", row.capacity)));
        }
    }
    let zone = TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC);
    let midnight = first
        .and_then(|first| zone.to_timestamp(first.date().to_datetime(jiff::civil::Time::midnight())).ok());
    let valid_from = midnight.ok_or_else(|| InventoryCommandError::Empty { path: path.to_owned() })?;
    let zones = capacities.into_iter().map(|(code, capacity)| car_park(code, capacity)).collect();
    let revision = Revision {
        valid_from,
        time_zone: TIME_ZONE.to_owned(),
        holidays: Vec::new(),
        areas: Vec::new(),
        zones,
    };
    Ok(InventoryFile { revisions: vec![revision] })
}

fn car_park(code: String, capacity: u32) -> Zone {
    Zone {
        id: zone_id(&code),
        name: code.clone(),
        area: None,
        labels: BTreeMap::new(),
        capacity,
        class: "general".to_owned(),
        time_zone: None,
        policy: Policy::default(),
        expected_report_interval: None,
        stale_after: Some(DEFAULT_STALE_AFTER),
        spaces: Vec::new(),
        devices: vec![Device { id: device_id(&code), source_type: SourceType::DataFeed, space: None }],
        user_zone_id: code,
    }
}
