//! What maintenance has to keep, as steps at any place of a lake.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use parking_crds::{duration::Duration, event::Millis};
use parking_workers::{
    adapters::{
        embedded::SystemClock,
        lake::{DeltaLake, LakePlace, Maintained, Maintenance, MaintenanceSettings, ParquetEncoder},
        memory::MemoryClock,
    },
    ports::{
        clock::Clock,
        lake::{Committed, DataFile, Lake, Position, Table, TableCommit},
    },
    runtime::archive::{Encoder, Row, RowOrigin},
};

const TABLE: Table = Table::Events;
const DAY: Millis = 86_400_000;
/// 2016-10-01.
const FIRST_DAY: i32 = 17_075;
const ROWS: u64 = 10;

/// One owner of a partition, whose file holds the rows of its offsets.
struct Owner {
    lake: Arc<DeltaLake>,
    partition: u32,
    next: u64,
}

impl Owner {
    fn new(lake: &Arc<DeltaLake>, partition: u32) -> Self {
        Self { lake: Arc::clone(lake), partition, next: 0 }
    }

    /// Puts the next file of a day, commits nothing.
    async fn put(&self, day: i32) -> DataFile {
        let row = |offset| Row { origin: RowOrigin { offset, ordinal: 0 }, late: false, record: "{}".into() };
        let rows: Vec<_> = (self.next..self.next + ROWS).map(row).collect();
        let body: Bytes = ParquetEncoder.encode(TABLE, self.partition, &rows).unwrap();
        let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(day);
        let (first, last) = (self.next, self.next + ROWS - 1);
        let path = format!("event_date={date}/events-{}-{first}-{last}.zstd.parquet", self.partition);
        self.lake.put(TABLE, &path, body.clone()).await.unwrap();
        DataFile { date: day, path, rows: ROWS, size: body.len() as u64 }
    }

    /// Puts and commits, whatever others commit meanwhile.
    async fn append(&mut self, day: i32) {
        let file = self.put(day).await;
        let last_offset = self.next + ROWS - 1;
        let watermark = Some(i64::from(day) * DAY + DAY / 2);
        let positions = BTreeMap::from([(self.partition, Position { last_offset, watermark })]);
        loop {
            let base = self.lake.snapshot(TABLE).await.unwrap();
            if base.positions.get(&self.partition) == positions.get(&self.partition) {
                break;
            }
            let commit = TableCommit { base, files: vec![file.clone()], positions: positions.clone() };
            if let Ok(Committed::Yes(_)) = self.lake.commit(TABLE, commit).await {
                break;
            }
        }
        self.next += ROWS;
    }
}

async fn numbers(delta: DeltaTable, what: &str) -> Vec<i64> {
    let context = SessionContext::new();
    context.register_table("t", delta.table_provider().await.unwrap()).unwrap();
    let batches = context.sql(&format!("SELECT {what} FROM t")).await.unwrap().collect().await.unwrap();
    let columns = batches[0].columns().iter();
    columns
        .map(|column| arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(column).value(0))
        .collect()
}

/// Rows and distinct rows.
async fn rows(delta: DeltaTable) -> (i64, i64) {
    let counts = numbers(delta, "COUNT(*), COUNT(DISTINCT \"partition\" * 1000000 + \"offset\")").await;
    (counts[0], counts[1])
}

fn maintenance(lake: &Arc<DeltaLake>, now: Millis, retention: Option<Millis>) -> Maintenance {
    let settings = MaintenanceSettings {
        retention: retention.map(Duration::from_millis),
        small_files: 3,
        ..MaintenanceSettings::default()
    };
    Maintenance::new(Arc::clone(lake), Arc::new(MemoryClock::new(now)), settings)
}

fn now() -> Millis {
    SystemClock::new().now()
}

/// After all that is kept for a while is old enough.
fn much_later() -> Millis {
    now() + 8 * DAY
}

pub(crate) async fn compaction_and_retention(place: LakePlace) {
    let lake = Arc::new(DeltaLake::open(place, "city/log", 2).unwrap());
    let mut owner = Owner::new(&lake, 0);
    for day in 0..4 {
        for _ in 0..3 {
            owner.append(FIRST_DAY + day).await;
        }
    }
    let before = lake.snapshot(TABLE).await.unwrap();
    let old = lake.table(TABLE).await.unwrap().unwrap();

    let done = maintenance(&lake, now(), None).maintain(TABLE).await.unwrap();
    assert_eq!((done.compacted_files, done.larger_files), (9, 3), "the last day is open: {done:?}");
    assert_eq!((done.removed_files, done.expired_files), (0, 0), "{done:?}");
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (120, 120));
    let again = maintenance(&lake, now(), None).maintain(TABLE).await.unwrap();
    assert_eq!(again, Maintained::default(), "nothing is left to do");

    // The watermark is noon of the fourth day: the first two days lie wholly before it less a day.
    let done = maintenance(&lake, now(), Some(DAY)).maintain(TABLE).await.unwrap();
    assert_eq!((done.expired_rows, done.expired_files, done.removed_files), (60, 2, 0), "{done:?}");
    let newest = lake.table(TABLE).await.unwrap().unwrap();
    assert_eq!(rows(newest.clone()).await, (60, 60));
    assert_eq!(numbers(newest, "MIN(\"offset\"), MAX(\"offset\")").await, [60, 119]);
    assert_eq!(rows(old.clone()).await, (120, 120), "who reads an older version ends as it began");
    assert_eq!(lake.snapshot(TABLE).await.unwrap().positions, before.positions);

    let done = maintenance(&lake, much_later(), Some(DAY)).maintain(TABLE).await.unwrap();
    assert_eq!(done.removed_files, 11, "nine small files and two large ones: {done:?}");
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (60, 60));
    owner.append(FIRST_DAY + 3).await;
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (70, 70));
}

