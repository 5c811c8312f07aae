use std::collections::{BTreeMap, BTreeSet};

use parking_crds::event::{CompanionRecord, EventType, ParkingEvent};

use super::*;

const PROFILE: &str = "
tenant: city
seed: 7
timeZone: Europe/London
start: 2025-06-02T00:00:00Z
duration: 2d
reportInterval: 5m
groups:
- {name: HIGH, zones: 3, spaces: 30, archetype: onStreet}
- {name: LOAD, zones: 1, spaces: 6, archetype: loading}
- {name: MALL, zones: 1, spaces: 300, archetype: garage, sensing: count}
";

fn profile() -> Profile {
    Profile::parse(PROFILE).unwrap()
}

fn records(profile: &Profile) -> Vec<(Delivered, Vec<u8>)> {
    let (mut city, mut record, mut records) = (City::new(profile).unwrap(), Vec::new(), Vec::new());
    while let Some(delivered) = city.next(&mut record) {
        records.push((delivered, record.clone()));
    }
    records
}

fn events(records: &[(Delivered, Vec<u8>)]) -> Vec<ParkingEvent> {
    records.iter().filter_map(|(_, record)| serde_json::from_slice(record).ok()).collect()
}

#[test]
fn same_seed_gives_same_bytes_and_another_seed_others() {
    let first = records(&profile());
    assert!(first == records(&profile()));
    assert!(first != records(&Profile { seed: 8, ..profile() }));
}

#[test]
fn zone_sends_the_same_whatever_its_neighbours() {
    let full = records(&profile());
    let mut alone = profile();
    alone.groups.retain(|group| group.name == "LOAD");
    let alone = records(&alone);
    let zone = alone[0].0.zone;
    assert!(full.into_iter().filter(|(delivered, _)| delivered.zone == zone).eq(alone));
}

#[test]
fn without_faults_every_record_is_whole_numbered_and_tells_the_truth() {
    let records = records(&Profile { faults: Faults::NONE, ..profile() });
    let mut next: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut parked: BTreeMap<Uuid, Uuid> = BTreeMap::new();
    let mut by_device: BTreeMap<Uuid, Vec<ParkingEvent>> = BTreeMap::new();
    for (_, record) in &records {
        assert!(record.len() >= 430, "{}: {}", record.len(), String::from_utf8_lossy(record));
        let event: ParkingEvent = serde_json::from_slice(record).unwrap();
        by_device.entry(event.data_source_device_id).or_default().push(event);
    }
    for (device, mut events) in by_device {
        events.sort_by_key(|event| event.ext.seq);
        for event in events {
            let seq = next.entry(device).or_default();
            assert_eq!(event.ext.seq, Some(*seq));
            *seq += 1;
            match event.event_type {
                EventType::ParkStart => {
                    assert!(parked.insert(device, event.event_session_id.unwrap()).is_none());
                }
                EventType::ParkEnd => assert_eq!(parked.remove(&device), event.event_session_id),
                _ => {
                    let seen = event.curb_occupants.map_or(parked.len(), |occupants| occupants.len());
                    assert!(event.ext.occupied.is_some() || (seen == 1) == parked.contains_key(&device));
                }
            }
        }
    }
}

#[test]
fn records_come_in_the_order_of_their_publication() {
    let records = records(&profile());
    assert!(records.is_sorted_by_key(|(delivered, _)| delivered.time));
    for (delivered, record) in &records {
        if let Ok(event) = serde_json::from_slice::<ParkingEvent>(record) {
            assert_eq!(event.event_publication_time, delivered.time);
        }
    }
}

#[test]
fn shares_of_faults_are_those_asked_for() {
    let records = records(&profile());
    let events = events(&records);
    let count = |what: &dyn Fn(&ParkingEvent) -> bool| events.iter().filter(|event| what(event)).count();
    let share = |count: usize| {
        f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(events.len()).unwrap())
    };
    let ids: BTreeSet<_> = events.iter().map(|event| event.event_id).collect();
    assert!((0.010..0.020).contains(&share(events.len() - ids.len())));
    let late = count(&|event| {
        let behind = event.event_publication_time - event.event_time;
        (300_000..3_000_000).contains(&behind)
    });
    assert!((0.000_4..0.004).contains(&share(late)), "{late}");
}

#[test]
fn every_kind_of_fault_happens() {
    let faults =
        Faults { impossible: 0.02, outages: 4.0, incidents: 8.0, reboots: 0.01, ..Faults::default() };
    let records = records(&Profile { faults, ..profile() });
    let events = events(&records);
    for kind in [EventType::CommsLost, EventType::CommsRestored] {
        let inferred = |event: &&ParkingEvent| event.ext.boot_id.as_deref() == Some("inferred:gateway");
        assert!(events.iter().filter(inferred).any(|event| event.event_type == kind));
    }
    assert!(events.iter().any(|event| event.ext.boot_id.as_deref() == Some("b2")));
    assert!(events.iter().any(|event| event.ext.occupied == Some(-3)));
    let companions =
        records.iter().filter_map(|(_, record)| serde_json::from_slice::<CompanionRecord>(record).ok());
    let types: BTreeSet<_> = companions
        .map(|record| serde_json::to_value(&record.body).unwrap()["record_type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, ["count.corrected", "space.out_of_service", "zone.closed"].map(str::to_owned).into());
    let unreadable = |(_, record): &&(Delivered, Vec<u8>)| {
        serde_json::from_slice::<ParkingEvent>(record).is_err()
            && serde_json::from_slice::<CompanionRecord>(record).is_err()
    };
    assert!(records.iter().filter(unreadable).count() > 20);
}

#[test]
fn inventory_of_the_city_is_valid_and_knows_every_sender() {
    let profile = profile();
    let inventory = parking_crds::inventory::Inventory::validate(profile.inventory()).unwrap();
    let records = records(&Profile { faults: Faults::NONE, ..profile });
    for event in events(&records) {
        let zone = inventory.latest().zone(event.curb_zone_id).unwrap();
        assert!(zone.devices.iter().any(|device| device.id == event.data_source_device_id));
        assert!(event.curb_space_id.is_none_or(|space| zone.spaces.iter().any(|own| own.id == space)));
    }
}

#[test]
fn profiles_that_cannot_be_simulated_name_the_field() {
    for (from, to, field) in [
        ("Europe/London", "Europe/Lundon", "timeZone"),
        ("reportInterval: 5m", "reportInterval: 0s", "reportInterval"),
        ("name: LOAD", "name: HIGH", "groups[1].name"),
        ("name: LOAD", "name: 'L\"D'", "groups[1].name"),
        ("tenant: city", "tenant: City!", "tenant"),
        ("spaces: 6", "spaces: 0", "groups[1]"),
        ("spaces: 6", "spaces: 6000000", "groups"),
        ("groups:", "faults: {late: 2}\ngroups:", "faults.late"),
        ("groups:", "faults: {outages: -1}\ngroups:", "faults.outages"),
        ("groups:", "faults: {later: 2}\ngroups:", "later"),
    ] {
        let error = Profile::parse(&PROFILE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}
