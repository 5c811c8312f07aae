use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;

use super::*;
use crate::ports::{
    ErrorKind, PortResult,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts},
};

#[derive(Default)]
struct Kept {
    records: BTreeMap<StreamPartition, Vec<Vec<u8>>>,
    marks: BTreeMap<String, Bytes>,
}

/// A log that keeps what it is given and fails when it is told to.
#[derive(Default)]
pub(in crate::command) struct Tape {
    kept: Mutex<Kept>,
    appends: AtomicUsize,
    fail_at: Option<usize>,
}

impl Tape {
    pub(in crate::command) fn records(&self) -> Vec<Vec<Vec<u8>>> {
        self.kept.lock().unwrap().records.values().cloned().collect()
    }

    fn failing_at(self, append: usize) -> Self {
        Self { fail_at: Some(append), ..self }
    }
}

#[async_trait]
impl EventLog for Tape {
    async fn append(&self, _: Parts) -> PortResult<Vec<Offset>> {
        Err(PortError::new(ErrorKind::Invalid, "append without a mark"))
    }

    async fn read(&self, _: StreamPartition, _: Offset, _: usize) -> PortResult<Fetched> {
        Err(PortError::new(ErrorKind::Invalid, "read"))
    }

    async fn arrived(&self, _: StreamPartition, _: Offset) -> PortResult<()> {
        Ok(())
    }

    async fn log_id(&self, _: Stream) -> PortResult<Uuid> {
        Err(PortError::new(ErrorKind::Invalid, "asking for an identity"))
    }

    async fn bounds(&self, _: StreamPartition) -> PortResult<Bounds> {
        Err(PortError::new(ErrorKind::Invalid, "asking for bounds"))
    }
}

#[async_trait]
impl MarkedLog for Tape {
    async fn append_marked(&self, parts: Parts, mark: Mark) -> PortResult<Vec<Offset>> {
        if Some(self.appends.fetch_add(1, Ordering::Relaxed)) == self.fail_at {
            return Err(PortError::new(ErrorKind::Closed, "append"));
        }
        let mut kept = self.kept.lock().unwrap();
        for (at, records) in parts {
            kept.records.entry(at).or_default().extend(records.iter().map(<[u8]>::to_vec));
        }
        kept.marks.insert(mark.name, mark.position);
        Ok(Vec::new())
    }

    async fn mark(&self, name: &str) -> PortResult<Option<Bytes>> {
        Ok(self.kept.lock().unwrap().marks.get(name).cloned())
    }
}

struct Numbers {
    next: u64,
    total: u64,
    content: u8,
}

impl Numbers {
    fn new(total: u64) -> Self {
        Self { next: 0, total, content: 0 }
    }
}

impl Source for Numbers {
    fn name(&self) -> String {
        "numbers".to_owned()
    }

    fn content(&self) -> [u8; 32] {
        [self.content; 32]
    }

    fn total(&self) -> Option<u64> {
        Some(self.total)
    }

    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Keyed>, ReplayError> {
        if self.next == self.total {
            return Ok(None);
        }
        *record = self.next.to_string().into_bytes();
        let zone = Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, &[self.next.to_le_bytes()[0] % 7]));
        self.next += 1;
        Ok(Some(Keyed { zone, time: self.next.cast_signed() * 1_000 }))
    }
}

fn settings() -> ImportSettings {
    ImportSettings { tenant: "t".into(), partitions: 3, batch: 10, pace: None, end_of_input: true }
}

async fn run(log: &Tape, source: &mut Numbers) -> Result<ImportReport, ImportError> {
    import(source, &settings(), log, &mut |_| ()).await
}

fn text(records: &[Vec<u8>]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record).unwrap()).collect()
}

