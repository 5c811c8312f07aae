//! What is measured: a simulated city with the faults of real ones, and ten rules over it.
//!
//! Must not measure. Invariant: the same zones, spaces and number of events give the same bytes.

use std::sync::Arc;

use parking_crds::{
    duration::Duration,
    inventory::Inventory,
    manifest::{self, Manifest},
};

use super::BenchError;
use crate::{
    domain::{
        alert::{RuleSet, Settings},
        generator::{Archetype, City, Faults, Group, Profile, Sensing},
        partitioner::partition_of_zone,
        verdict::EventLimits,
    },
    ports::event_log::{Partition, Records, RecordsBuilder, Stream, StreamPartition},
};

/// Partitions of the bench's streams.
pub(super) const PARTITIONS: Partition = 4;
/// Tenant and pipeline.
pub(super) const NAME: &str = "bench";

const RULES: &str = include_str!("rules.yaml");

/// Zones of each kind in a hundred, so that thresholds are crossed by day and stays exceed their limits.
const KINDS: [(&str, Archetype, u32); 6] = [
    ("STREET", Archetype::OnStreet, 40),
    ("LOADING", Archetype::Loading, 5),
    ("GARAGE", Archetype::Garage, 20),
    ("STATION", Archetype::Commuter, 15),
    ("GARDENS", Archetype::Resident, 10),
    ("CHARGING", Archetype::Charging, 10),
];

/// A city, its inventory and its rules.
pub(super) struct Scenario {
    pub(super) profile: Profile,
    pub(super) inventory: Arc<Inventory>,
    pub(super) rules: Arc<RuleSet>,
    pub(super) limits: EventLimits,
}

impl Scenario {
    /// A city of about this many zones, at least one of each kind.
    pub(super) fn new(zones: u32, spaces: u32) -> Result<Self, BenchError> {
        let profile = profile(zones, spaces)?;
        let inventory = Inventory::validate(profile.inventory()).map_err(BenchError::scenario)?;
        let (rules, refused) = RuleSet::compile(&rules()?);
        if let Some((rule, error)) = refused.first() {
            return Err(BenchError::scenario(format!("rule {rule}: {error}")));
        }
        Ok(Self {
            profile,
            inventory: Arc::new(inventory),
            rules: Arc::new(rules),
            limits: EventLimits::default(),
        })
    }

    /// What the alert stage of a partition needs to know.
    pub(super) fn settings(partition: Partition) -> Settings {
        Settings { tenant: NAME.to_owned(), partition }
    }

    /// The city's records from the first on.
    pub(super) fn feed(&self) -> Result<Feed, BenchError> {
        let city = City::new(&self.profile).map_err(BenchError::scenario)?;
        Ok(Feed { city, record: Vec::with_capacity(1_024) })
    }
}

fn profile(zones: u32, spaces: u32) -> Result<Profile, BenchError> {
    let group = |(name, archetype, share): (&str, Archetype, u32)| Group {
        name: name.to_owned(),
        zones: (zones * share / 100).max(1),
        spaces,
        archetype,
        sensing: Sensing::Spaces,
    };
    Ok(Profile {
        tenant: NAME.to_owned(),
        seed: 20_250_602,
        time_zone: "Europe/London".to_owned(),
        start: "2025-06-02T06:00:00+01:00".parse().map_err(BenchError::scenario)?,
        duration: Duration::from_secs(14 * 86_400),
        report_interval: Duration::from_secs(15 * 60),
        groups: KINDS.into_iter().map(group).collect(),
        faults: Faults::default(),
    })
}

fn rules() -> Result<Vec<parking_crds::alert_rule::AlertRule>, BenchError> {
    let documents = manifest::parse(RULES).map_err(|found| BenchError::scenario(format!("{:?}", found.0)))?;
    let rule = |document: manifest::Document| match document.manifest {
        Manifest::Rule(rule) => Some(*rule),
        _ => None,
    };
    Ok(documents.into_iter().filter_map(rule).collect())
}

/// Records as they come, cut into what one append takes.
pub(super) struct Feed {
    city: City,
    record: Vec<u8>,
}

impl Feed {
    /// The next `count` records by partition; fewer only at the end of the profile.
    pub(super) fn take(&mut self, count: u64) -> Vec<(StreamPartition, Records)> {
        let mut parts: Vec<_> = (0..PARTITIONS).map(|_| RecordsBuilder::default()).collect();
        for _ in 0..count {
            let Some(delivered) = self.city.next(&mut self.record) else { break };
            let partition = partition_of_zone(delivered.zone, PARTITIONS);
            if let Some(part) = parts.get_mut(partition as usize) {
                part.push(&self.record);
            }
        }
        let at = |partition| StreamPartition { stream: Stream::Events, partition };
        (0..PARTITIONS)
            .zip(parts)
            .filter(|(_, part)| !part.is_empty())
            .map(|(partition, part)| (at(partition), part.finish()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_rules_of_every_kind_are_run() {
        let scenario = Scenario::new(100, 2).unwrap();
        assert_eq!(scenario.rules.rules().len(), 10);
        for kind in ["threshold:", "dwell:", "absence:"] {
            assert!(RULES.contains(kind), "{kind}");
        }
    }

    #[test]
    fn the_city_has_the_zones_that_were_asked_for() {
        let scenario = Scenario::new(1_000, 2).unwrap();
        assert_eq!(scenario.inventory.latest().zones().len(), 1_000);
    }

    #[test]
    fn curb_events_are_as_large_as_the_profile_demands() {
        let mut feed = Scenario::new(100, 4).unwrap().feed().unwrap();
        let parts = feed.take(2_000);
        let records: usize = parts.iter().map(|(_, records)| records.len()).sum();
        let bytes: usize = parts.iter().map(|(_, records)| records.bytes().len()).sum();
        assert_eq!(records, 2_000);
        assert!(bytes / records >= 430, "{}", bytes / records);
    }
}
