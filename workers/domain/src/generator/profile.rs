//! What a simulated city is made of, as a file says it.
//!
//! Must not draw random numbers. Invariant: a profile that was accepted can be simulated.

use jiff::{Timestamp, tz::TimeZone};
use parking_crds::{
    duration::Duration,
    event::{Millis, SourceType},
    inventory::{Device, InventoryFile, Policy, Revision, Space, Zone},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    NAMESPACE,
    arrival::Archetype,
    zone::{Plan, ZoneFeed},
};

const MOST_SPACES: u64 = 5_000_000;

/// A simulated city.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// The tenant of its records.
    pub tenant: String,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// IANA zone: hours of arrival are local.
    pub time_zone: String,
    /// First instant.
    pub start: Timestamp,
    /// How long it lasts.
    pub duration: Duration,
    /// How often each sensor reports what it sees.
    pub report_interval: Duration,
    /// Zones.
    pub groups: Vec<Group>,
    /// What goes wrong; absent means the shares that real feeds show.
    #[serde(default)]
    pub faults: Faults,
}

/// Zones of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// The zones are `NAME-1`, `NAME-2`, …
    pub name: String,
    /// How many zones.
    pub zones: u32,
    /// Spaces of each.
    pub spaces: u32,
    /// Who parks there.
    pub archetype: Archetype,
    /// What is known of it.
    #[serde(default)]
    pub sensing: Sensing,
}

/// What a zone's devices see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sensing {
    /// Every space by a sensor of its own.
    #[default]
    Spaces,
    /// How many vehicles there are, by one counter.
    Count,
}

/// What goes wrong: shares from 0 to 1, and rates a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// Records that arrive twice.
    pub duplicates: f64,
    /// Records that arrive up to 30 s after later ones.
    pub out_of_order: f64,
    /// Records that arrive more than 5 minutes late.
    pub late: f64,
    /// Records with impossible content.
    pub impossible: f64,
    /// Devices that tell a stay as several.
    pub flapping: f64,
    /// Devices that fall silent for more than an hour, a day.
    pub silent: f64,
    /// Devices that always report the same.
    pub stuck: f64,
    /// Standard deviation of the devices' clocks.
    pub skew: Duration,
    /// Devices whose clock is an hour off.
    pub wrong_hour: f64,
    /// Records before which the device starts anew.
    pub reboots: f64,
    /// Gateways that fail, a zone and day; the platform then infers lost communication.
    pub outages: f64,
    /// Spaces out of service, closed zones and corrected counts, a zone and day.
    pub incidents: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            duplicates: 0.015,
            out_of_order: 0.005,
            late: 0.001,
            impossible: 0.000_3,
            flapping: 0.02,
            silent: 0.05,
            stuck: 0.02,
            skew: Duration::from_secs(2),
            wrong_hour: 0.001,
            reboots: 0.000_1,
            outages: 0.1,
            incidents: 0.2,
        }
    }
}

impl Faults {
    /// A city in which all is well.
    pub const NONE: Self = Self {
        duplicates: 0.0,
        out_of_order: 0.0,
        late: 0.0,
        impossible: 0.0,
        flapping: 0.0,
        silent: 0.0,
        stuck: 0.0,
        skew: Duration::ZERO,
        wrong_hour: 0.0,
        reboots: 0.0,
        outages: 0.0,
        incidents: 0.0,
    };

    fn shares(&self) -> [(&'static str, f64); 9] {
        [
            ("duplicates", self.duplicates),
            ("outOfOrder", self.out_of_order),
            ("late", self.late),
            ("impossible", self.impossible),
            ("flapping", self.flapping),
            ("silent", self.silent),
            ("stuck", self.stuck),
            ("wrongHour", self.wrong_hour),
            ("reboots", self.reboots),
        ]
    }
}

/// Why a profile cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is no profile.
    #[error("{0}")]
    Syntax(String),
    /// A field has a value that it cannot have.
    #[error("{field}: {problem}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

impl ProfileError {
    fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

impl Profile {
    /// Reads a profile from YAML or JSON.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self =
            serde_saphyr::from_str(text).map_err(|error| ProfileError::Syntax(error.to_string()))?;
        profile.check()?;
        Ok(profile)
    }

