//! The zones of a run, with their spaces and devices.

use std::collections::BTreeMap;

use parking_crds::{
    duration::Duration,
    event::SourceType,
    inventory::{Device, Policy, Space, Zone},
};
use parking_workers::domain::partitioner::partition_of_zone;
use uuid::Uuid;

use super::ZONES;
use crate::chance::Chance;

pub(super) fn zones(chance: &mut Chance, partitions: u32) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    while zones.len() < ZONES {
        let id = chance.uuid();
        // Every partition gets its zones in turn, so that none stays empty.
        if partition_of_zone(id, partitions) as usize == zones.len() % partitions as usize {
            let number = zones.len();
            zones.push(zone(id, number, chance));
        }
    }
    zones
}

fn zone(id: Uuid, number: usize, chance: &mut Chance) -> Zone {
    let counts_only = number % 3 == 2;
    let capacity = if counts_only { 5 } else { 2 + chance.index(3) };
    let spaces: Vec<Space> = (0..if counts_only { 0 } else { capacity })
        .map(|_| Space { id: chance.uuid(), number: String::new(), class: String::new() })
        .collect();
    let device = |space: Option<Uuid>, source_type, chance: &mut Chance| Device {
        id: chance.uuid(),
        source_type,
        space,
    };
    let mut devices: Vec<Device> =
        spaces.iter().map(|space| device(Some(space.id), SourceType::InGround, chance)).collect();
    if counts_only {
        devices.push(device(None, SourceType::Camera, chance));
    }
    let max_stay = chance.hits(500).then(|| Duration::from_secs(60 * chance.between(5, 25)));
    Zone {
        id,
        user_zone_id: format!("Z{number}"),
        name: String::new(),
        area: None,
        labels: BTreeMap::default(),
        capacity: u32::try_from(capacity).unwrap(),
        class: String::new(),
        time_zone: None,
        policy: Policy { max_stay, ..Policy::default() },
        expected_report_interval: None,
        stale_after: chance.hits(500).then(|| Duration::from_secs(15 * 60)),
        spaces,
        devices,
    }
}
