//! Kills a pipeline again and again on one data folder, then lets it end, and compares all results with
//! those of a run that nobody disturbed.
//!
//! When to kill is decided by what is seen on disk, never by time: the lake holds so many rows, and then
//! the next file of some part of the data folder appears. So a kill falls close behind a write.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use parking_e2e::{
    pipeline::{Pipeline, report},
    process::{Running, run},
    readers::{TableContent, read_tables},
    wait::eventually,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);
/// Rows of the table `events` when all is done.
const ALL_ROWS: u64 = 35_489;
/// Kills planned for one data folder.
const KILLS_OF_A_FOLDER: u64 = 20;
/// Parts of the data folder whose next write a kill may follow.
const PARTS: [&str; 5] = ["database", "objects", "lake/events", "lake/events/_delta_log", "lake/alerts"];
/// What a first start makes, in about this order.
const BEGINNINGS: [&str; 6] =
    ["lock", "database", "pipeline.json", "lake", "lake/inventory/_delta_log", "lake/events/_delta_log"];
/// What the statistics make at the end.
const ENDINGS: [&str; 2] = ["lake/stats_hourly", "lake/stats_hourly/_delta_log"];

/// All that a pipeline has to show for its input.
#[derive(Debug, PartialEq)]
struct Outcome {
    report: Value,
    tables: BTreeMap<String, TableContent>,
    alerts: Value,
    statistics: Value,
}

/// Small commits, so that many of them can be interrupted.
fn pipeline() -> Pipeline {
    let pipeline = Pipeline::of_example("birmingham").unwrap();
    pipeline.replace("pipeline.yaml", "rows: 1000000", "rows: 200").unwrap();
    pipeline
}

/// Runs to the end and gathers everything.
fn outcome(pipeline: &Pipeline) -> Outcome {
    let json = |command: io::Result<Command>| -> Value {
        let finished = run(&mut command.unwrap(), LIMIT).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr);
        serde_json::from_str(&finished.stdout).unwrap()
    };
    let report = report(&json(pipeline.up()).to_string()).unwrap();
    let tables = read_tables(&pipeline.data().join("lake")).unwrap();
    let (alerts, statistics) = (json(pipeline.get(&["alerts"])), json(pipeline.get(&["stats", "hourly"])));
    assert_eq!(tables["events"].rows, [ALL_ROWS; 3]);
    Outcome { report, tables, alerts, statistics }
}

/// Kills so often in all, on as many data folders as it takes, and compares each with a run that nobody
/// disturbed. At least three quarters of the kills fall between the first and the last commit to the
/// table `events`, which begins with its lake and is the last to end.
pub(crate) fn kill_and_compare(kills: u64, first_seed: u64) {
    let expected = outcome(&pipeline());
    let (mut done, mut between) = (0, 0);
    for seed in first_seed.. {
        let killed = pipeline();
        let planned = KILLS_OF_A_FOLDER.min(kills - done);
        let lives = kill(&killed, seed, planned);
        assert_eq!(outcome(&killed), expected, "seed {seed}");
        done += lives.len() as u64;
        between += lives.iter().filter(|rows| (1..ALL_ROWS).contains(*rows)).count() as u64;
        println!("seed {seed}: {} kills, in all {done}, {between} of them between two commits", lives.len());
        if done == kills {
            break;
        }
        assert!(!lives.is_empty(), "seed {seed}: nothing could be killed");
    }
    assert!(between * 4 >= kills * 3, "only {between} of {kills} kills fell between two commits");
}

/// Kills a new data folder's process again and again: while it starts, between its commits, while it
/// computes statistics. Answers with the rows of the table `events` after each kill: fewer than planned
/// where one life came to its end before its moment.
fn kill(pipeline: &Pipeline, seed: u64, planned: u64) -> Vec<u64> {
    let data = pipeline.data();
    let mut chance = Chance(seed);
    let mut lives = Vec::new();
    for number in 0..planned {
        let mut life = Running::start(&mut paced(pipeline)).unwrap();
        if number == 0 {
            let beginning = data.join(chance.pick(&BEGINNINGS));
            await_or_end(&mut life, || beginning.exists());
        } else if number == KILLS_OF_A_FOLDER - 1 {
            let ending = data.join(chance.pick(&ENDINGS));
            await_or_end(&mut life, || ending.exists());
        } else {
            let wanted = ALL_ROWS * (number - 1) / KILLS_OF_A_FOLDER + 1;
            await_or_end(&mut life, || committed_rows(&data) >= wanted);
            let part = data.join(chance.pick(&PARTS));
            let before = footprint(&part);
            await_or_end(&mut life, || footprint(&part) != before);
        }
        if !life.is_running().unwrap() {
            let ended = life.finish(LIMIT).unwrap();
            assert!(ended.status.success(), "{}", ended.stderr);
            break;
        }
        life.kill().unwrap();
        lives.push(committed_rows(&data));
    }
    lives
}

fn paced(pipeline: &Pipeline) -> Command {
    let mut up = pipeline.up().unwrap();
    up.args(["--commit-records", "100", "--replay-batch", "50", "--replay-pause", "8ms"]);
    up
}

fn await_or_end(life: &mut Running, seen: impl Fn() -> bool) {
    eventually("its moment", LIMIT, || (seen() || !life.is_running().unwrap()).then_some(())).unwrap();
}

/// Rows in the table `events`, by the commits in its log.
fn committed_rows(data: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(data.join("lake/events/_delta_log")) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_commit = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    paths.filter(is_commit).map(|commit| rows_of_commit(&commit)).sum()
}

fn rows_of_commit(commit: &Path) -> u64 {
    let text = fs::read_to_string(commit).unwrap();
    let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = |action: Value| {
        let stats: Value = serde_json::from_str(action["add"]["stats"].as_str()?).unwrap();
        stats["numRecords"].as_u64()
    };
    actions.filter_map(rows).sum()
}

/// Names, sizes and times of change of all files below a folder.
fn footprint(folder: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What disappears while it is looked at is gone.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(known) if known.is_dir() => folders.push(entry.path()),
                Ok(known) => drop(found.insert(entry.path(), (known.len(), known.modified().ok()))),
                Err(_) => {}
            }
        }
    }
    found
}

/// A sequence of choices that the seed decides.
struct Chance(u64);

impl Chance {
    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        // Knuth's linear congruential generator; its high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        choices[(self.0 >> 33) as usize % choices.len()]
    }
}
