//! The suite of the event log.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::ports::{
    ErrorKind,
    event_log::{EventLog, Mark, MarkedLog, Offset, Parts, Records, Stream, StreamPartition},
};

/// Tests an event log with at least two partitions.
#[macro_export]
macro_rules! event_log_contract {
    ($make:expr) => {
        $crate::contract_tests!(event_log, $make;
            l1_an_answered_append_is_found_after_reopening,
            l2_offsets_begin_at_0_have_no_gaps_and_keep_the_order,
            l2_concurrent_appends_leave_no_gap_and_stay_whole,
            l2_offsets_go_on_after_reopening,
            l2_every_offset_can_be_read_first,
            l2_a_read_beyond_the_end_finds_nothing,
            l2_a_read_finds_a_record_that_is_larger_than_its_limit,
            l2_many_small_appends_are_read_in_order,
            l2_an_append_that_names_a_missing_partition_changes_nothing,
            l2_arrived_completes_once_a_record_stands_there,
            l4_what_was_read_never_changes,
            l5_a_stream_keeps_its_identity_and_a_new_one_has_another,
        );
    };
}

/// Tests a log that keeps the positions of producers; it has at least two partitions.
#[macro_export]
macro_rules! marked_log_contract {
    ($make:expr) => {
        mod marked_log {
            #[allow(unused_imports, reason = "what the maker needs")]
            use super::*;
            use $crate::ports::contract::event_log as suite;

            #[tokio::test]
            async fn l1_the_mark_of_an_answered_append_is_found_after_reopening() {
                suite::l1_the_mark_of_an_answered_append_is_found_after_reopening($make).await;
            }

            #[tokio::test]
            async fn l3_parts_and_mark_become_visible_together() {
                suite::l3_parts_and_mark_become_visible_together($make).await;
            }

            #[tokio::test]
            async fn l3_an_append_that_names_a_missing_partition_leaves_no_mark() {
                suite::l3_an_append_that_names_a_missing_partition_leaves_no_mark($make).await;
            }
        }
    };
}

const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 1 };
const ELSEWHERE: StreamPartition = StreamPartition { stream: Stream::Alerts, partition: 0 };
const ALL: usize = usize::MAX;

fn texts(texts: &[&str]) -> Records {
    texts.iter().collect()
}

fn to(at: StreamPartition, records: Records) -> Parts {
    vec![(at, records)]
}

async fn write(log: &dyn EventLog, records: &[&str]) -> Offset {
    log.append(to(AT, texts(records))).await.unwrap()[0]
}

async fn read_all(log: &dyn EventLog, at: StreamPartition) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let fetched = log.read(at, found.len() as Offset, ALL).await.unwrap();
        assert_eq!(fetched.first_offset, found.len() as Offset);
        if fetched.records.is_empty() {
            return found;
        }
        found.extend(fetched.records.iter().map(<[u8]>::to_vec));
    }
}

async fn end(log: &dyn EventLog, at: StreamPartition) -> Offset {
    log.bounds(at).await.unwrap().end
}

/// L1.
pub async fn l1_an_answered_append_is_found_after_reopening<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let log = open().await;
    write(&*log, &["a", "", "bc"]).await;
    drop(log);
    assert_eq!(read_all(&*open().await, AT).await, [b"a".to_vec(), b"".to_vec(), b"bc".to_vec()]);
}

/// L1.
pub async fn l1_the_mark_of_an_answered_append_is_found_after_reopening<
    O: AsyncFn() -> Arc<dyn MarkedLog>,
>(
    make: impl Fn() -> O,
) {
    let open = make();
    let log = open().await;
    assert_eq!(log.mark("replay").await.unwrap(), None);
    for position in ["row 1", "row 2"] {
        let mark = Mark { name: "replay".to_owned(), position: Bytes::from(position) };
        log.append_marked(to(AT, texts(&["a"])), mark).await.unwrap();
    }
    drop(log);
    assert_eq!(open().await.mark("replay").await.unwrap(), Some(Bytes::from("row 2")));
}

