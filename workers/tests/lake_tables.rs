//! From streams to Delta tables to statistics, on disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{event::Millis, inventory::Inventory, stats_job::StatsJobSpec};
use parking_workers::{
    adapters::{
        lake::{
            DeltaLake, ParquetEncoder,
            statistics::{self, Outcome},
        },
        memory::{MemoryClock, MemoryEventLog, MemoryObjectStore},
    },
    domain::verdict::EventLimits,
    ports::{
        event_log::{EventLog, Records, Stream, StreamPartition},
        lake::{Lake, Table},
    },
    runtime::archive::{Archive, ArchivePorts, ArchiveSettings, Encoder, Flush, RollAfter, Row, RowOrigin},
};
use tempfile::TempDir;
use uuid::Uuid;

const COUNTED: &str = "02885f6f-ef93-441b-9e74-487279380656";
const WATCHED: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const SPACE: &str = "0fcb51b0-4529-4d28-a339-81e9a9bbcdb3";
const MIDNIGHT: Millis = 1_475_535_600_000; // 2016-10-03T23:00:00Z, local midnight in London
const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

fn inventory() -> Arc<Inventory> {
    let text = format!(
        "revisions:\n- validFrom: 2016-10-01T00:00:00Z\n  timeZone: Europe/London\n  zones:\n  \
         - {{id: {COUNTED}, userZoneId: A, capacity: 10}}\n  \
         - {{id: {WATCHED}, userZoneId: B, capacity: 1, spaces: [{{id: {SPACE}}}]}}\n"
    );
    Arc::new(Inventory::parse(&text).unwrap())
}

fn event(number: u128, time: Millis, kind: &str, rest: &str, ext: &str) -> String {
    let id = Uuid::from_u128(number);
    format!(
        r#"{{"event_id":"{id}","event_type":"{kind}","event_time":{time},"event_publication_time":{time},{rest},"data_source_type":"data_feed","data_source_device_id":"{id}","ext":{{"schema_version":1,"tenant":"t","quality":"replayed"{ext}}}}}"#
    )
}