/// Files of owners that were interrupted between put and commit.
pub(crate) async fn orphans(place: LakePlace) {
    let lake = Arc::new(DeltaLake::open(place, "city/log", 2).unwrap());
    let mut owner = Owner::new(&lake, 0);
    owner.append(FIRST_DAY).await;
    // It was interrupted twice, and cut its files elsewhere when it came back.
    let interrupted = owner.put(FIRST_DAY + 1).await;
    owner.append(FIRST_DAY).await;
    let pending = owner.put(FIRST_DAY).await;
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (20, 20), "{interrupted:?}");

    assert_eq!(maintenance(&lake, now(), None).maintain(TABLE).await.unwrap().removed_files, 0, "too young");
    let done = maintenance(&lake, much_later(), None).maintain(TABLE).await.unwrap();
    assert_eq!(done.removed_files, 1, "only the one that no commit can name: {done:?}");
    let base = lake.snapshot(TABLE).await.unwrap();
    let position = Position { last_offset: 29, watermark: None };
    let commit = TableCommit { base, files: vec![pending], positions: BTreeMap::from([(0, position)]) };
    assert!(matches!(lake.commit(TABLE, commit).await.unwrap(), Committed::Yes(_)));
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (30, 30));
}

pub(crate) async fn beside_writers(place: LakePlace, days: i32) {
    let lake = Arc::new(DeltaLake::open(place.clone(), "city/log", 2).unwrap());
    let other = Arc::new(DeltaLake::open(place, "city/log", 2).unwrap());
    let write = async |mut owner: Owner| {
        for day in 0..days {
            for _ in 0..4 {
                owner.append(FIRST_DAY + day).await;
            }
        }
        owner
    };
    let (ended, mut compacted) = (AtomicBool::new(false), 0);
    let maintain = async {
        while !ended.load(Ordering::SeqCst) {
            let done = maintenance(&other, now(), None).maintain(TABLE).await.unwrap();
            compacted += done.compacted_files;
            assert_eq!((done.expired_rows, done.removed_files), (0, 0));
        }
    };
    let writers = async {
        let owners = futures::join!(write(Owner::new(&lake, 0)), write(Owner::new(&other, 1)));
        ended.store(true, Ordering::SeqCst);
        owners
    };
    let ((first, second), ()) = futures::join!(writers, maintain);
    let done = maintenance(&lake, much_later(), None).maintain(TABLE).await.unwrap();
    compacted += done.compacted_files;
    assert!(compacted > 0 && done.removed_files > 0, "{compacted} {done:?}");
    let all = i64::try_from(first.next + second.next).unwrap();
    assert_eq!(all, 2 * 4 * i64::from(days) * 10);
    assert_eq!(rows(lake.table(TABLE).await.unwrap().unwrap()).await, (all, all));
    let positions = lake.snapshot(TABLE).await.unwrap().positions;
    assert_eq!((positions[&0].last_offset, positions[&1].last_offset), (first.next - 1, second.next - 1));
}

pub(crate) async fn log_is_tidied(place: LakePlace) {
    let lake = Arc::new(DeltaLake::open(place.clone(), "city/log", 2).unwrap());
    let mut owner = Owner::new(&lake, 0);
    for _ in 0..25 {
        owner.append(FIRST_DAY).await;
    }
    let done = maintenance(&lake, now(), None).maintain(TABLE).await.unwrap();
    assert!(done.checkpoint && done.log_entries == 0, "{done:?}");
    let done = maintenance(&lake, much_later(), None).maintain(TABLE).await.unwrap();
    assert!(!done.checkpoint && done.log_entries > 0, "{done:?}");
    let reopened = Arc::new(DeltaLake::open(place, "city/log", 2).unwrap());
    assert_eq!(reopened.snapshot(TABLE).await.unwrap(), lake.snapshot(TABLE).await.unwrap());
    assert_eq!(reopened.snapshot(TABLE).await.unwrap().positions[&0].last_offset, 249);
    owner.append(FIRST_DAY).await;
    assert_eq!(rows(reopened.table(TABLE).await.unwrap().unwrap()).await, (260, 260));
    assert_eq!(reopened.snapshot(TABLE).await.unwrap(), lake.snapshot(TABLE).await.unwrap());
}
