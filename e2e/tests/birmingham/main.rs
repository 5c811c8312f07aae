//! The example `birmingham`, from its files to report, tables and statistics.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "seconds of 77 days and counts of cars are small"
)]

mod oracle;

use std::{collections::BTreeMap, time::Duration};

use parking_e2e::{
    pipeline::{Pipeline, report},
    process::run,
    readers::read_tables,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(2);

fn up(pipeline: &Pipeline) -> Value {
    let finished = run(&mut pipeline.up().unwrap(), LIMIT).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr);
    report(&finished.stdout).unwrap()
}

#[test]
fn report_has_the_exact_figures_and_the_second_run_prints_the_same() {
    let pipeline = Pipeline::of_example("birmingham").unwrap();
    let first = up(&pipeline);
    let mut expected = json!({
        "pipeline": "birmingham",
        "events": {
            "read": 35_717, "accepted": 35_489, "duplicates": 216, "late": 0,
            "deadLetters": {"negative_count": 12},
        },
        "zones": 30,
        "sessions": 0,
        "alerts": {
            "zone-full": {"fired": 214, "resolved": 213, "firing": 1},
            "zone-almost-full": {"fired": 412, "resolved": 411, "firing": 1},
        },
        "stats": {"hourly": {"windows": 77, "rows": 55_470}},
    });
    let rows =
        [("events", 35_489), ("sessions", 0), ("alerts", 1_250), ("deadletters", 12), ("inventory", 30)];
    for (table, rows) in rows {
        let told = &first["lake"][table];
        assert_eq!(told["rows"], rows, "table {table}");
        assert_eq!(told["files"].as_u64().unwrap() == 0, rows == 0, "table {table}");
        assert_eq!(told["bytes"].as_u64().unwrap() == 0, rows == 0, "table {table}");
    }
    expected["lake"] = first["lake"].clone();
    assert_eq!(first, expected);
    assert_eq!(up(&pipeline), first);
}

#[test]
fn duckdb_and_polars_find_the_rows_that_the_report_names() {
    let pipeline = Pipeline::of_example("birmingham").unwrap();
    let report = up(&pipeline);
    let found = read_tables(&pipeline.data().join("lake")).unwrap();
    for (table, told) in report["lake"].as_object().unwrap() {
        let rows = told["rows"].as_u64().unwrap();
        let read = found.get(table).map_or([0; 3], |content| content.rows);
        assert_eq!(read, [rows; 3], "table {table}");
    }
    assert_eq!(found["stats_hourly"].rows, [55_470; 3]);
}

/// Car park and start of the hour, seconds since the epoch, to occupancy; `None` is unknown.
fn published(pipeline: &Pipeline) -> BTreeMap<(String, i64), Option<f64>> {
    let mut get = pipeline.get(&["stats", "hourly"]).unwrap();
    let get = run(&mut get, LIMIT).unwrap();
    assert!(get.status.success(), "{}", get.stderr);
    let rows: Vec<Value> = serde_json::from_str(&get.stdout).unwrap();
    let hour = |row: &Value| {
        assert_eq!(row["statistic"], "occupancy");
        let value = row["value"].as_f64().unwrap();
        assert!((value + 1.0).abs() < f64::EPSILON || (0.0..=1.0).contains(&value), "{row}");
        let start = oracle::second_of(row["start"].as_str().unwrap());
        ((row["zone"].as_str().unwrap().to_owned(), start), (value >= 0.0).then_some(value))
    };
    rows.iter().map(hour).collect()
}

#[test]
fn hourly_occupancy_equals_the_painted_seconds() {
    let pipeline = Pipeline::of_example("birmingham").unwrap();
    up(&pipeline);
    let (expected, actual) = (oracle::hours(), published(&pipeline));
    assert_eq!(expected.len(), 55_470);
    assert!(expected.values().flatten().count() > 15_000, "the oracle knows too little");
    assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let differing = expected.iter().filter(|(key, value)| match (value, actual[*key]) {
        (None, None) => false,
        (Some(expected), Some(actual)) => (expected - actual).abs() > 1e-9,
        _ => true,
    });
    let differing: Vec<_> = differing.map(|(key, value)| (key, value, actual[key])).take(5).collect();
    assert!(differing.is_empty(), "car park and hour, expected, published: {differing:?}");
}
