//! Manifests that cannot be run.

use std::fs;

use crate::{complaint, refused, small};

/// The complaint after one change of a file.
#[track_caller]
fn changed(file: &str, from: &str, to: &str) -> String {
    let pipeline = small();
    pipeline.replace(file, from, to).unwrap();
    refused(&pipeline)
}

#[test]
fn malformed_yaml() {
    let said = changed("stats.yaml", "statistics: [occupancy]", "statistics: [occupancy");
    assert!(said.starts_with("stats.yaml: line "), "{said}");
}

#[test]
fn unknown_field() {
    let said = changed("stats.yaml", "granularity: 1h", "grain: 1h");
    assert_eq!(said, "stats.yaml: line 9 (document 1), spec.grain: is not a known field");
}

#[test]
fn unknown_kind() {
    let said = changed("stats.yaml", "kind: StatsJob", "kind: StatJob");
    assert!(said.starts_with("stats.yaml: line 2 (document 1), kind: "), "{said}");
}

#[test]
fn field_of_another_type() {
    let said = changed("pipeline.yaml", "partitions: 4", "partitions: four");
    assert!(said.starts_with("pipeline.yaml: line 22 (document 1), spec.events.partitions: "), "{said}");
}

#[test]
fn unknown_time_zone_of_a_job() {
    let said = changed("stats.yaml", "Europe/London", "Europe/Lundon");
    assert!(said.starts_with("stats.yaml: line 7 (document 1), spec.timeZone: "), "{said}");
}

#[test]
fn two_pipelines_of_one_name() {
    let pipeline = small();
    fs::copy(pipeline.file("pipeline.yaml"), pipeline.file("second.yaml")).unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("second.yaml: line 4 (document 1), metadata.name: "), "{said}");
    assert!(said.ends_with("pipeline.yaml"), "{said}");
}

#[test]
fn two_rules_of_one_name() {
    let said = changed("rules.yaml", "name: zone-almost-full", "name: zone-full");
    assert!(said.starts_with("rules.yaml: line 18 (document 2), metadata.name: "), "{said}");
}

#[test]
fn rule_of_a_missing_pipeline() {
    let pipeline = small();
    let rules = fs::read_to_string(pipeline.file("rules.yaml")).unwrap();
    fs::write(pipeline.file("rules.yaml"), rules.replacen("{name: birmingham}", "{name: leeds}", 1)).unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("rules.yaml: line 5 (document 1), spec.pipelineRef.name: "), "{said}");
    assert!(said.contains("`leeds`") && said.contains("`birmingham`"), "{said}");
}

#[test]
fn inventory_with_a_zone_twice() {
    let (first, second) = ("b73d6a5b-0cf9-5c50-872b-fd025065eae2", "7a58c3df-e58a-5458-bf8c-040bd3322a15");
    let said = changed("inventory.yaml", second, first);
    let expected = "inventory.yaml: line 21 (document 1), revisions[0].zones[1].id: \
                    stands already at revisions[0].zones[0].id";
    assert_eq!(said, expected);
}

#[test]
fn inventory_with_an_unknown_time_zone() {
    let said = changed("inventory.yaml", "timeZone: Europe/London", "timeZone: Europe/Lundon");
    assert!(said.starts_with("inventory.yaml: line 11 (document 1), revisions[0].timeZone: "), "{said}");
}

#[test]
fn missing_inventory() {
    let pipeline = small();
    fs::remove_file(pipeline.file("inventory.yaml")).unwrap();
    let said = refused(&pipeline);
    let expected = "pipeline.yaml: line 21 (document 1), spec.inventory.configMapRef.name: \
                    no ConfigMap `birmingham-inventory` in these files";
    assert_eq!(said, expected);
}

#[test]
fn manifest_that_is_not_utf8() {
    let pipeline = small();
    fs::write(pipeline.file("stats.yaml"), b"apiVersion: v1\nkind: Conf\xffigMap\n").unwrap();
    assert_eq!(refused(&pipeline), "stats.yaml: line 2, byte 11: not UTF-8");
}

#[test]
fn files_without_a_pipeline() {
    let pipeline = small();
    for file in ["pipeline.yaml", "rules.yaml", "stats.yaml"] {
        fs::remove_file(pipeline.file(file)).unwrap();
    }
    let said = refused(&pipeline);
    assert!(said.contains("no ParkingPipeline"), "{said}");
    fs::remove_file(pipeline.file("inventory.yaml")).unwrap();
    assert_eq!(refused(&pipeline), said, "a folder without any manifest");
    fs::write(pipeline.file("pipeline.yaml"), "").unwrap();
    assert_eq!(refused(&pipeline), said, "an empty manifest");
}

#[test]
fn path_that_does_not_exist() {
    let pipeline = small();
    let mut up = pipeline.up().unwrap();
    let said = complaint(up.arg("-f").arg(pipeline.file("nowhere.yaml")));
    assert!(said.starts_with(&pipeline.file("nowhere.yaml").display().to_string()), "{said}");
    assert!(!pipeline.data().exists());
}

#[test]
fn wrong_use_of_the_command_exits_with_two() {
    let pipeline = small();
    let mut up = pipeline.up().unwrap();
    let finished = parking_e2e::process::run(up.arg("--no-such-option"), crate::LIMIT).unwrap();
    assert_eq!(finished.status.code(), Some(2));
    assert!(finished.stderr.contains("--no-such-option"), "{}", finished.stderr);
    assert!(!pipeline.data().exists());
}
