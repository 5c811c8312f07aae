//! The inventory: what a city has at the curb, in revisions that each begin at `validFrom`.
//!
//! One YAML or JSON file. [`Inventory::parse`] validates it whole and reports every problem at once;
//! what it returns is indexed and cannot be inconsistent. Must not do I/O or read clocks.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    duration::Duration,
    event::{Millis, SourceType},
    manifest::TextError,
};

/// How long a count report holds where a zone does not say.
pub const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(3_600);

/// The file as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryFile {
    /// Revisions, oldest first.
    pub revisions: Vec<Revision>,
}

/// The inventory as it stands from `valid_from` until the next revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revision {
    /// First instant at which it holds.
    pub valid_from: Timestamp,
    /// IANA zone of every zone that names none.
    pub time_zone: String,
    /// Days that count as Sundays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<Date>,
    /// Areas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<Area>,
    /// Zones.
    pub zones: Vec<Zone>,
}

/// A named group of zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Area {
    /// CDS `curb_area_id`.
    pub id: Uuid,
    /// For people.
    pub name: String,
}

/// A zone: the unit of order, state and statistics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zone {
    /// CDS `curb_zone_id`.
    pub id: Uuid,
    /// CDS `user_zone_id`: the city's own code.
    pub user_zone_id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The area it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Uuid>,
    /// What selectors of rules match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// N: spaces in service.
    pub capacity: u32,
    /// General, disabled, loading, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// IANA zone, where it differs from the revision's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What drivers may do.
    #[serde(default)]
    pub policy: Policy,
    /// How often its devices report when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_report_interval: Option<Duration>,
    /// How long a count report holds; default 60 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<Duration>,
    /// Spaces that are watched one by one; empty for zones that only report counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spaces: Vec<Space>,
    /// Devices that report on the zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
}

impl Zone {
    /// How long a count report holds.
    pub fn stale_after(&self) -> Duration {
        self.stale_after.unwrap_or(DEFAULT_STALE_AFTER)
    }

    /// Whether it has no watched spaces and lives from count reports alone.
    pub fn is_count_only(&self) -> bool {
        self.spaces.is_empty()
    }
}

/// What drivers may do in a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Longest stay; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stay: Option<Duration>,
    /// Tolerance on top of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// Price; absent means free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// A price for a length of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Smallest unit of the currency.
    pub amount: u64,
    /// ISO 4217.
    pub currency: String,
    /// What the amount buys.
    pub per: Duration,
}

/// One watched space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Space {
    /// CDS `curb_space_id`.
    pub id: Uuid,
    /// What is painted on it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub number: String,
    /// Class, where it differs from the zone's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// CDS `data_source_device_id`.
    pub id: Uuid,
    /// How it sees.
    #[serde(rename = "type")]
    pub source_type: SourceType,
    /// The one space it watches, if it watches one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Uuid>,
}

/// A validated inventory: revisions in order, indexed by time and zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    revisions: Vec<ValidRevision>,
}

/// One validated revision.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidRevision {
    valid_from: Millis,
    file: Revision,
    by_zone: HashMap<Uuid, usize, FixedState>,
    /// Zone of each watched space, and its position there.
    by_space: HashMap<Uuid, (usize, usize), FixedState>,
}

/// Everything that is wrong with an inventory file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// The text is no inventory at all.
    #[error("inventory, line {line}: {message}")]
    Syntax {
        /// Of the text, from 1.
        line: u64,
        /// What is wrong, as one sentence without a full stop.
        message: String,
    },
    /// It is one, with problems; each begins with its field and a colon.
    #[error("inventory: {}", .0.join("; "))]
    Problems(Vec<String>),
}