fn count(number: u128, time: Millis, occupied: i64) -> String {
    let zone = format!(r#""curb_zone_id":"{COUNTED}""#);
    event(number, time, "scheduled_report", &zone, &format!(r#","occupied":{occupied}"#))
}

fn space(number: u128, time: Millis, kind: &str) -> String {
    event(number, time, kind, &format!(r#""curb_zone_id":"{WATCHED}","curb_space_id":"{SPACE}""#), "")
}

fn input() -> Vec<String> {
    let end = MIDNIGHT + 6 * HOUR;
    vec![
        count(1, MIDNIGHT + 30 * MINUTE, 5),
        space(2, MIDNIGHT + HOUR, "park_start"),
        count(3, MIDNIGHT + 90 * MINUTE, 12),
        space(4, MIDNIGHT + 2 * HOUR, "park_end"),
        space(5, MIDNIGHT + 4 * HOUR, "comms_lost"),
        format!(
            r#"{{"record_type":"input.ended","event_id":"{}","event_time":{end},"ext":{{"schema_version":1,"tenant":"t"}}}}"#,
            Uuid::nil()
        ),
    ]
}

fn sessions() -> Vec<String> {
    let session = |revision: u32, end: &str, ordinal: u32| {
        format!(
            r#"{{"record_type":"session.started","session_id":"{SPACE}","revision":{revision},"curb_zone_id":"{WATCHED}","curb_space_id":"{SPACE}","device_id":"{SPACE}","start":{},"start_kind":"observed",{end}"late":false,"replayed":true,"origin":{{"partition":0,"offset":1,"ordinal":{ordinal}}}}}"#,
            MIDNIGHT + HOUR
        )
    };
    let ended = format!(r#""end":{},"end_kind":"observed","dwell_ms":{HOUR},"#, MIDNIGHT + 2 * HOUR);
    let watermark = format!(
        r#"{{"record_type":"watermark","watermark":{},"ended":true,"origin":{{"partition":0,"offset":5,"ordinal":0}}}}"#,
        MIDNIGHT + 6 * HOUR
    );
    vec![session(0, "", 0), session(1, &ended, 1), watermark]
}

struct World {
    folder: TempDir,
    log: Arc<MemoryEventLog>,
    objects: Arc<MemoryObjectStore>,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            log: Arc::new(MemoryEventLog::new(Uuid::nil(), 1)),
            objects: Arc::default(),
        };
        for (stream, records) in [(Stream::Events, input()), (Stream::Sessions, sessions())] {
            let part = (StreamPartition { stream, partition: 0 }, records.iter().collect::<Records>());
            world.log.append(vec![part]).await.unwrap();
        }
        world
    }

    fn lake(&self) -> Arc<DeltaLake> {
        Arc::new(DeltaLake::open(self.folder.path(), "city/log", 1).unwrap())
    }

    async fn archive(&self) -> u64 {
        let ports = ArchivePorts {
            log: self.log.clone(),
            lake: self.lake(),
            objects: self.objects.clone(),
            clock: Arc::new(MemoryClock::new(0)),
            encoder: Arc::new(ParquetEncoder),
        };
        let settings = ArchiveSettings {
            partitions: vec![0],
            roll_after: RollAfter { age: None, ..RollAfter::default() },
            limits: EventLimits::default(),
            inventory: inventory(),
            jitter: 0,
        };
        Archive::new(ports, settings).run_until_idle(Flush::Now).await.unwrap().commits
    }
}

fn job(rest: &str) -> StatsJobSpec {
    let text = format!(
        r#"{{"pipelineRef":{{"name":"city"}},"schedule":"15 * * * *","timeZone":"Europe/London","statistics":["occupancy","turnover","dwell","peakHour","sensorAvailability"],"sinks":[{{"lake":{{"table":"hourly"}}}}],"missedRuns":"CatchUpAll"{rest}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_finds_everything_committed() {
    let world = World::new().await;
    assert_eq!(world.archive().await, 3, "inventory, events, sessions");
    assert_eq!(world.archive().await, 0);
    let lake = world.lake();
    let mut rows = BTreeMap::new();
    for table in Table::ALL {
        rows.insert(table.as_str(), lake.figures(table).await.unwrap().rows);
    }
    let expected = [("events", 5), ("sessions", 2), ("alerts", 0), ("deadletters", 0), ("inventory", 2)];
    assert_eq!(rows, BTreeMap::from(expected));
    let watermark = lake.snapshot(Table::Events).await.unwrap().positions[&0].watermark;
    assert_eq!(watermark, Some(MIDNIGHT + 24 * HOUR));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_follow_their_definitions() {
    let world = World::new().await;
    world.archive().await;
    let lake = world.lake();
    let report = statistics::run(&lake, "hourly", &job("")).await.unwrap();
    assert_eq!((report.outcome, report.windows), (Outcome::Succeeded, 1));
    let rows = statistics::read(&lake, "hourly").await.unwrap();
    let values: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            ((row.user_zone_id.as_str(), row.statistic.as_str(), (row.start - MIDNIGHT) / HOUR), row.value)
        })
        .collect();
    assert_eq!(values.keys().filter(|(_, statistic, _)| *statistic == "occupancy").count(), 48);
    for (hour, value) in [(0, Some(0.5)), (1, Some(0.75)), (2, Some(1.0)), (3, None)] {
        assert_eq!(values[&("A", "occupancy", hour)], value, "zone A, hour {hour}");
    }
    for (hour, value) in [(0, None), (1, Some(1.0)), (2, Some(0.0)), (3, Some(0.0)), (4, None)] {
        assert_eq!(values[&("B", "occupancy", hour)], value, "zone B, hour {hour}");
    }
    assert_eq!(values[&("B", "turnover", 1)], Some(1.0));
    assert_eq!(values[&("B", "dwellP95", 2)], Some(60.0));
    assert_eq!(values[&("A", "peakHour", 0)], Some(2.0));
    assert_eq!(values[&("A", "sensorAvailability", 0)], Some(2.0 / 24.0));
    assert_eq!(values[&("B", "sensorAvailability", 0)], Some(3.0 / 24.0));
    assert!(!values.contains_key(&("A", "turnover", 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_making_was_interrupted_are_made() {
    let world = World::new().await;
    for table in ["inventory", "events", "sessions", "stats_hourly", "stats_hourly_stays"] {
        std::fs::create_dir_all(world.folder.path().join(table).join("_delta_log")).unwrap();
    }
    let lake = world.lake();
    assert!(statistics::read(&lake, "hourly").await.unwrap().is_empty());
    assert_eq!(world.archive().await, 3);
    let queries = r#","queries":[{"name":"stays","sql":"SELECT session_id FROM sessions"}]"#;
    let report = statistics::run(&lake, "hourly", &job(queries)).await.unwrap();
    assert_eq!(report.outcome, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_versions_are_not_computed_again() {
    let world = World::new().await;
    world.archive().await;
    let lake = world.lake();
    let first = statistics::run(&lake, "hourly", &job("")).await.unwrap();
    let again = statistics::run(&lake, "hourly", &job("")).await.unwrap();
    assert_eq!((again.outcome, again.rows), (Outcome::Unchanged, first.rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn window_waits_for_the_watermark() {
    let world = World::new().await;
    let report = statistics::run(&world.lake(), "hourly", &job("")).await.unwrap();
    assert_eq!(report.outcome, Outcome::LakeBehind);
}

#[tokio::test(flavor = "multi_thread")]
async fn query_of_the_user_sees_the_newest_revisions() {
    let world = World::new().await;
    world.archive().await;
    let lake = world.lake();
    let queries = r#","queries":[{"name":"stays","sql":"SELECT session_id, revision FROM sessions"}]"#;
    let report = statistics::run(&lake, "hourly", &job(queries)).await.unwrap();
    let plain = statistics::run(&lake, "other", &job("")).await.unwrap();
    assert_eq!(report.rows, plain.rows + 1);
    assert!(lake.root().unwrap().join("stats_hourly_stays/_delta_log").is_dir());
}

#[test]
fn same_rows_give_the_same_bytes() {
    let record =
        event(1, MIDNIGHT, "park_start", r#""curb_zone_id":"z","vehicle_length":"long","colour":"red""#, "");
    let row = Row { origin: RowOrigin { offset: 7, ordinal: 0 }, late: true, record: record.into() };
    let encode = || ParquetEncoder.encode(Table::Events, 3, std::slice::from_ref(&row)).unwrap();
    assert_eq!(encode(), encode());
}
