//! What a data folder survives: other owners, torn writes, a full disk; and when it answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use bytes::Bytes;
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::embedded::{DataFolder, OpenError, SystemClock, open},
    ports::{
        ErrorKind,
        clock::Clock,
        event_log::{EventLog, Parts, Records, Stream, StreamPartition},
        state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Stored, Token},
    },
};
use tempfile::tempdir;
use uuid::Uuid;

const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const STAGE: StageKey = StageKey { role: "occupancy", partition: 0 };
const FOLDER: &str = "PARKING_TEST_FOLDER";

fn append_of(records: Records) -> Parts {
    vec![(AT, records)]
}

async fn read_all(log: &dyn EventLog) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let fetched = log.read(AT, found.len() as u64, usize::MAX).await.unwrap();
        if fetched.records.is_empty() {
            return found;
        }
        found.extend(fetched.records.iter().map(<[u8]>::to_vec));
    }
}

fn refusal(folder: &Path, pipeline: &str, partitions: u32) -> OpenError {
    open(folder, pipeline, partitions).err().expect("the folder is refused")
}

#[test]
fn a_folder_that_is_open_is_not_opened_again() {
    let folder = tempdir().unwrap();
    let held = open(folder.path(), "city", 1).unwrap();
    let refused = refusal(folder.path(), "city", 1);
    assert!(matches!(refused, OpenError::InUse(_)));
    assert!(refused.to_string().ends_with("is in use by another process"));
    drop(held);
    open(folder.path(), "city", 1).unwrap();
}