/// L2.
pub async fn l2_offsets_begin_at_0_have_no_gaps_and_keep_the_order<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    assert_eq!(write(&*log, &["a", "b"]).await, 0);
    assert_eq!(write(&*log, &[]).await, 2);
    assert_eq!(write(&*log, &["c"]).await, 2);
    let twice = vec![(AT, texts(&["d"])), (AT, texts(&["e", "f"]))];
    assert_eq!(log.append(twice).await.unwrap(), [3, 4]);
    assert_eq!(read_all(&*log, AT).await.concat(), b"abcdef");
    assert_eq!(end(&*log, AT).await, 6);
    assert_eq!(end(&*log, ELSEWHERE).await, 0);
}

/// L2.
pub async fn l2_concurrent_appends_leave_no_gap_and_stay_whole<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    let mut producers = JoinSet::new();
    for producer in 0..16_u8 {
        let log = Arc::clone(&log);
        producers.spawn(async move {
            for round in 0..4_u8 {
                let records: Records = (0..3).map(|i| [producer, round, i]).collect();
                let first = log.append(to(AT, records)).await.unwrap()[0];
                let fetched = log.read(AT, first, ALL).await.unwrap();
                assert!(fetched.records.iter().take(3).eq((0..3).map(|i| [producer, round, i])));
            }
        });
    }
    producers.join_all().await;
    let all = read_all(&*log, AT).await;
    assert_eq!(all.len(), 16 * 4 * 3);
    assert!(all.chunks(3).all(|run| run.iter().zip(0..).all(|(r, i)| r[..2] == run[0][..2] && r[2] == i)));
}

/// L2.
pub async fn l2_offsets_go_on_after_reopening<O: AsyncFn() -> Arc<dyn EventLog>>(make: impl Fn() -> O) {
    let open = make();
    write(&*open().await, &["a", "b"]).await;
    let log = open().await;
    assert_eq!(end(&*log, AT).await, 2);
    assert_eq!(write(&*log, &["c"]).await, 2);
    assert_eq!(read_all(&*log, AT).await.concat(), b"abc");
}

/// L2, over several batches of the log's own making.
pub async fn l2_every_offset_can_be_read_first<O: AsyncFn() -> Arc<dyn EventLog>>(make: impl Fn() -> O) {
    let log = make()().await;
    let sizes = [200_000, 90_000, 1, 400_000, 0, 0, 5, 150_000];
    let record = |i: usize| vec![u8::try_from(i).unwrap(); sizes[i]];
    for half in [0..5, 5..sizes.len()] {
        log.append(to(AT, half.map(record).collect())).await.unwrap();
    }
    for from in 0..sizes.len() {
        for limit in [1, 100_000, ALL] {
            let fetched = log.read(AT, from as Offset, limit).await.unwrap();
            assert_eq!(fetched.first_offset, from as Offset);
            assert!(!fetched.records.is_empty());
            assert!(fetched.records.iter().zip(from..).all(|(found, i)| found == record(i)));
            assert!(fetched.records.len() == 1 || fetched.records.bytes().len() <= limit);
        }
    }
}

/// L2.
pub async fn l2_a_read_beyond_the_end_finds_nothing<O: AsyncFn() -> Arc<dyn EventLog>>(make: impl Fn() -> O) {
    let log = make()().await;
    write(&*log, &["a"]).await;
    for from in [1, 2, Offset::MAX] {
        let fetched = log.read(AT, from, ALL).await.unwrap();
        assert_eq!((fetched.first_offset, fetched.records.len()), (from, 0));
    }
}

/// L2.
pub async fn l2_a_read_finds_a_record_that_is_larger_than_its_limit<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    write(&*log, &["large", "next"]).await;
    let fetched = log.read(AT, 0, 1).await.unwrap();
    assert_eq!(fetched.records, texts(&["large"]));
}

