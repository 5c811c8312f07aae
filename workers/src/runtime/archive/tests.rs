use std::sync::Arc;

use parking_crds::{event::Millis, inventory::Inventory};
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryLake, MemoryObjectStore},
    ports::event_log::Records,
};

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const NOON: Millis = 1_475_579_982_000; // 2016-10-04T11:19:42Z
const DAY: Millis = 86_400_000;

fn inventory() -> Arc<Inventory> {
    let text = format!(
        "revisions:\n- validFrom: 2016-10-01T00:00:00Z\n  timeZone: Europe/London\n  zones:\n  \
         - {{id: {ZONE}, userZoneId: A, capacity: 10}}\n"
    );
    Arc::new(Inventory::parse(&text).unwrap())
}

fn report(number: u128, time: Millis, occupied: i64) -> String {
    let id = Uuid::from_u128(number);
    format!(
        r#"{{"event_id":"{id}","event_type":"scheduled_report","event_time":{time},"event_publication_time":{time},"curb_zone_id":"{ZONE}","data_source_type":"data_feed","data_source_device_id":"{id}","ext":{{"schema_version":1,"tenant":"t","quality":"replayed","occupied":{occupied}}}}}"#
    )
}

fn ended(time: Millis) -> String {
    let id = Uuid::nil();
    format!(
        r#"{{"record_type":"input.ended","event_id":"{id}","event_time":{time},"ext":{{"schema_version":1,"tenant":"t"}}}}"#
    )
}

fn alert(offset: u64, ordinal: u32) -> String {
    format!(r#"{{"starts_at":{NOON},"origin":{{"partition":0,"offset":{offset},"ordinal":{ordinal}}}}}"#)
}

struct World {
    log: Arc<MemoryEventLog>,
    lake: MemoryLake,
    objects: Arc<MemoryObjectStore>,
    clock: MemoryClock,
    settings: ArchiveSettings,
}

impl World {
    fn new(rows: u64) -> Self {
        Self {
            log: Arc::new(MemoryEventLog::new(Uuid::nil(), 1)),
            lake: MemoryLake::default(),
            objects: Arc::default(),
            clock: MemoryClock::new(0),
            settings: ArchiveSettings {
                partitions: vec![0],
                roll_after: RollAfter { rows, age: None, ..RollAfter::default() },
                limits: EventLimits::default(),
                inventory: inventory(),
                jitter: 0,
            },
        }
    }

    fn archive(&self) -> Archive {
        let ports = ArchivePorts {
            log: self.log.clone(),
            lake: Arc::new(self.lake.clone()),
            objects: self.objects.clone(),
            clock: Arc::new(self.clock.clone()),
            encoder: Arc::new(NdjsonEncoder),
        };
        Archive::new(ports, self.settings.clone())
    }

    /// One round; time passes whenever the archive waits.
    async fn round(&self, archive: &mut Archive) -> Progress {
        let round = archive.run_once(Flush::AtLimits);
        tokio::pin!(round);
        loop {
            tokio::select! {
                biased;
                progress = &mut round => return progress.unwrap(),
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_secs(1)),
            }
        }
    }

    async fn append(&self, stream: Stream, records: &[String]) {
        let part = (StreamPartition { stream, partition: 0 }, records.iter().collect::<Records>());
        self.log.append(vec![part]).await.unwrap();
    }

    /// `(offset, ordinal, late)` of each row that a reader sees, and the number of files.
    fn rows(&self, table: Table) -> (Vec<(u64, u64, bool)>, usize) {
        let files = self.lake.visible(table);
        let lines = files.iter().flat_map(|file| file.body.split(|byte| *byte == b'\n'));
        let rows = lines.filter(|line| !line.is_empty()).map(|line| {
            let row: Value = serde_json::from_slice(line).unwrap();
            let number = |field: &str| row[field].as_u64().unwrap();
            (number("offset"), number("ordinal"), row["late"].as_bool().unwrap())
        });
        (rows.collect(), files.len())
    }
}

fn events() -> Vec<String> {
    vec![
        report(1, NOON, 5),
        report(2, NOON + 60_000, 6),
        report(1, NOON, 5),
        report(3, NOON + DAY, -1),
        report(4, NOON + DAY, 7),
        report(5, NOON + 1, 7),
        "{".to_owned(),
        ended(NOON + DAY),
    ]
}

#[tokio::test]
async fn accepted_events_stand_once_and_the_end_of_input_closes_the_local_day() {
    let world = World::new(100);
    world.append(Stream::Events, &events()).await;
    world.archive().run_until_idle(Flush::AtLimits).await.unwrap();
    let (rows, files) = world.rows(Table::Events);
    assert_eq!(rows, [(0, 0, false), (1, 0, false), (5, 0, true), (4, 0, false)]);
    assert_eq!(files, 2, "one file a date");
    let position = world.lake.snapshot(Table::Events).await.unwrap().positions[&0];
    let midnight_in_london = 1_475_708_400_000; // 2016-10-05T23:00:00Z
    assert_eq!(position, Position { last_offset: 7, watermark: Some(midnight_in_london) });
    assert_eq!(world.rows(Table::Inventory).0.len(), 1);
}