#[test]
fn a_folder_of_another_pipeline_or_shape_is_refused_by_name() {
    let folder = tempdir().unwrap();
    drop(open(folder.path(), "city", 2).unwrap());
    let other = refusal(folder.path(), "harbour", 2).to_string();
    assert!(other.ends_with("belongs to pipeline city, not to harbour"), "{other}");
    let other = refusal(folder.path(), "city", 3).to_string();
    assert!(other.contains("made with 2 partitions, the pipeline has 3"), "{other}");
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("database")).unwrap();
    assert!(matches!(refusal(folder.path(), "city", 1), OpenError::NotOurs(_)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_marker_is_reported_and_not_replaced() {
    let folder = tempdir().unwrap();
    drop(open(folder.path(), "city", 1).unwrap());
    fs::write(folder.path().join("pipeline.json"), "{").unwrap();
    assert!(matches!(refusal(folder.path(), "city", 1), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_first_start_that_was_interrupted_is_made_again() {
    let folder = tempdir().unwrap();
    drop(open(folder.path(), "city", 1).unwrap());
    fs::remove_file(folder.path().join("pipeline.json")).unwrap();
    fs::remove_file(folder.path().join("database/version")).unwrap();
    let log = open(folder.path(), "city", 1).unwrap().event_log();
    assert_eq!(log.bounds(AT).await.unwrap().end, 0);
}

/// The newest journal of a folder and the end of what was written in it.
fn newest_journal(folder: &Path) -> (PathBuf, Vec<u8>) {
    let journals = fs::read_dir(folder.join("database")).unwrap().map(|entry| entry.unwrap().path());
    let newest = journals.filter(|path| path.extension() == Some(OsStr::new("jnl"))).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    (newest, bytes)
}

fn copy_folder(from: &Path, to: &Path, except: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_folder(&path, &to.join(name), except);
        } else if path != except {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// `None` where the folder is refused.
async fn records_after(folder: &Path) -> Option<Vec<Vec<u8>>> {
    let log = match open(folder, "city", 1) {
        Ok(opened) => opened.event_log(),
        Err(OpenError::Damaged { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let found = read_all(&log).await;
    log.append(append_of(["after"].into_iter().collect())).await.unwrap();
    assert_eq!(log.bounds(AT).await.unwrap().end, found.len() as u64 + 1);
    Some(found)
}

#[tokio::test]
async fn l1_after_a_torn_write_a_prefix_is_left_or_the_folder_is_refused() {
    let folder = tempdir().unwrap();
    let log = open(folder.path(), "city", 1).unwrap().event_log();
    let mut written = Vec::new();
    for n in 0..12_usize {
        let records: Vec<_> = (0..n).map(|i| format!("{n}/{i} ").repeat(n * n).into_bytes()).collect();
        log.append(append_of(records.iter().collect())).await.unwrap();
        written.extend(records);
    }
    drop(log);
    let (journal, bytes) = newest_journal(folder.path());
    let spread = (0..=16).map(|part| bytes.len() * part / 16);
    let mut kept = Vec::new();
    for cut in spread.chain(bytes.len() - 12..bytes.len()) {
        for filled in [false, true] {
            let copy = tempdir().unwrap();
            copy_folder(folder.path(), copy.path(), &journal);
            let torn = copy.path().join(journal.strip_prefix(folder.path()).unwrap());
            let mut file = File::create(&torn).unwrap();
            file.write_all(&bytes[..cut]).unwrap();
            file.set_len(if filled { 64 << 20 } else { cut as u64 }).unwrap();
            drop(file);
            if let Some(found) = records_after(copy.path()).await {
                assert_eq!(found, written[..found.len()], "cut at {cut} of {}", bytes.len());
                kept.push(found.len());
            }
        }
    }
    assert_eq!(kept.iter().max(), Some(&written.len()), "the whole journal gives all records");
    kept.sort_unstable();
    kept.dedup();
    assert!(kept.len() > 5, "cuts fall between appends: {kept:?}");
}

/// One more record and a commit that read it, each as large as a few sectors; answers what the store then holds.
async fn go_on(folder: &DataFolder, token: Token, step: u64) -> Stored {
    let (log, store) = (folder.event_log(), folder.state_store());
    log.append(append_of([format!("{step} ").repeat(100)].into_iter().collect())).await.unwrap();
    let block = Bytes::from(format!("{step} ").repeat(200));
    let entry = OutboxEntry { seq: step, stream: Stream::Sessions, record: Bytes::from(step.to_string()) };
    let commit = Commit {
        token,
        log_id: log.log_id(Stream::Events).await.unwrap(),
        base: step,
        next: step + 1,
        blocks: vec![(BlockKey { class: 0, id: u128::from(step % 3) }, Some(block))],
        outbox: vec![entry],
    };
    assert_eq!(store.commit(&STAGE, commit).await.unwrap(), Outcome::Stored);
    store.peek(&STAGE).await.unwrap().unwrap()
}

/// How many steps a folder holds: those and no others. `None` where it is refused.
async fn steps_after(folder: &Path, states: &[Stored]) -> Option<usize> {
    let opened = match open(folder, "city", 1) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let records = read_all(&opened.event_log()).await;
    let stored = opened.state_store().peek(&STAGE).await.unwrap().filter(|stored| stored.next_offset > 0);
    let steps = stored.as_ref().map_or(0, |stored| usize::try_from(stored.next_offset).unwrap());
    assert_eq!(stored.as_ref(), steps.checked_sub(1).map(|last| &states[last]), "a commit is whole");
    assert!(records.len() == steps || records.len() == steps + 1, "{} records, {steps} steps", records.len());
    Some(steps)
}

/// In the ordinary run some of the places, else all: `PARKING_EVERY_BYTE=1`.
#[tokio::test]
async fn row_15_a_journal_that_is_cut_or_flipped_anywhere_near_its_end_leaves_a_prefix_or_is_refused() {
    let between = if env::var_os("PARKING_EVERY_BYTE").is_some() { 1 } else { 61 };
    let folder = tempdir().unwrap();
    let opened = open(folder.path(), "city", 1).unwrap();
    let (token, _) = opened.state_store().claim(&STAGE, Uuid::from_u128(1)).await.unwrap();
    let (mut states, mut found, mut refused) = (Vec::new(), BTreeMap::<usize, u64>::new(), 0);
    for step in 0..6 {
        states.push(go_on(&opened, token, step).await);
        let (journal, bytes) = newest_journal(folder.path());
        for place in (bytes.len().saturating_sub(4 << 10)..bytes.len()).step_by(between) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            for torn in [&bytes[..place], &flipped] {
                let copy = tempdir().unwrap();
                copy_folder(folder.path(), copy.path(), &journal);
                fs::write(copy.path().join(journal.strip_prefix(folder.path()).unwrap()), torn).unwrap();
                match steps_after(copy.path(), &states).await {
                    Some(steps) => *found.entry(steps).or_default() += 1,
                    None => refused += 1,
                }
            }
        }
    }
    println!("places by the steps that were left: {found:?}, refused: {refused}");
    assert!(found.len() > 3, "places fall between the steps");
}

/// The folder waits a second for a slow disk, and what is settled is counted a little later: whoever needs the memory
/// settles again.
async fn settle_below(folder: &DataFolder, bytes: u64) -> u64 {
    let clock = SystemClock::new();
    for _ in 0..3_000 {
        if folder.unsettled_bytes() < bytes {
            break;
        }
        folder.settle().await;
        clock.pause(Duration::from_millis(10)).await;
    }
    folder.unsettled_bytes()
}

#[tokio::test]
async fn what_was_settled_frees_its_memory_and_is_there_after_a_restart() {
    let folder = tempdir().unwrap();
    let opened = open(folder.path(), "city", 1).unwrap();
    let records: Vec<_> = (0..80_u8).map(|n| vec![n; 100_000]).collect();
    opened.event_log().append(append_of(records.iter().collect())).await.unwrap();
    let before = opened.unsettled_bytes();
    assert!(before >= 8_000_000, "{before} bytes stand in memory");
    let after = settle_below(&opened, 1_000_000).await;
    assert!(after < 1_000_000, "{after} bytes stand in memory after it was settled");
    assert_eq!(read_all(&opened.event_log()).await, records);
    drop(opened);
    let again = open(folder.path(), "city", 1).unwrap();
    assert!(again.unsettled_bytes() < 1_000_000, "the next start reads it into memory again");
    assert_eq!(read_all(&again.event_log()).await, records);
}

/// Runs one of the ignored tests below in a process of its own.
fn child(mut command: Command, name: &str, folder: &Path) -> Output {
    let command = command.arg(env::current_exe().unwrap());
    let command = command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).output().unwrap()
}

fn child_folder() -> PathBuf {
    env::var_os(FOLDER).expect("run by another test").into()
}

#[tokio::test]
#[ignore = "the process that `l1_an_append_answers_after_fdatasync` watches"]
async fn child_appends_and_says_so() {
    let log = open(&child_folder(), "city", 1).unwrap().event_log();
    log.append(append_of(["the-record-to-watch"].into_iter().collect())).await.unwrap();
    std::io::stdout().write_all(b"it-was-answered\n").unwrap();
}

#[test]
fn l1_an_append_answers_after_fdatasync() {
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("skipped: strace is not installed (apt-get install strace)");
        return;
    }
    let folder = tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "65536", "-e", "trace=fdatasync,write,pwrite64,writev", "-o"]).arg(&trace);
    let output = child(strace, "child_appends_and_says_so", &folder.path().join("data"));
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(&trace).unwrap();
    let lines: Vec<_> = trace.lines().collect();
    let written = lines.iter().position(|line| line.contains("the-record-to-watch")).expect("a write");
    let file = lines[written].split_once("write(").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
    let rest = &lines[written..];
    let sync = format!("fdatasync({file}");
    let begun = rest.iter().position(|line| line.contains(&sync)).expect("a sync of what was written");
    let ended = rest[begun..].iter().position(|line| line.contains("fdatasync") && line.ends_with("= 0"));
    let answered = rest.iter().position(|line| line.contains("it-was-answered")).expect("an answer");
    assert!(begun + ended.expect("a sync that succeeded") < answered, "{trace}");
}

#[tokio::test]
#[ignore = "the process that `a_full_disk_is_an_error_and_leaves_nothing_half_written` limits"]
async fn child_fills_the_disk() {
    let log = open(&child_folder(), "city", 1).unwrap().event_log();
    log.append(append_of(["kept"].into_iter().collect())).await.unwrap();
    let large = vec![7; 1 << 20];
    let refused = log.append(append_of((0..140).map(|_| &large).collect())).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Full);
    let refused = log.append(append_of(["later"].into_iter().collect())).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Closed);
    assert_eq!(read_all(&log).await, [b"kept"]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_leaves_nothing_half_written() {
    let folder = tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 140000; exec \"$@\"", "sh"]);
    let output = child(limited, "child_fills_the_disk", folder.path());
    assert!(output.status.success(), "{output:?}");
    let log = open(folder.path(), "city", 1).unwrap().event_log();
    assert_eq!(read_all(&log).await, [b"kept"]);
    log.append(append_of(["after"].into_iter().collect())).await.unwrap();
    assert_eq!(read_all(&log).await, [b"kept".as_slice(), b"after"]);
}