impl Inventory {
    /// Parses and validates a YAML (or JSON) text, all problems at once.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let file = serde_saphyr::from_str(text).map_err(|error| {
            let error = TextError::new(&error, 1);
            InventoryError::Syntax { line: error.line, message: error.message }
        })?;
        Self::validate(file)
    }

    /// Validates a parsed file, all problems at once.
    pub fn validate(file: InventoryFile) -> Result<Self, InventoryError> {
        let mut problems = Vec::new();
        if file.revisions.is_empty() {
            problems.push("revisions: at least one is needed".to_owned());
        }
        let starts = file.revisions.iter().map(|revision| revision.valid_from);
        if starts.clone().zip(starts.skip(1)).any(|(earlier, later)| earlier >= later) {
            problems.push("revisions: validFrom must grow from one to the next".to_owned());
        }
        for (index, revision) in file.revisions.iter().enumerate() {
            check_revision(&format!("revisions[{index}]"), revision, &mut problems);
        }
        if !problems.is_empty() {
            return Err(InventoryError::Problems(problems));
        }
        Ok(Self { revisions: file.revisions.into_iter().map(ValidRevision::new).collect() })
    }

    /// The revision that holds at `time`; before the first, the first.
    pub fn at(&self, time: Millis) -> &ValidRevision {
        let later = self.revisions.partition_point(|revision| revision.valid_from <= time);
        // `validate` refuses an empty list, so one of the two exists.
        self.revisions
            .get(later.saturating_sub(1))
            .unwrap_or_else(|| unreachable!("an inventory has a revision"))
    }

    /// All revisions, oldest first.
    pub fn revisions(&self) -> &[ValidRevision] {
        &self.revisions
    }

    /// The newest revision.
    pub fn latest(&self) -> &ValidRevision {
        self.at(Millis::MAX)
    }
}

impl ValidRevision {
    fn new(file: Revision) -> Self {
        let zones = || file.zones.iter().enumerate();
        let by_zone = zones().map(|(index, zone)| (zone.id, index)).collect();
        let spaces = zones().flat_map(|(index, zone)| {
            zone.spaces.iter().enumerate().map(move |(position, space)| (space.id, (index, position)))
        });
        Self { valid_from: file.valid_from.as_millisecond(), by_zone, by_space: spaces.collect(), file }
    }

    /// First instant at which it holds.
    pub fn valid_from(&self) -> Millis {
        self.valid_from
    }

    /// The zone with this id.
    pub fn zone(&self, id: Uuid) -> Option<&Zone> {
        self.zones().get(self.zone_position(id)?)
    }

    /// Where the zone with this id stands in the file.
    pub fn zone_position(&self, id: Uuid) -> Option<usize> {
        self.by_zone.get(&id).copied()
    }

    /// Where the watched space with that id stands in the zone with this one.
    pub fn space_position(&self, zone: Uuid, space: Uuid) -> Option<usize> {
        let (index, position) = *self.by_space.get(&space)?;
        self.zones().get(index).filter(|place| place.id == zone).map(|_| position)
    }

    /// All zones, in the order of the file.
    pub fn zones(&self) -> &[Zone] {
        &self.file.zones
    }

    /// The revision as written.
    pub fn file(&self) -> &Revision {
        &self.file
    }

    /// The IANA name of a zone's time zone.
    pub fn time_zone<'a>(&'a self, zone: &'a Zone) -> &'a str {
        zone.time_zone.as_deref().unwrap_or(&self.file.time_zone)
    }
}

fn check_revision(path: &str, revision: &Revision, problems: &mut Vec<String>) {
    check_time_zone(&format!("{path}.timeZone"), &revision.time_zone, problems);
    let mut areas = BTreeMap::new();
    for (index, area) in revision.areas.iter().enumerate() {
        check_unique(&mut areas, area.id, format!("{path}.areas[{index}].id"), problems);
    }
    let (mut zones, mut codes, mut spaces, mut devices) = Default::default();
    for (index, zone) in revision.zones.iter().enumerate() {
        let path = format!("{path}.zones[{index}]");
        check_unique(&mut zones, zone.id, format!("{path}.id"), problems);
        check_unique(&mut codes, zone.user_zone_id.as_str(), format!("{path}.userZoneId"), problems);
        for (index, space) in zone.spaces.iter().enumerate() {
            check_unique(&mut spaces, space.id, format!("{path}.spaces[{index}].id"), problems);
        }
        for (index, device) in zone.devices.iter().enumerate() {
            check_unique(&mut devices, (zone.id, device.id), format!("{path}.devices[{index}].id"), problems);
        }
        check_zone(&path, zone, &areas, problems);
    }
}

