//! Files that look unusual and mean the same.

use std::fs;

use crate::{accepted, small};

#[test]
fn byte_order_marks_line_ends_of_windows_and_quotes_change_nothing() {
    let expected = accepted(&small());
    assert_eq!(expected["events"]["read"], 100);

    let windows = small();
    for file in ["pipeline.yaml", "inventory.yaml", "rules.yaml", "stats.yaml", "readings.csv"] {
        let text = fs::read_to_string(windows.file(file)).unwrap();
        fs::write(windows.file(file), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    }
    assert_eq!(accepted(&windows), expected);

    let quoted = small();
    let text = fs::read_to_string(quoted.file("readings.csv")).unwrap();
    let quote =
        |line: &str| line.split(',').map(|field| format!("\"{field}\"")).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = text.lines().map(quote).collect();
    fs::write(quoted.file("readings.csv"), lines.join("\n")).unwrap();
    assert_eq!(accepted(&quoted), expected);
}

#[test]
fn no_reading_at_all_is_an_empty_report() {
    let pipeline = small();
    let header = "SystemCodeNumber,Capacity,Occupancy,LastUpdated\n";
    fs::write(pipeline.file("readings.csv"), header).unwrap();
    let report = accepted(&pipeline);
    assert_eq!(report["events"]["read"], 0);
    assert_eq!(report["lake"]["events"]["rows"], 0);
    assert_eq!(report["stats"]["hourly"]["rows"], 0);
    assert_eq!(accepted(&pipeline), report);
}