#[tokio::test]
async fn every_partition_ends_with_one_end_of_input() {
    let log = Tape::default();
    let report = run(&log, &mut Numbers::new(95)).await.unwrap();
    assert_eq!(report, ImportReport { records: 95, appended: 95, last_time: Some(95_000) });
    let partitions = log.records();
    assert_eq!(partitions.len(), 3);
    for records in &partitions {
        let ends = text(records).iter().filter(|record| record.contains("input.ended")).count();
        assert_eq!(ends, 1);
        let end: CompanionRecord = serde_json::from_slice(records.last().unwrap()).unwrap();
        assert_eq!((end.event_time, end.body), (95_000, CompanionBody::InputEnded {}));
    }
}

#[tokio::test]
async fn second_run_appends_nothing() {
    let log = Tape::default();
    run(&log, &mut Numbers::new(95)).await.unwrap();
    let before = log.records();
    let mut again = Numbers::new(95);
    let report = run(&log, &mut again).await.unwrap();
    assert_eq!((report.records, report.appended), (95, 0));
    assert_eq!(log.records(), before);
    assert_eq!(again.next, 0, "a complete import was read again");
}

#[tokio::test]
async fn end_of_input_follows_an_import_that_was_complete_without_it() {
    let (log, mut without_end) = (Tape::default(), settings());
    without_end.end_of_input = false;
    import(&mut Numbers::new(95), &without_end, &log, &mut |_| ()).await.unwrap();
    let report = run(&log, &mut Numbers::new(95)).await.unwrap();
    assert_eq!((report.appended, report.last_time), (0, Some(95_000)));
    assert!(log.records().iter().all(|records| text(records).last().unwrap().contains("input.ended")));
}

#[tokio::test]
async fn run_that_stopped_anywhere_goes_on_exactly() {
    let undisturbed = Tape::default();
    run(&undisturbed, &mut Numbers::new(95)).await.unwrap();
    for append in 0..11 {
        let mut log = Tape::default().failing_at(append);
        assert!(matches!(run(&log, &mut Numbers::new(95)).await, Err(ImportError::Log(_))));
        log.fail_at = None;
        run(&log, &mut Numbers::new(95)).await.unwrap();
        assert_eq!(log.records(), undisturbed.records(), "stopped at append {append}");
    }
}

#[tokio::test]
async fn other_content_is_refused_until_the_first_import_is_complete() {
    let mut log = Tape::default().failing_at(3);
    run(&log, &mut Numbers::new(95)).await.unwrap_err();
    log.fail_at = None;
    let changed = run(&log, &mut Numbers { content: 1, ..Numbers::new(95) }).await.unwrap_err();
    assert!(matches!(&changed, ImportError::Changed { records: 30, .. }), "{changed}");
    run(&log, &mut Numbers::new(95)).await.unwrap();
    let report = run(&log, &mut Numbers { content: 1, ..Numbers::new(95) }).await.unwrap();
    assert_eq!(report.appended, 95);
}

#[derive(Default)]
struct Stopwatch(Mutex<Vec<Millis>>, AtomicUsize);

#[async_trait]
impl Clock for Stopwatch {
    fn now(&self) -> Millis {
        0
    }

    fn monotonic(&self) -> Millis {
        Millis::try_from(self.1.load(Ordering::Relaxed)).unwrap()
    }

    async fn pause(&self, length: Duration) {
        self.0.lock().unwrap().push(length.millis());
        self.1.fetch_add(usize::try_from(length.millis()).unwrap(), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn scheduled_records_wait_for_their_compressed_time() {
    let (log, clock) = (Tape::default(), Arc::new(Stopwatch::default()));
    let pace = Some(Pace::Schedule { compression: 10, clock: clock.clone() });
    import(&mut Numbers::new(4), &ImportSettings { pace, ..settings() }, &log, &mut |_| ()).await.unwrap();
    assert_eq!(*clock.0.lock().unwrap(), [100, 100, 100]);
}

#[tokio::test]
async fn pause_follows_each_append() {
    let (log, clock) = (Tape::default(), Arc::new(Stopwatch::default()));
    let pace = Some(Pace::Pause(Duration::from_millis(5), clock.clone()));
    import(&mut Numbers::new(25), &ImportSettings { pace, ..settings() }, &log, &mut |_| ()).await.unwrap();
    assert_eq!(*clock.0.lock().unwrap(), [5, 5, 5]);
}
