//! Runs of statistics over given windows, as a cluster starts them, against one run over all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use deltalake::{DeltaTableBuilder, ensure_table_uri};
use parking_crds::{
    event::Millis,
    inventory::Inventory,
    lake_index::Table as IndexedTable,
    names::JobName,
    stats_index::{StatsIndex, key},
    stats_job::{Computation, RunResult, StatsJobSpec},
    time::Window,
};
use parking_workers::{
    adapters::{
        lake::{
            DeltaLake, IndexWriter, ParquetEncoder,
            statistics::{self, Outcome, RangedError, RangedRun, Report},
        },
        memory::{MemoryClock, MemoryEventLog, MemoryObjectStore},
    },
    domain::{stats::StatRow, verdict::EventLimits},
    ports::event_log::{EventLog, Records, Stream, StreamPartition},
    runtime::archive::{Archive, ArchivePorts, ArchiveSettings, Flush, RollAfter},
};
use tempfile::TempDir;
use uuid::Uuid;

const COUNTED: &str = "02885f6f-ef93-441b-9e74-487279380656";
const WATCHED: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const SPACE: &str = "0fcb51b0-4529-4d28-a339-81e9a9bbcdb3";
/// 2016-10-26T23:00:00Z, local midnight in London; the clocks change on the fourth of these days.
const MIDNIGHT: Millis = 1_477_522_800_000;
const HOUR: Millis = 3_600_000;
const DAYS: usize = 6;

fn event(number: i64, hours: i64, rest: &str) -> String {
    let (id, time) = (Uuid::from_u128(number.unsigned_abs().into()), MIDNIGHT + hours * HOUR + 7 * 60_000);
    format!(
        r#"{{"event_id":"{id}","event_time":{time},"event_publication_time":{time},"data_source_type":"data_feed","data_source_device_id":"{id}",{rest}}}"#
    )
}

/// Counts every five hours, and a car that comes each evening and stays over midnight.
fn events() -> Vec<String> {
    let ext = r#""schema_version":1,"tenant":"t","quality":"replayed""#;
    let count = |number: i64| {
        let rest = format!(
            r#""event_type":"scheduled_report","curb_zone_id":"{COUNTED}","ext":{{{ext},"occupied":{}}}"#,
            number % 9
        );
        (number * 5, event(number + 1, number * 5, &rest))
    };
    let space = |day: i64, hour: i64, kind: &str| {
        let rest = format!(
            r#""event_type":"{kind}","curb_zone_id":"{WATCHED}","curb_space_id":"{SPACE}","ext":{{{ext}}}"#
        );
        (day * 24 + hour, event(1_000 + day * 24 + hour, day * 24 + hour, &rest))
    };
    let mut all: Vec<(i64, String)> = (0..28).map(count).collect();
    for day in 0..5 {
        all.extend([space(day, 21, "park_start"), space(day, 26 + day, "park_end")]);
    }
    all.sort();
    all.into_iter().map(|(_, event)| event).chain([ended()]).collect()
}

fn ended() -> String {
    let end = MIDNIGHT + 141 * HOUR;
    format!(
        r#"{{"record_type":"input.ended","event_id":"{}","event_time":{end},"ext":{{"schema_version":1,"tenant":"t"}}}}"#,
        Uuid::nil()
    )
}

fn sessions() -> Vec<String> {
    let session = |day: i64| {
        let (start, end) = (MIDNIGHT + (day * 24 + 21) * HOUR, MIDNIGHT + (day * 24 + 26 + day) * HOUR);
        let id = Uuid::from_u128(u128::from(day.unsigned_abs()) + 1);
        format!(
            r#"{{"record_type":"session.ended","session_id":"{id}","revision":1,"curb_zone_id":"{WATCHED}","curb_space_id":"{SPACE}","device_id":"{SPACE}","start":{start},"start_kind":"observed","end":{end},"end_kind":"observed","dwell_ms":{},"late":false,"replayed":true,"origin":{{"partition":0,"offset":{day},"ordinal":0}}}}"#,
            end - start
        )
    };
    let watermark = format!(
        r#"{{"record_type":"watermark","watermark":{},"ended":true,"origin":{{"partition":0,"offset":5,"ordinal":0}}}}"#,
        MIDNIGHT + 141 * HOUR
    );
    (0..5).map(session).chain([watermark]).collect()
}

