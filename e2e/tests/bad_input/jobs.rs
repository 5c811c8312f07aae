//! Jobs that cannot be computed harm only themselves.

use std::fs;

use parking_e2e::process::run;
use serde_json::Value;

use crate::{LIMIT, complaint, refused, small};

#[test]
fn query_that_cannot_be_run() {
    let pipeline = small();
    let good = fs::read_to_string(pipeline.file("stats.yaml")).unwrap();
    let bad = good
        .replace("name: hourly", "name: busy")
        .replace("statistics: [occupancy]", "queries: [{name: most, sql: NO QUERY}]");
    fs::write(pipeline.file("first.yaml"), bad).unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(said.starts_with("job busy, query most: "), "{said}");
    let hourly = run(&mut pipeline.get(&["stats", "hourly"]).unwrap(), LIMIT).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&hourly.stdout).unwrap();
    assert!(!rows.is_empty(), "the other job was computed");
}

#[test]
fn statistic_that_is_not_built() {
    let pipeline = small();
    pipeline.replace("stats.yaml", "statistics: [occupancy]", "statistics: [occupancy, revenue]").unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("stats.yaml: line 11 (document 1), spec.statistics: "), "{said}");
}
