use std::{collections::BTreeSet, io::Write};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::*;
use crate::{command::import::tests::Tape, domain::partitioner::partition_of_zone};

const READINGS: &str = "../examples/birmingham/readings.csv";
const HEADER: &str = "SystemCodeNumber,Capacity,Occupancy,LastUpdated\n";

fn settings() -> ImportSettings {
    ImportSettings {
        tenant: "birmingham".into(),
        partitions: 4,
        batch: 1_000,
        pace: None,
        end_of_input: false,
    }
}

fn file(content: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_ref()).unwrap();
    file
}

fn refusal(format: Format, content: impl AsRef<[u8]>) -> String {
    let file = file(content);
    let error = Replay::open(format, file.path(), settings()).err().expect("it must be refused").to_string();
    let name = file.path().to_string_lossy().into_owned();
    assert!(error.starts_with(&name), "{error}");
    error.replace(&name, "FILE")
}

fn play(replay: &mut Replay) -> Vec<(Keyed, Value)> {
    let (mut record, mut played) = (Vec::new(), Vec::new());
    while let Some(keyed) = replay.next(&mut record).unwrap() {
        played.push((keyed, serde_json::from_slice(&record).unwrap()));
    }
    played
}

#[tokio::test]
async fn every_reading_of_birmingham_is_one_record_in_the_order_of_time() {
    let mut replay = Replay::open(Format::Birmingham, Path::new(READINGS), settings()).unwrap();
    let log = Tape::default();
    let report = replay.run(&log, &mut |_| ()).await.unwrap();
    assert_eq!((report.records, report.appended), (35_717, 35_717));
    let mut ids = BTreeSet::new();
    for (partition, records) in (0..).zip(log.records()) {
        let mut last = 0;
        for record in &records {
            let event: ParkingEvent = serde_json::from_slice(record).unwrap();
            assert_eq!(partition_of_zone(event.curb_zone_id, 4), partition);
            assert!(event.event_time >= last);
            last = event.event_time;
            ids.insert(event.event_id);
        }
    }
    assert_eq!(ids.len(), 35_717 - 216);
}

#[test]
fn rows_out_of_order_and_several_files_are_merged_by_time() {
    let row = |minute: u32| format!("A,9,{minute},2016-10-04 08:{minute:02}:00\n");
    let rows = |minutes: &[u32]| minutes.iter().map(|minute| row(*minute)).collect::<String>();
    let first = file(format!("{HEADER}{}\r\n{}", rows(&[5, 7, 9, 2, 4, 1]), rows(&[6]).trim_end()));
    let second = file(format!("{HEADER}{}", rows(&[3, 8])));
    let paths = [first.path().to_owned(), second.path().to_owned()];
    let played = play(&mut Replay::open_all(Format::Birmingham, &paths, settings()).unwrap());
    let counts: Vec<_> = played.iter().map(|(_, event)| event["ext"]["occupied"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn snapshot_rows_give_their_records_at_two_times() {
    let played = play(
        &mut Replay::open(
            Format::Melbourne,
            file(
                "\u{feff}Lastupdated,Status_Timestamp,Zone_Number,Status_Description,KerbsideID,Location\n\
                 2025-03-25T11:44:37+11:00,2025-03-25T10:00:00+11:00,7265,Present,1,\"-37, 144\"\n\
                 2025-03-25T11:44:37+11:00,2025-03-25T09:00:00+11:00,7265,Unoccupied,2,\"-37, 144\"\n",
            )
            .path(),
            settings(),
        )
        .unwrap(),
    );
    let types: Vec<_> = played.iter().map(|(_, event)| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["park_end", "park_start", "scheduled_report", "scheduled_report"]);
}

#[test]
fn ndjson_lines_that_are_no_event_keep_their_place() {
    let file = file("{\"event_time\":2}\n{\"cut\":\n{\"event_time\":1}\n");
    let mut replay = Replay::open(Format::CdsNdjson, file.path(), settings()).unwrap();
    let (mut record, mut played) = (Vec::new(), Vec::new());
    while replay.next(&mut record).unwrap().is_some() {
        played.push(String::from_utf8(record.clone()).unwrap());
    }
    assert!(played[0].contains("\"event_time\":1"), "{played:?}");
    assert_eq!(played[2], "{\"cut\":");
}

#[test]
fn broken_files_are_refused_with_file_line_and_field() {
    let row = "A,1,1,2016-10-04 08:00:00\n";
    for (content, sentence) in [
        (
            "SystemCodeNumber,Capacity,LastUpdated\n".to_owned(),
            "FILE, line 1: the column `Occupancy` is missing",
        ),
        (String::new(), "FILE, line 1: the column `SystemCodeNumber` is missing"),
        (format!("{HEADER}{row}A,1"), "FILE, line 3: 2 fields, the header has 4"),
        (
            format!("{HEADER}{row}A,1,many,2016-10-04 08:00:00"),
            "FILE, line 3, field `Occupancy`: `many` is no whole number",
        ),
        (
            format!("{HEADER}{row}A,1,1,2016-10-"),
            "FILE, line 3, field `LastUpdated`: `2016-10-` is no local time like 2016-10-04 07:59:42",
        ),
    ] {
        assert_eq!(refusal(Format::Birmingham, content), sentence);
    }
    let foreign = [HEADER.as_bytes(), b"A\xff,1,1,2016-10-04 08:00:00"].concat();
    assert_eq!(refusal(Format::Birmingham, foreign), "FILE, line 2, byte 2: not UTF-8");
}

#[test]
fn endless_line_is_refused_without_being_kept() {
    for format in Format::ALL {
        let error = refusal(format, [HEADER.as_bytes(), &vec![b'x'; 3 * LINE_LIMIT]].concat());
        let line = 2;
        // A header that misses columns is refused first.
        assert!(
            error == format!("FILE, line {line}: longer than {LINE_LIMIT} bytes") || error.contains("column")
        );
    }
    assert!(refusal(Format::Birmingham, vec![b'x'; 3 * LINE_LIMIT]).contains("line 1: longer than"));
}

#[test]
fn line_longer_than_the_window_is_read_whole() {
    let name = "N".repeat(100_000);
    let file = file(format!("{HEADER}{name},1,1,2016-10-04 08:00:00\nB,1,2,2016-10-04 07:00:00\n"));
    let played = play(&mut Replay::open(Format::Birmingham, file.path(), settings()).unwrap());
    assert_eq!(played[1].0.zone, Some(birmingham::zone_id(&name)));
}

#[test]
fn absent_file_and_unknown_format_are_plain_sentences() {
    let error = Replay::open(Format::Birmingham, Path::new("nowhere.csv"), settings()).err().unwrap();
    assert!(error.to_string().starts_with("nowhere.csv: No such file"), "{error}");
    let error = "xlsx".parse::<Format>().unwrap_err().to_string();
    assert_eq!(error, "`xlsx` is no replay format: use birmingham, melbourne or cds-ndjson");
}