struct World {
    folder: TempDir,
    lake: Arc<DeltaLake>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(MemoryEventLog::new(Uuid::nil(), 1));
        for (stream, records) in [(Stream::Events, events()), (Stream::Sessions, sessions())] {
            let at = StreamPartition { stream, partition: 0 };
            log.append(vec![(at, records.iter().collect::<Records>())]).await.unwrap();
        }
        let writing = Arc::new(DeltaLake::open(folder.path(), "city/log", 1).unwrap());
        let ports = ArchivePorts {
            log,
            lake: Arc::clone(&writing) as Arc<_>,
            objects: Arc::new(MemoryObjectStore::default()),
            clock: Arc::new(MemoryClock::new(0)),
            encoder: Arc::new(ParquetEncoder),
        };
        let text = format!(
            "revisions:\n- validFrom: 2016-10-01T00:00:00Z\n  timeZone: Europe/London\n  zones:\n  \
             - {{id: {COUNTED}, userZoneId: A, capacity: 10}}\n  \
             - {{id: {WATCHED}, userZoneId: B, capacity: 1, spaces: [{{id: {SPACE}}}]}}\n"
        );
        let settings = ArchiveSettings {
            partitions: vec![0],
            roll_after: RollAfter { age: None, ..RollAfter::default() },
            limits: EventLimits::default(),
            inventory: Arc::new(Inventory::parse(&text).unwrap()),
            jitter: 0,
        };
        Archive::new(ports, settings).run_until_idle(Flush::Now).await.unwrap();
        IndexWriter::new(writing, true).write().await.unwrap();
        // As a run finds it, which knows no log.
        let lake = DeltaLake::open_indexed(folder.path(), 1).await.unwrap().unwrap();
        Self { folder, lake: Arc::new(lake) }
    }

    async fn run(&self, wanted: &Computation, range: Window, again: bool) -> Result<Report, RangedError> {
        let job: JobName = "hourly".parse().unwrap();
        let mut run = RangedRun::open(&self.lake, &job, wanted, range, again).await?;
        while let Some(stretch) = run.next().await? {
            run.commit(stretch).await?;
        }
        run.finish().await
    }

    async fn rows(&self) -> Vec<StatRow> {
        statistics::read_table(&self.lake, "stats/hourly").await.unwrap()
    }

    fn index(&self) -> StatsIndex {
        let text = std::fs::read(self.folder.path().join(key(&"hourly".parse().unwrap()))).unwrap();
        StatsIndex::parse(&text).unwrap()
    }

    /// Version of a table and the names of its files.
    async fn version(&self, table: &str) -> (u64, Vec<String>) {
        let url = ensure_table_uri(self.folder.path().join(table).to_string_lossy()).unwrap();
        let table = DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap();
        let files = table.snapshot().unwrap().log_data();
        (table.version().unwrap(), files.iter().map(|file| file.path().into_owned()).collect())
    }

    /// Every row of a table as text, in order.
    async fn text(&self, table: &str) -> Vec<String> {
        let url = ensure_table_uri(self.folder.path().join(table).to_string_lossy()).unwrap();
        let table = DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap();
        let context = SessionContext::new();
        context.register_table("rows", table.table_provider().await.unwrap()).unwrap();
        let batches = context.sql("SELECT * FROM rows").await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }
}

