//! Instructions per event of the hot path, counted by callgrind and compared with the committed baseline.
//!
//! Wall clocks are noisy, instructions are not: what grew by more than 3 % was made slower on purpose or by
//! mistake, and what shrank by as much deserves a new baseline. Counts hold for the dev profile.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command, time::Duration};

use parking_e2e::{locate, process::run};
use serde_json::{Value, json};

/// What is counted: a function of `command::bench::instructions`, callees included.
const COUNTED: [&str; 2] = ["read_counted", "step_counted"];
/// Events that they take, as `command::bench::instructions::EVENTS` has it.
const EVENTS: u64 = 32_000;
/// In percent of the baseline.
const TOLERANCE: f64 = 3.0;
const LIMIT: Duration = Duration::from_mins(10);

fn baseline_file() -> PathBuf {
    locate::repository().join("e2e/tests/instructions/baseline.json")
}

/// `summary: N` of callgrind's output.
fn total(profile: &str) -> Option<u64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("summary:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a share in percent")]
fn grown(baseline: u64, counted: u64) -> f64 {
    (counted as f64 / baseline as f64 - 1.0) * 100.0
}

/// Instructions an event of one of the functions.
fn count(function: &str) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--toggle-collect=*bench::instructions::{function}*"));
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(locate::parking().unwrap()).args(["bench", "instructions"]);
    let finished = run(&mut valgrind, LIMIT).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr);
    let counted = total(&fs::read_to_string(&out).unwrap()).unwrap() / EVENTS;
    assert!(counted > 100, "{counted} instructions an event: callgrind did not find {function}");
    counted
}

#[test]
#[ignore = "counts hold for the dev profile's binary alone: `make test` builds and runs it"]
fn an_event_costs_the_instructions_of_the_baseline() {
    let counted: BTreeMap<_, _> = COUNTED.into_iter().map(|function| (function, count(function))).collect();
    if env::var_os("PARKING_GENERATE").is_some() {
        fs::write(baseline_file(), format!("{:#}\n", json!({"instructionsPerEvent": counted}))).unwrap();
        return;
    }
    let baseline: Value = serde_json::from_str(&fs::read_to_string(baseline_file()).unwrap()).unwrap();
    let mut moved = Vec::new();
    for (function, counted) in counted {
        let path = format!("/instructionsPerEvent/{function}");
        let baseline = baseline.pointer(&path).and_then(Value::as_u64).unwrap();
        let grown = grown(baseline, counted);
        let line = format!(
            "{function}: {counted} instructions an event, the baseline has {baseline}: {grown:+.2} %"
        );
        println!("{line}");
        if grown.abs() > TOLERANCE {
            moved.push(line);
        }
    }
    assert!(
        moved.is_empty(),
        "{}\nAllowed are {TOLERANCE} %. Find what moved with `valgrind --tool=callgrind \
         '--toggle-collect=*bench::instructions::step_counted*' parking bench instructions` and \
         callgrind_annotate; is it wanted, or better now, `make instructions` writes the new baseline.",
        moved.join("\n")
    );
}

#[test]
fn the_sum_is_read_from_callgrinds_output() {
    assert_eq!(total("version: 1\nevents: Ir\nsummary: 1234\n\nfn=(1) x\n"), Some(1_234));
    assert_eq!(total("version: 1\n"), None);
}

#[test]
fn growth_is_told_in_percent() {
    assert!((grown(1_000, 1_030) - 3.0).abs() < 1e-9);
    assert!((grown(1_000, 970) + 3.0).abs() < 1e-9);
}