    /// Refuses what cannot be simulated.
    pub fn check(&self) -> Result<(), ProfileError> {
        self.resolve_time_zone()?;
        if !is_word(&self.tenant) || self.tenant.contains(|letter: char| letter.is_ascii_uppercase()) {
            return Err(ProfileError::field("tenant", format!("{WORD}, in lower case")));
        }
        let needed = [("duration", self.duration), ("reportInterval", self.report_interval)];
        if let Some((field, _)) = needed.iter().find(|(_, length)| *length < Duration::from_secs(1)) {
            return Err(ProfileError::field(*field, "must be at least 1s"));
        }
        if let Some((name, _)) = self.faults.shares().iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(ProfileError::field(format!("faults.{name}"), "must lie between 0 and 1"));
        }
        let rates = [("outages", self.faults.outages), ("incidents", self.faults.incidents)];
        if let Some((name, _)) = rates.iter().find(|(_, rate)| !(0.0..=1_000.0).contains(rate)) {
            return Err(ProfileError::field(format!("faults.{name}"), "must lie between 0 and 1000 a day"));
        }
        for (number, group) in self.groups.iter().enumerate() {
            let earlier = self.groups.iter().take(number);
            if earlier.clone().any(|other| other.name == group.name) {
                return Err(ProfileError::field(format!("groups[{number}].name"), "stands twice"));
            }
            if !is_word(&group.name) {
                return Err(ProfileError::field(format!("groups[{number}].name"), WORD));
            }
            if group.zones == 0 || group.spaces == 0 {
                return Err(ProfileError::field(format!("groups[{number}]"), "needs zones and spaces"));
            }
        }
        let spaces = self.groups.iter().map(|group| u64::from(group.zones) * u64::from(group.spaces));
        if spaces.sum::<u64>() > MOST_SPACES {
            return Err(ProfileError::field("groups", format!("more than {MOST_SPACES} spaces")));
        }
        Ok(())
    }

    /// The first instant after the end.
    pub fn end(&self) -> Millis {
        self.start.as_millisecond() + self.duration.millis()
    }

    /// The inventory of the city.
    pub fn inventory(&self) -> InventoryFile {
        let zones = self.plans().map(|plan| plan.inventory(self)).collect();
        let revision = Revision {
            valid_from: self.start,
            time_zone: self.time_zone.clone(),
            holidays: Vec::new(),
            areas: Vec::new(),
            zones,
        };
        InventoryFile { revisions: vec![revision] }
    }

    pub(super) fn zones(&self) -> Result<Vec<ZoneFeed>, ProfileError> {
        self.check()?;
        let time_zone = self.resolve_time_zone()?;
        Ok(self.plans().map(|plan| ZoneFeed::new(&plan, self, time_zone.clone())).collect())
    }

    fn resolve_time_zone(&self) -> Result<TimeZone, ProfileError> {
        let refuse =
            |_| ProfileError::field("timeZone", format!("`{}` is no IANA time zone", self.time_zone));
        TimeZone::get(&self.time_zone).map_err(refuse)
    }

    fn plans(&self) -> impl Iterator<Item = Plan> {
        self.groups.iter().flat_map(|group| {
            (1..=group.zones).map(|number| {
                let code = format!("{}-{number}", group.name);
                let id = Uuid::new_v5(&NAMESPACE, format!("{}/{code}", self.tenant).as_bytes());
                Plan { code, id, spaces: group.spaces, archetype: group.archetype, sensing: group.sensing }
            })
        })
    }
}

const WORD: &str = "must be 1 to 40 letters, digits or hyphens";

/// Names stand in records and ids as they are.
fn is_word(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && (1..=40).contains(&name.len())
}

impl Plan {
    fn inventory(&self, profile: &Profile) -> Zone {
        let watched = if self.sensing == Sensing::Spaces { self.spaces } else { 0 };
        let space =
            |number| Space { id: self.space_id(number), number: number.to_string(), class: String::new() };
        let sensor = |number| Device {
            id: self.device_id(number),
            source_type: SourceType::InGround,
            space: Some(self.space_id(number)),
        };
        let counter = Device { id: self.device_id(0), source_type: SourceType::Camera, space: None };
        let devices = if watched == 0 { vec![counter] } else { (0..watched).map(sensor).collect() };
        Zone {
            id: self.id,
            user_zone_id: self.code.clone(),
            name: self.code.clone(),
            area: None,
            labels: [("archetype".to_owned(), self.archetype.class().to_owned())].into(),
            capacity: self.spaces,
            class: self.archetype.class().to_owned(),
            time_zone: None,
            policy: Policy {
                max_stay: self.archetype.max_stay(),
                grace: self.archetype.max_stay().map(|_| Duration::from_secs(600)),
                rate: None,
            },
            expected_report_interval: Some(profile.report_interval),
            stale_after: None,
            spaces: (0..watched).map(space).collect(),
            devices,
        }
    }
}