fn spec(change: impl FnOnce(&mut serde_json::Value)) -> StatsJobSpec {
    let mut spec = serde_json::json!({
        "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "timeZone": "Europe/London",
        "statistics": ["occupancy", "turnover", "dwell", "peakHour", "sensorAvailability"],
        "queries": [{"name": "seen", "sql": "SELECT curb_zone_id, COUNT(*) AS seen FROM events GROUP BY 1"}],
        "sinks": [{"lake": {"table": "hourly"}}], "missedRuns": "CatchUpAll",
    });
    change(&mut spec);
    serde_json::from_value(spec).unwrap()
}

fn plain() -> Computation {
    Computation::of(&spec(|_| ()))
}

/// The windows from one day to another; the fourth has 25 hours.
fn days(first: usize, end: usize) -> Window {
    let start = |day: usize| MIDNIGHT + (24 * i64::try_from(day).unwrap() + i64::from(day > 3)) * HOUR;
    Window { start: start(first), end: start(end) }
}

#[tokio::test(flavor = "multi_thread")]
async fn adjacent_ranges_in_any_order_give_what_one_run_gives() {
    let world = World::new().await;
    let whole = statistics::run(&world.lake, "whole", &spec(|_| ())).await.unwrap();
    assert_eq!((whole.outcome, whole.windows), (Outcome::Succeeded, DAYS as u64));
    let mut rows = 0;
    for (first, end) in [(3, 4), (0, 2), (5, 6), (2, 3), (4, 5)] {
        let report = world.run(&plain(), days(first, end), false).await.unwrap();
        assert_eq!((report.outcome, report.windows), (Outcome::Succeeded, (end - first) as u64));
        rows += report.rows;
    }
    assert_eq!(rows, whole.rows);
    let expected = statistics::read(&world.lake, "whole").await.unwrap();
    assert!(expected.iter().any(|row| row.statistic == "dwellP95" && row.value.is_some()));
    assert_eq!(world.rows().await, expected);
    assert_eq!(world.text("stats/hourly.seen").await, world.text("stats_whole_seen").await);
    let index = world.index();
    assert_eq!(index.done.iter().collect::<Vec<_>>(), [days(0, DAYS)]);
    assert_eq!((index.computation, index.last_result), (plain().id(), Some(RunResult::Succeeded)));
    assert!(index.read.contains_key(IndexedTable::Events.as_str()), "{:?}", index.read);
    assert_eq!(world.version("stats/hourly").await.1.len(), 1, "small files are put together");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_with_a_result_are_left_alone_until_they_are_asked_for_again() {
    let world = World::new().await;
    world.run(&plain(), days(1, 3), false).await.unwrap();
    let (version, before) = (world.version("stats/hourly").await, world.rows().await);
    let second = world.run(&plain(), days(1, 3), false).await.unwrap();
    assert_eq!((second.outcome, second.windows), (Outcome::Unchanged, 0));
    let again = world.run(&plain(), days(1, 3), true).await.unwrap();
    assert_eq!((again.outcome, again.windows), (Outcome::Unchanged, 2), "the same rows are no change");
    assert_eq!(world.version("stats/hourly").await, version);
    assert_eq!(world.index().last_result, Some(RunResult::Unchanged));
    let wider = world.run(&plain(), days(0, 4), false).await.unwrap();
    assert_eq!((wider.outcome, wider.windows), (Outcome::Succeeded, 2), "one on each side");
    let rows = world.rows().await;
    assert!(before.iter().all(|row| rows.contains(row)));
    assert_eq!(world.index().done.iter().collect::<Vec<_>>(), [days(0, 4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_for_again_what_was_damaged_is_computed_anew() {
    let world = World::new().await;
    world.run(&plain(), days(0, 3), false).await.unwrap();
    let expected = world.rows().await;
    // Another computation had the middle day in the meantime.
    let other = Computation::of(&spec(|spec| spec["granularity"] = "6h".into()));
    world.run(&other, days(1, 2), false).await.unwrap();
    assert_ne!(world.rows().await, expected);
    let report = world.run(&plain(), days(0, 3), false).await.unwrap();
    assert_eq!((report.outcome, report.windows), (Outcome::Succeeded, 1), "only what it lost");
    assert_eq!(world.rows().await, expected);
    let again = world.run(&plain(), days(0, 3), true).await.unwrap();
    assert_eq!((again.outcome, again.windows), (Outcome::Unchanged, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_is_written_anew_by_a_run_that_finds_nothing_to_do() {
    let world = World::new().await;
    world.run(&plain(), days(0, 2), false).await.unwrap();
    std::fs::remove_file(world.folder.path().join(key(&"hourly".parse().unwrap()))).unwrap();
    let report = world.run(&plain(), days(0, 2), false).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged);
    assert_eq!(world.index().done.iter().collect::<Vec<_>>(), [days(0, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_once_lose_nothing_of_each_other() {
    let world = World::new().await;
    statistics::run(&world.lake, "whole", &spec(|_| ())).await.unwrap();
    let wanted = plain();
    let runs =
        [(0, 2), (2, 4), (4, 6), (1, 5)].map(|(first, end)| world.run(&wanted, days(first, end), true));
    let [a, b, c, d] = runs;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for report in [a, b, c, d] {
        report.unwrap();
    }
    assert_eq!(world.rows().await, statistics::read(&world.lake, "whole").await.unwrap());
    assert_eq!(world.text("stats/hourly.seen").await, world.text("stats_whole_seen").await);
    world.run(&wanted, days(0, 6), false).await.unwrap();
    assert_eq!(world.index().done.iter().collect::<Vec<_>>(), [days(0, 6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_behind_the_range_is_told_with_its_tables() {
    let world = World::new().await;
    let error = world.run(&plain(), days(5, 7), false).await.unwrap_err();
    assert!(!error.is_refused());
    let told = error.to_string();
    assert!(
        told.starts_with("the lake is behind 2016-11-03T00:00:00Z: events stands at 2016-11-02T00:00:00Z"),
        "{told}"
    );
    assert!(told.contains("sessions stands at"), "{told}");
    assert!(world.rows().await.is_empty(), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_computed_is_refused() {
    let world = World::new().await;
    let sql = |sql: &str| {
        Computation::of(&spec(|spec| spec["queries"] = serde_json::json!([{"name": "q", "sql": sql}])))
    };
    for (wanted, range, told) in [
        (plain(), Window { start: MIDNIGHT + HOUR, ..days(0, 1) }, "lies within the window"),
        (plain(), days(0, 500), "more than 400 windows"),
        (sql("SELECT nothing FROM events"), days(0, 1), "job hourly, query q"),
        (sql("SELECT 1 AS window_start"), days(0, 1), "name that of the query otherwise"),
    ] {
        let error = world.run(&wanted, range, false).await.unwrap_err();
        assert!(error.is_refused() && error.to_string().contains(told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_with_other_columns_begins_its_result_anew() {
    let world = World::new().await;
    world.run(&plain(), days(0, 2), false).await.unwrap();
    let other = Computation::of(&spec(|spec| {
        spec["queries"][0]["sql"] = "SELECT COUNT(*) AS number, MAX(event_type) AS last FROM events".into();
    }));
    world.run(&other, days(1, 2), false).await.unwrap();
    let rows = world.text("stats/hourly.seen").await;
    assert!(rows.iter().any(|row| row.contains("number") && row.contains("last")), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.contains("scheduled_report")).count(), 1, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_table_the_index_tells_what_is_done() {
    let world = World::new().await;
    let wanted = Computation::of(&spec(|spec| spec["sinks"] = serde_json::json!([{"redis": {}}])));
    let first = world.run(&wanted, days(0, 2), false).await.unwrap();
    assert_eq!((first.outcome, first.windows), (Outcome::Succeeded, 2));
    let second = world.run(&wanted, days(0, 3), false).await.unwrap();
    assert_eq!((second.outcome, second.windows), (Outcome::Succeeded, 1));
    assert!(!world.folder.path().join("stats").exists());
    assert_eq!(world.index().done.iter().collect::<Vec<_>>(), [days(0, 3)]);
}
