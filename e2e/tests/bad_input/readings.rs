//! Files of readings that cannot be replayed: they are checked whole before the first record is written.

use std::fs;

use crate::{refused, small};

const HEADER: &str = "SystemCodeNumber,Capacity,Occupancy,LastUpdated";
const ROW: &str = "BHMBCCMKT01,577,61,2016-10-04 07:59:42";

#[track_caller]
fn with_readings(readings: impl AsRef<[u8]>) -> String {
    let pipeline = small();
    fs::write(pipeline.file("readings.csv"), readings).unwrap();
    refused(&pipeline)
}

#[test]
fn missing_column() {
    let said = with_readings("SystemCodeNumber,Capacity,LastUpdated\nA,1,2016-10-04 07:59:42\n");
    assert_eq!(said, "readings.csv, line 1: the column `Occupancy` is missing");
}

#[test]
fn empty_file() {
    assert_eq!(with_readings(""), "readings.csv, line 1: the column `SystemCodeNumber` is missing");
}

#[test]
fn truncated_line() {
    let said = with_readings(format!("{HEADER}\n{ROW}\nBHMBCCMKT01,577"));
    assert_eq!(said, "readings.csv, line 3: 2 fields, the header has 4");
    let said = with_readings(format!("{HEADER}\n{ROW}\nBHMBCCMKT01,577,61,2016-10-04 07"));
    let expected = "readings.csv, line 3, field `LastUpdated`: `2016-10-04 07` is no local time like \
                    2016-10-04 07:59:42";
    assert_eq!(said, expected);
}

#[test]
fn field_that_is_no_number() {
    let said = with_readings(format!("{HEADER}\nBHMBCCMKT01,577,many,2016-10-04 07:59:42\n"));
    assert_eq!(said, "readings.csv, line 2, field `Occupancy`: `many` is no whole number");
}

#[test]
fn bytes_that_are_not_utf8() {
    let readings = [HEADER.as_bytes(), b"\nBHMBCC\xffMKT01,577,61,2016-10-04 07:59:42\n"].concat();
    assert_eq!(with_readings(readings), "readings.csv, line 2, byte 7: not UTF-8");
}

#[test]
fn file_that_does_not_exist() {
    let pipeline = small();
    fs::remove_file(pipeline.file("readings.csv")).unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("readings.csv: No such file"), "{said}");
}

#[test]
fn folder_in_place_of_a_file() {
    let pipeline = small();
    fs::remove_file(pipeline.file("readings.csv")).unwrap();
    fs::create_dir(pipeline.file("readings.csv")).unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("readings.csv: Is a directory"), "{said}");
}

#[test]
fn unknown_format() {
    let pipeline = small();
    pipeline.replace("pipeline.yaml", "birmingham:readings.csv", "nottingham:readings.csv").unwrap();
    let said = refused(&pipeline);
    assert!(said.starts_with("pipeline.yaml: line "), "{said}");
    assert!(said.contains("`nottingham` is no replay format"), "{said}");
}
