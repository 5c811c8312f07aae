//! `parking inventory`: the inventory of a city, made from its data, as a ConfigMap.
//!
//! Must not guess: what a source does not say stays out. Invariant: the same files give the same text, so
//! the examples' inventories can be made again and compared.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use parking_crds::inventory::{Inventory, InventoryError, InventoryFile, Zone};
use serde::Serialize;

use super::simulate::{SimulateError, read_profile};

mod birmingham;
mod melbourne;

/// Why no inventory can be made.
#[derive(Debug, thiserror::Error)]
pub enum InventoryCommandError {
    /// A file cannot be read as CSV.
    #[error("{}: {error}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        error: csv::Error,
    },
    /// A field has a value that it cannot have.
    #[error("{}, line {line}, field `{field}`: {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The column.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// There is no row to make an inventory from.
    #[error("{}: has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A profile cannot be read.
    #[error(transparent)]
    Profile(#[from] SimulateError),
    /// The data give an inventory that does not hold.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}

/// The inventory of the car parks in a file of Birmingham's readings.
pub fn birmingham(readings: &Path) -> Result<String, InventoryCommandError> {
    let origin = format!("birmingham {}", readings.display());
    config_map("birmingham", &origin, birmingham::inventory(readings)?)
}

/// The inventory of the bays in a snapshot of Melbourne's sensors, with the limits that the sign plates
/// set at the time of the snapshot.
pub fn melbourne(sensors: &Path, plates: &Path) -> Result<String, InventoryCommandError> {
    let origin = format!("melbourne {} {}", sensors.display(), plates.display());
    config_map("melbourne", &origin, melbourne::inventory(sensors, plates)?)
}

/// The inventory of a simulated city.
pub fn simulated(profile: &Path) -> Result<String, InventoryCommandError> {
    let read = read_profile(profile)?;
    config_map(&read.tenant, &format!("simulate {}", profile.display()), read.inventory())
}

/// Rows of a CSV file with their lines.
fn rows<R: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<(u64, R)>, InventoryCommandError> {
    let refuse = |error| InventoryCommandError::Csv { path: path.to_owned(), error };
    let bytes = fs::read(path).map_err(|error| refuse(error.into()))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let rows = csv::Reader::from_reader(text).into_deserialize();
    // The header is line 1, and no field of these sources holds a line end.
    (2..).zip(rows).map(|(line, row)| row.map(|row| (line, row)).map_err(refuse)).collect()
}

fn config_map(pipeline: &str, origin: &str, file: InventoryFile) -> Result<String, InventoryCommandError> {
    let inventory = Inventory::validate(file)?;
    let mut text = format!(
        "# Made from the data: parking inventory {origin}\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {pipeline}-inventory\n  namespace: parking\n\
         data:\n  inventory.yaml: |\n    revisions:\n"
    );
    for revision in inventory.revisions() {
        let revision = revision.file();
        let (from, zone) = (revision.valid_from, &revision.time_zone);
        // Writing into a String cannot fail.
        let _ = write!(text, "    - validFrom: {from}\n      timeZone: {zone}\n      zones:\n");
        revision.zones.iter().for_each(|zone| write_zone(&mut text, zone));
    }
    Ok(text)
}

fn write_zone(text: &mut String, zone: &Zone) {
    line(text, "- id: ", &zone.id.to_string());
    line(text, "  userZoneId: ", &quoted(&zone.user_zone_id));
    line(text, "  name: ", &quoted(&zone.name));
    if !zone.labels.is_empty() {
        line(text, "  labels: ", &quoted(&zone.labels));
    }
    line(text, "  capacity: ", &zone.capacity.to_string());
    line(text, "  class: ", &zone.class);
    let policy = &zone.policy;
    let limits: BTreeMap<_, _> = [("maxStay", policy.max_stay), ("grace", policy.grace)]
        .into_iter()
        .filter_map(|(field, length)| Some((field, length?)))
        .collect();
    if !limits.is_empty() {
        line(text, "  policy: ", &quoted(&limits));
    }
    let lengths =
        [("expectedReportInterval", zone.expected_report_interval), ("staleAfter", zone.stale_after)];
    for (field, length) in lengths {
        if let Some(length) = length {
            line(text, &format!("  {field}: "), &length.to_string());
        }
    }
    if !zone.spaces.is_empty() {
        line(text, "  spaces:", "");
    }
    for space in &zone.spaces {
        line(text, "  - ", &format!("{{id: {}, number: {}}}", space.id, quoted(&space.number)));
    }
    line(text, "  devices:", "");
    for device in &zone.devices {
        let space = device.space.map(|space| format!(", space: {space}")).unwrap_or_default();
        let kind = quoted(&device.source_type).replace('"', "");
        line(text, "  - ", &format!("{{id: {}, type: {kind}{space}}}", device.id));
    }
}

fn line(text: &mut String, field: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "      {field}{value}");
}

/// JSON, which is YAML too.
fn quoted(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
