//! From streams to tables to statistics, all of them in a bucket: what a folder gives, a bucket gives.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{inventory::Inventory, stats_job::StatsJobSpec};
use parking_workers::{
    adapters::{
        lake::{
            DeltaLake, LakePlace, LogSources, ParquetEncoder,
            statistics::{self, Outcome},
        },
        memory::{MemoryClock, MemoryEventLog, MemoryObjectStore},
        s3::S3ObjectStore,
    },
    domain::{stats::StatRow, verdict::EventLimits},
    ports::{
        event_log::{EventLog, Records, Stream, StreamPartition},
        lake::Table,
        object_store::ObjectStore,
    },
    runtime::archive::{Archive, ArchivePorts, ArchiveSettings, Flush, RollAfter},
};
use uuid::Uuid;

use crate::endpoint::settings;

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const MIDNIGHT: i64 = 1_475_535_600_000; // 2016-10-03T23:00:00Z, local midnight in London
const HOUR: i64 = 3_600_000;

fn inventory() -> Arc<Inventory> {
    let text = format!(
        "revisions:\n- validFrom: 2016-10-01T00:00:00Z\n  timeZone: Europe/London\n  zones:\n  \
         - {{id: {ZONE}, userZoneId: A, capacity: 10}}\n"
    );
    Arc::new(Inventory::parse(&text).unwrap())
}

fn records() -> Vec<String> {
    let count = |hour: i64| {
        let (id, time) = (Uuid::from_u128(u128::try_from(hour + 1).unwrap()), MIDNIGHT + hour * HOUR);
        format!(
            r#"{{"event_id":"{id}","event_type":"scheduled_report","event_time":{time},"event_publication_time":{time},"curb_zone_id":"{ZONE}","data_source_type":"data_feed","data_source_device_id":"{id}","ext":{{"schema_version":1,"tenant":"t","quality":"replayed","occupied":{}}}}}"#,
            hour % 10
        )
    };
    let ended = format!(
        r#"{{"record_type":"input.ended","event_id":"{}","event_time":{},"ext":{{"schema_version":1,"tenant":"t"}}}}"#,
        Uuid::nil(),
        MIDNIGHT + 23 * HOUR
    );
    (0..24).map(count).chain([ended]).collect()
}

fn job() -> StatsJobSpec {
    let text = r#"{"pipelineRef":{"name":"city"},"schedule":"15 * * * *","timeZone":"Europe/London",
        "statistics":["occupancy","peakHour"],"sinks":[{"lake":{"table":"hourly"}}],"missedRuns":"CatchUpAll",
        "queries":[{"name":"seen","sql":"SELECT curb_zone_id, COUNT(*) AS seen FROM events GROUP BY 1"}]}"#;
    serde_json::from_str(text).unwrap()
}

fn sources() -> LogSources {
    LogSources::each(|table| format!("city/city.{}/{}", table.as_str(), Uuid::nil()))
}

async fn results(place: LakePlace, objects: Arc<dyn ObjectStore>) -> (Vec<StatRow>, BTreeMap<Table, u64>) {
    let log = Arc::new(MemoryEventLog::new(Uuid::nil(), 1));
    let at = StreamPartition { stream: Stream::Events, partition: 0 };
    log.append(vec![(at, records().iter().collect::<Records>())]).await.unwrap();
    for _ in 0..2 {
        let lake = Arc::new(DeltaLake::open(place.clone(), sources(), 1).unwrap());
        let (log, clock) = (Arc::clone(&log) as Arc<_>, Arc::new(MemoryClock::new(0)));
        let encoder = Arc::new(ParquetEncoder);
        let ports = ArchivePorts { log, lake, objects: Arc::clone(&objects), clock, encoder };
        let settings = ArchiveSettings {
            partitions: vec![0],
            roll_after: RollAfter { rows: 10, age: None, ..RollAfter::default() },
            limits: EventLimits::default(),
            inventory: inventory(),
            jitter: 0,
        };
        Archive::new(ports, settings).run_until_idle(Flush::Now).await.unwrap();
    }
    let lake = DeltaLake::open(place, sources(), 1).unwrap();
    assert!(!statistics::exists(&lake, "hourly").await.unwrap());
    let report = statistics::run(&lake, "hourly", &job()).await.unwrap();
    assert_eq!((report.outcome, report.windows), (Outcome::Succeeded, 1));
    assert_eq!(statistics::run(&lake, "hourly", &job()).await.unwrap().outcome, Outcome::Unchanged);
    assert!(statistics::exists(&lake, "hourly").await.unwrap());
    let mut rows = BTreeMap::new();
    for table in Table::ALL {
        rows.insert(table, lake.figures(table).await.unwrap().rows);
    }
    (statistics::read(&lake, "hourly").await.unwrap(), rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gives_the_tables_and_the_statistics_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let expected = results(folder.path().into(), Arc::new(MemoryObjectStore::default())).await;
    assert!(!expected.0.is_empty());
    assert_eq!(expected.1[&Table::Events], 24);
    let settings = settings().await;
    let objects = Arc::new(S3ObjectStore::open(&settings).unwrap());
    assert_eq!(results(settings.into(), objects).await, expected);
}
