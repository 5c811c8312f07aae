//! What is wrong is told in one plain sentence that names file, line and field; nothing is half-written.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod data_folder;
mod dead_letters;
mod full_disk;
mod jobs;
mod long_line;
mod manifests;
mod odd_but_fine;
mod readings;

use std::{fs, process::Command, time::Duration};

use parking_e2e::{
    pipeline::{Pipeline, report},
    process::run,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

/// The example `birmingham` with its first readings only.
fn small() -> Pipeline {
    let pipeline = Pipeline::of_example("birmingham").unwrap();
    let readings = pipeline.file("readings.csv");
    let text = fs::read_to_string(&readings).unwrap();
    let first: Vec<&str> = text.lines().take(101).collect();
    fs::write(readings, first.join("\n") + "\n").unwrap();
    pipeline
}

/// Runs to the end, and answers with the report.
#[track_caller]
fn accepted(pipeline: &Pipeline) -> Value {
    let finished = run(&mut pipeline.up().unwrap(), LIMIT).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr);
    report(&finished.stdout).unwrap()
}

/// What a command says that fails: one line on standard error, for people.
#[track_caller]
fn complaint(command: &mut Command) -> String {
    let finished = run(command, LIMIT).unwrap();
    assert_eq!(finished.status.code(), Some(1), "{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.stdout, "");
    let said = finished.stderr.strip_prefix("parking: ").unwrap_or_else(|| panic!("{}", finished.stderr));
    let said = said.strip_suffix('\n').unwrap();
    assert!(!said.is_empty() && !said.contains('\n'), "not one sentence: {said}");
    for debris in ["Error {", "Some(", "panicked", "RUST_BACKTRACE"] {
        assert!(!said.contains(debris), "not for people: {said}");
    }
    said.to_owned()
}

/// The complaint about files, without the name of their folder; no data folder was made.
#[track_caller]
fn refused(pipeline: &Pipeline) -> String {
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(!pipeline.data().exists(), "it began to write: {said}");
    said.replace(&format!("{}/", pipeline.files().display()), "")
}