fn check_zone(path: &str, zone: &Zone, areas: &BTreeMap<Uuid, String>, problems: &mut Vec<String>) {
    if zone.capacity == 0 {
        problems.push(format!("{path}.capacity: must be at least 1"));
    }
    if !zone.spaces.is_empty() && zone.spaces.len() != zone.capacity as usize {
        problems.push(format!(
            "{path}.capacity: is {} but {} spaces are listed: list all or none",
            zone.capacity,
            zone.spaces.len()
        ));
    }
    if let Some(area) = zone.area.filter(|area| !areas.contains_key(area)) {
        problems.push(format!("{path}.area: no area has the id {area}"));
    }
    if let Some(name) = &zone.time_zone {
        check_time_zone(&format!("{path}.timeZone"), name, problems);
    }
    for (field, value) in [
        ("staleAfter", zone.stale_after),
        ("expectedReportInterval", zone.expected_report_interval),
        ("policy.maxStay", zone.policy.max_stay),
    ] {
        if value == Some(Duration::ZERO) {
            problems.push(format!("{path}.{field}: must be longer than 0s"));
        }
    }
    for (index, device) in zone.devices.iter().enumerate() {
        if let Some(space) = device.space.filter(|space| zone.spaces.iter().all(|own| own.id != *space)) {
            problems.push(format!("{path}.devices[{index}].space: the zone has no space {space}"));
        }
    }
}

fn check_time_zone(path: &str, name: &str, problems: &mut Vec<String>) {
    if TimeZone::get(name).is_err() {
        problems.push(format!("{path}: `{name}` is no IANA time zone, for example Europe/London"));
    }
}

fn check_unique<K: Ord + std::fmt::Debug>(
    seen: &mut BTreeMap<K, String>,
    key: K,
    path: String,
    problems: &mut Vec<String>,
) {
    if let Some(first) = seen.get(&key) {
        problems.push(format!("{path}: stands already at {first}"));
    } else {
        seen.insert(key, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "
revisions:
- validFrom: 2016-10-01T00:00:00Z
  timeZone: Europe/London
  zones:
  - {id: 02885f6f-ef93-441b-9e74-487279380656, userZoneId: A, capacity: 10, staleAfter: 60m}
  - {id: 7e6be807-ff61-4f12-85c8-0fb740b24436, userZoneId: B, capacity: 20, policy: {maxStay: 2h, grace: 10m}}
- validFrom: 2016-11-01T00:00:00Z
  timeZone: Europe/London
  zones:
  - {id: 02885f6f-ef93-441b-9e74-487279380656, userZoneId: A, capacity: 12}
";

    fn problems(text: &str) -> Vec<String> {
        match Inventory::parse(text) {
            Err(InventoryError::Problems(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn revision_of_the_time_is_used() {
        let inventory = Inventory::parse(VALID).unwrap();
        let zone = "02885f6f-ef93-441b-9e74-487279380656".parse().unwrap();
        let capacity = |time| inventory.at(time).zone(zone).unwrap().capacity;
        let change = inventory.latest().valid_from();
        assert_eq!((capacity(0), capacity(change - 1), capacity(change)), (10, 10, 12));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let broken = VALID
            .replace("userZoneId: B, capacity: 20", "userZoneId: A, capacity: 0")
            .replace("7e6be807-ff61-4f12-85c8-0fb740b24436", "02885f6f-ef93-441b-9e74-487279380656");
        let problems = problems(&broken);
        for path in ["zones[1].id", "zones[1].userZoneId", "zones[1].capacity"] {
            assert!(problems.iter().any(|problem| problem.contains(path)), "{path}: {problems:?}");
        }
    }

    #[test]
    fn each_broken_field_is_named() {
        for (from, to, path) in [
            ("Europe/London", "Europe/Lundon", "timeZone"),
            ("2016-11-01", "2016-09-01", "validFrom"),
            ("staleAfter: 60m", "staleAfter: 0s", "staleAfter"),
            ("staleAfter: 60m", "area: 7e6be807-ff61-4f12-85c8-0fb740b24436", "area"),
            ("staleAfter: 60m", "spaces: [{id: 7e6be807-ff61-4f12-85c8-0fb740b24436}]", "capacity"),
        ] {
            let problems = problems(&VALID.replace(from, to));
            assert!(problems.iter().any(|problem| problem.contains(path)), "{path}: {problems:?}");
        }
    }

    #[test]
    fn unknown_field_is_named_with_its_line() {
        let error = Inventory::parse(&VALID.replace("staleAfter", "stale")).unwrap_err().to_string();
        assert!(error.contains("stale"), "{error}");
    }
}
