//! Bad records among good ones go to the dead letters with bytes, position and reason.

use std::fs;

use parking_e2e::readers::query;

use crate::{accepted, small};

const GOOD: &str = r#"{"event_id":"00000000-0000-4000-8000-000000000001","event_type":"scheduled_report","event_time":1475564382000,"event_publication_time":1475564382000,"curb_zone_id":"b73d6a5b-0cf9-5c50-872b-fd025065eae2","data_source_type":"data_feed","data_source_device_id":"4063de01-e745-59a2-94db-1d0989b678b7","ext":{"schema_version":1,"tenant":"t","occupied":61}}"#;

#[test]
fn bad_records_keep_their_bytes_position_and_reason() {
    let pipeline = small();
    pipeline.replace("pipeline.yaml", "birmingham:readings.csv", "cds-ndjson:events.ndjson").unwrap();
    let cut = &GOOD[..100];
    let negative =
        GOOD.replace("000000000001\"", "000000000002\"").replace("\"occupied\":61", "\"occupied\":-1");
    let nowhere = GOOD
        .replace("000000000001\"", "000000000003\"")
        .replace("b73d6a5b-0cf9-5c50-872b-fd025065eae2", "00000000-0000-4000-8000-00000000000f");
    let lines = [GOOD, cut, "not json", negative.as_str(), nowhere.as_str()];
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend(b"\n\xff\xfe\n");
    fs::write(pipeline.file("events.ndjson"), bytes).unwrap();

    let report = accepted(&pipeline);
    assert_eq!(
        (&report["events"]["read"], &report["events"]["accepted"]),
        (&6.into(), &1.into()),
        "{report}"
    );
    let dead: u64 = report["events"]["deadLetters"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(dead, 5, "{report}");

    let sql = "SELECT reason, hex(bytes) AS bytes, partition, \"offset\" FROM deadletters ORDER BY ALL";
    let letters = query(&pipeline.data().join("lake"), sql).unwrap();
    assert_eq!(letters.len(), 5);
    let found = |what: &[u8]| {
        let hex = what.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
        letters.iter().find(|letter| letter["bytes"].as_str().unwrap().contains(&hex)).unwrap()
    };
    assert_eq!(found(cut.as_bytes())["reason"], "malformed");
    assert_eq!(found(b"not json")["reason"], "malformed");
    assert_eq!(found(b"\xff\xfe")["reason"], "not_utf8");
    assert_eq!(found(b"\"occupied\":-1")["reason"], "negative_count");
    assert_eq!(found(b"00000000000f")["reason"], "unknown_zone");
    let mut places: Vec<_> = letters.iter().map(|letter| (&letter["partition"], &letter["offset"])).collect();
    places.sort_by_key(|(partition, offset)| (partition.as_u64(), offset.as_u64()));
    places.dedup();
    assert_eq!(places.len(), 5, "each has its own place: {places:?}");
}
