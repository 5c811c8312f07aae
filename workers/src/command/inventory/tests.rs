use super::*;

/// The text that stands in an example; made anew where `PARKING_GENERATE` is set.
fn assert_committed(path: &str, made: &str) {
    let path = root().join(path);
    if std::env::var_os("PARKING_GENERATE").is_some() {
        fs::write(&path, made).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == made, "{}: run make generate", path.display());
}

fn root() -> PathBuf {
    PathBuf::from("..")
}

/// Made as by somebody who stands in the root folder.
fn made(text: &str) -> String {
    text.replace(&format!("{}/", root().display()), "")
}

fn inventory(config_map: &str) -> Inventory {
    let map: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(config_map).unwrap();
    Inventory::parse(map["data"]["inventory.yaml"].as_str().unwrap()).unwrap()
}

#[test]
fn birmingham_has_30_car_parks_with_the_capacities_of_the_data() {
    let text = made(&birmingham(&root().join("examples/birmingham/readings.csv")).unwrap());
    let inventory = inventory(&text);
    let zones = inventory.latest().zones();
    assert_eq!((zones.len(), zones.iter().map(|zone| zone.capacity).sum::<u32>()), (30, 39_956));
    assert!(zones.iter().all(|zone| zone.is_count_only() && zone.devices.len() == 1));
    assert_committed("examples/birmingham/inventory.yaml", &text);
}

#[test]
fn melbourne_has_every_bay_and_fits_a_config_map() {
    let folder = root().join("examples/melbourne");
    let text = made(&melbourne(&folder.join("sensors.csv"), &folder.join("sign-plates.csv")).unwrap());
    let inventory = inventory(&text);
    let zones = inventory.latest().zones();
    assert_eq!((zones.len(), zones.iter().map(|zone| zone.spaces.len()).sum::<usize>()), (332, 3_309));
    assert!(zones.iter().filter(|zone| zone.policy.max_stay.is_some()).count() > 200);
    assert!(text.len() < 1 << 20, "{}", text.len());
    assert_committed("examples/melbourne/inventory.yaml", &text);
}

#[test]
fn simulated_city_has_the_zones_of_its_profile() {
    let text = made(&simulated(&root().join("examples/city/city.profile")).unwrap());
    assert!(inventory(&text).latest().zones().iter().any(Zone::is_count_only));
    assert_committed("examples/city/inventory.yaml", &text);
}

#[test]
fn car_park_with_two_capacities_is_refused_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let rows = "A,10,1,2016-10-04 08:00:00\nA,12,1,2016-10-04 09:00:00\n";
    fs::write(file.path(), format!("SystemCodeNumber,Capacity,Occupancy,LastUpdated\n{rows}")).unwrap();
    let error = birmingham(file.path()).unwrap_err().to_string();
    assert!(error.ends_with(", line 3, field `Capacity`: is 12 and was 10 before"), "{error}");
}