/// L2.
pub async fn l2_many_small_appends_are_read_in_order<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    for record in ["a", "b", "c", "d"] {
        write(&*log, &[record]).await;
    }
    assert_eq!(read_all(&*log, AT).await.concat(), b"abcd");
    let fetched = log.read(AT, 1, 2).await.unwrap();
    assert!(fetched.records.len() <= 2 && fetched.records.bytes().starts_with(b"b"));
}

/// L3.
pub async fn l3_parts_and_mark_become_visible_together<O: AsyncFn() -> Arc<dyn MarkedLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    let writer = Arc::clone(&log);
    let both = async {
        for round in 1..=20_u8 {
            let parts = vec![(AT, texts(&["a"])), (ELSEWHERE, texts(&["b"]))];
            let mark = Mark { name: "m".to_owned(), position: Bytes::from(vec![round]) };
            writer.append_marked(parts, mark).await.unwrap();
        }
    };
    let watch = async {
        for offset in 0..20 {
            log.arrived(ELSEWHERE, offset).await.unwrap();
            assert!(!log.read(AT, offset, ALL).await.unwrap().records.is_empty());
            assert!(u64::from(log.mark("m").await.unwrap().unwrap()[0]) > offset);
        }
    };
    tokio::join!(both, watch);
}

const MISSING: StreamPartition = StreamPartition { partition: 1_000, ..AT };

fn to_a_missing_partition_too() -> Parts {
    vec![(AT, texts(&["a"])), (MISSING, texts(&["b"]))]
}

/// L2.
pub async fn l2_an_append_that_names_a_missing_partition_changes_nothing<
    O: AsyncFn() -> Arc<dyn EventLog>,
>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    let refused = log.append(to_a_missing_partition_too()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert_eq!(end(&*log, AT).await, 0);
    assert_eq!(log.read(MISSING, 0, ALL).await.unwrap_err().kind, ErrorKind::Invalid);
}

/// L3.
pub async fn l3_an_append_that_names_a_missing_partition_leaves_no_mark<
    O: AsyncFn() -> Arc<dyn MarkedLog>,
>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    let mark = Mark { name: "m".to_owned(), position: Bytes::new() };
    let refused = log.append_marked(to_a_missing_partition_too(), mark).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert_eq!((end(&*log, AT).await, log.mark("m").await.unwrap()), (0, None));
}

/// L2.
pub async fn l2_arrived_completes_once_a_record_stands_there<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let log = make()().await;
    let mut wait = Box::pin(log.arrived(AT, 2));
    assert!(is_pending(&mut wait).await);
    write(&*log, &["a", "b"]).await;
    assert!(is_pending(&mut wait).await);
    write(&*log, &["c"]).await;
    wait.await.unwrap();
    log.arrived(AT, 0).await.unwrap();
}

async fn is_pending(wait: &mut (impl Future + Unpin)) -> bool {
    tokio::select! {
        biased;
        _ = wait => false,
        () = std::future::ready(()) => true,
    }
}

/// L4.
pub async fn l4_what_was_read_never_changes<O: AsyncFn() -> Arc<dyn EventLog>>(make: impl Fn() -> O) {
    let open = make();
    let log = open().await;
    write(&*log, &["a", "b"]).await;
    let before = log.read(AT, 0, ALL).await.unwrap();
    write(&*log, &["c"]).await;
    let again = log.read(AT, 0, ALL).await.unwrap();
    assert!(again.records.iter().take(2).eq(before.records.iter()));
    drop(log);
    let reopened = open().await.read(AT, 0, ALL).await.unwrap();
    assert!(reopened.records.iter().take(2).eq(before.records.iter()));
}

/// L5.
pub async fn l5_a_stream_keeps_its_identity_and_a_new_one_has_another<O: AsyncFn() -> Arc<dyn EventLog>>(
    make: impl Fn() -> O,
) {
    let (one, other) = (make(), make());
    for stream in Stream::ALL {
        let id = one().await.log_id(stream).await.unwrap();
        assert_eq!(one().await.log_id(stream).await.unwrap(), id);
        assert_ne!(other().await.log_id(stream).await.unwrap(), id);
    }
}