#[tokio::test]
async fn restart_after_every_round_changes_neither_rows_nor_files() {
    let (calm, restless) = (World::new(2), World::new(2));
    for world in [&calm, &restless] {
        world.append(Stream::Events, &events()).await;
    }
    calm.archive().run_until_idle(Flush::AtLimits).await.unwrap();
    while !restless.archive().run_once(Flush::AtLimits).await.unwrap().is_idle() {}
    assert_eq!(calm.lake.visible(Table::Events), restless.lake.visible(Table::Events));
    assert_eq!(restless.objects.list("archive/events/").await.unwrap().len(), 1, "older memories are gone");
}

#[tokio::test]
async fn flush_commits_once_all_was_read() {
    let world = World::new(1_000_000);
    let records: Vec<_> = (0..12_000).map(|number| report(number, NOON, 1)).collect();
    let bytes: usize = records.iter().map(String::len).sum();
    assert!(bytes > READ_BYTES, "one read must not do");
    world.append(Stream::Events, &records).await;
    let progress = world.archive().run_until_idle(Flush::Now).await.unwrap();
    assert_eq!((progress.read, world.rows(Table::Events).1), (12_000, 1));
}

#[tokio::test]
async fn output_that_was_published_again_stands_once() {
    let world = World::new(100);
    world.append(Stream::Alerts, &[alert(4, 0), alert(4, 1), alert(9, 0)]).await;
    world.archive().run_until_idle(Flush::Now).await.unwrap();
    world.append(Stream::Alerts, &[alert(4, 1), alert(9, 0), alert(9, 1)]).await;
    world.archive().run_until_idle(Flush::Now).await.unwrap();
    world.append(Stream::Alerts, &[alert(9, 0), alert(12, 0)]).await;
    world.archive().run_until_idle(Flush::Now).await.unwrap();
    let rows: Vec<_> = world.rows(Table::Alerts).0.into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(rows, [(4, 0), (4, 1), (9, 0), (9, 1), (12, 0)]);
}

#[tokio::test]
async fn two_owners_at_once_double_nothing() {
    let world = World::new(1);
    world.append(Stream::Events, &events()).await;
    let (mut one, mut other) = (world.archive(), world.archive());
    loop {
        let (first, second) = (world.round(&mut one).await, world.round(&mut other).await);
        if first.is_idle() && second.is_idle() {
            break;
        }
    }
    assert_eq!(world.rows(Table::Events).0.len(), 4);
}

#[tokio::test]
async fn batch_on_an_old_position_is_not_committed_because_another_partition_moved() {
    let mut world = World::new(2);
    world.log = Arc::new(MemoryEventLog::new(Uuid::nil(), 2));
    world.settings.partitions = vec![0, 1];
    let append = async |partition, numbers: &[u128]| {
        let at = StreamPartition { stream: Stream::Events, partition };
        let records: Records = numbers.iter().map(|number| report(*number, NOON, 5)).collect();
        world.log.append(vec![(at, records)]).await.unwrap();
    };
    let (mut one, mut other) = (world.archive(), world.archive());
    append(0, &[1]).await;
    other.run_once(Flush::AtLimits).await.unwrap();
    one.run_once(Flush::Now).await.unwrap();
    append(1, &[2, 3]).await;
    world.round(&mut other).await;
    append(0, &[4]).await;
    while !world.round(&mut other).await.is_idle() {}
    other.run_until_idle(Flush::Now).await.unwrap();
    assert_eq!(world.rows(Table::Events).0.len(), 4);
}

#[tokio::test]
async fn lake_without_its_memory_is_refused_by_name() {
    let world = World::new(1);
    world.append(Stream::Events, &events()).await;
    world.archive().run_once(Flush::AtLimits).await.unwrap();
    let keys = world.objects.list("archive/events/").await.unwrap();
    world.objects.delete(&keys[0]).await.unwrap();
    let error = world.archive().run_once(Flush::AtLimits).await.unwrap_err();
    assert!(error.to_string().contains(&keys[0]), "{error}");
}

#[tokio::test]
async fn lake_of_another_log_is_refused() {
    let world = World::new(1);
    world.append(Stream::Events, &events()).await;
    world.archive().run_until_idle(Flush::AtLimits).await.unwrap();
    let world = World { log: World::new(1).log, ..world };
    let error = world.archive().run_once(Flush::AtLimits).await.unwrap_err();
    assert!(matches!(error, ArchiveError::AheadOfLog { .. }), "{error}");
}

#[tokio::test]
async fn end_that_a_stage_tells_moves_its_table_without_a_row() {
    let world = World::new(100);
    let record = format!(
        r#"{{"record_type":"watermark","watermark":{NOON},"ended":true,"origin":{{"offset":7,"ordinal":1}}}}"#
    );
    world.append(Stream::Sessions, &[record]).await;
    world.archive().run_until_idle(Flush::AtLimits).await.unwrap();
    let position = world.lake.snapshot(Table::Sessions).await.unwrap().positions[&0];
    let midnight_in_london = 1_475_622_000_000; // 2016-10-04T23:00:00Z
    assert_eq!(position, Position { last_offset: 0, watermark: Some(midnight_in_london) });
    assert_eq!(world.rows(Table::Sessions).1, 0);
}
