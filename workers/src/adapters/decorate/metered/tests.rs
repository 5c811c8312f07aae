use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::duration::Duration;
use uuid::Uuid;

use super::*;
use crate::{
    adapters::{
        decorate::{Chances, FaultPlan, Faulty},
        memory::{MemoryClock, MemoryEventLog, MemoryLake, MemoryStateStore},
    },
    metrics::{Exposition, Metrics},
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{EventLog, Offset, Partition, Stream, StreamPartition},
        lake::{Committed, DataFile, Lake, Position, Table, TableCommit, TableSnapshot},
        membership::{Change, Membership, Release},
        state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Token},
    },
};

const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const KEY: StageKey = StageKey { role: "alert", partition: 0 };

#[track_caller]
fn assert_told(metrics: &Metrics, lines: &[&str]) {
    let told = Exposition::of([metrics]).unwrap();
    for line in lines {
        assert!(told.text().lines().any(|told| told == *line), "{line} is not in\n{}", told.text());
    }
}

/// A clock that goes on by 30 ms each time it is asked.
struct Stepping(MemoryClock);

#[async_trait]
impl Clock for Stepping {
    fn now(&self) -> Millis {
        self.0.now()
    }

    fn monotonic(&self) -> Millis {
        self.0.advance(Duration::from_millis(30));
        self.0.monotonic()
    }

    async fn pause(&self, length: Duration) {
        self.0.pause(length).await;
    }
}

fn stepping() -> Arc<dyn Clock> {
    Arc::new(Stepping(MemoryClock::new(0)))
}

#[tokio::test]
async fn records_and_bytes_of_batches_are_counted_by_stream_and_appends_by_their_time() {
    let metrics = Metrics::default();
    let log = Arc::new(MemoryEventLog::new(Uuid::nil(), 1));
    let log = LogMetrics::new(&metrics).unwrap().metered("alert", log, stepping());
    log.append(vec![(AT, ["abc", "de"].into_iter().collect())]).await.unwrap();
    log.read(AT, 1, usize::MAX).await.unwrap();
    let told = [
        r#"parking_log_appended_records_total{role="alert",stream="events"} 2"#,
        r#"parking_log_appended_bytes_total{role="alert",stream="events"} 5"#,
        r#"parking_log_read_records_total{role="alert",stream="events"} 1"#,
        r#"parking_log_read_bytes_total{role="alert",stream="events"} 2"#,
        r#"parking_log_append_duration_seconds_bucket{role="alert",le="0.02"} 0"#,
        r#"parking_log_append_duration_seconds_bucket{role="alert",le="0.05"} 1"#,
    ];
    assert_told(&metrics, &told);
}

#[tokio::test]
async fn what_failed_counts_as_failed_and_as_nothing_else() {
    let metrics = Metrics::default();
    let lost = FaultPlan::new(1, Chances { lost: 1_000, ..Chances::default() });
    let log = Arc::new(Faulty::new(MemoryEventLog::new(Uuid::nil(), 1), lost));
    let log = LogMetrics::new(&metrics).unwrap().metered("alert", log, stepping());
    log.append(vec![(AT, ["abc"].into_iter().collect())]).await.unwrap_err();
    let told = [
        r#"parking_log_errors_total{operation="append",role="alert"} 1"#,
        r#"parking_log_appended_records_total{role="alert",stream="events"} 0"#,
        r#"parking_log_append_duration_seconds_count{role="alert"} 0"#,
    ];
    assert_told(&metrics, &told);
}

fn commit(token: Token) -> Commit {
    let entry = OutboxEntry { seq: 0, stream: Stream::Alerts, record: Bytes::from("out") };
    Commit {
        token,
        log_id: Uuid::nil(),
        base: 0,
        next: 1,
        blocks: vec![(BlockKey { class: 1, id: 1 }, Some(Bytes::from("block")))],
        outbox: vec![entry],
    }
}

#[tokio::test]
async fn commits_count_by_outcome_and_an_outbox_that_a_takeover_finds_as_redelivered() {
    let metrics = Metrics::default();
    let store = Arc::new(MemoryStateStore::default());
    let store = StoreMetrics::new(&metrics).unwrap().metered("alert", store, stepping());
    let (before, _) = store.claim(&KEY, Uuid::from_u128(1)).await.unwrap();
    assert_eq!(store.commit(&KEY, commit(before)).await.unwrap(), Outcome::Stored);
    store.claim(&KEY, Uuid::from_u128(2)).await.unwrap();
    assert_eq!(store.commit(&KEY, commit(before)).await.unwrap(), Outcome::Fenced);
    let told = [
        r#"parking_state_commits_total{outcome="stored",role="alert"} 1"#,
        r#"parking_state_commits_total{outcome="fenced",role="alert"} 1"#,
        r#"parking_state_written_bytes_total{role="alert"} 5"#,
        r#"parking_state_claims_total{role="alert"} 2"#,
        r#"parking_outbox_redelivered_records_total{role="alert"} 1"#,
        r#"parking_state_commit_duration_seconds_count{role="alert"} 1"#,
    ];
    assert_told(&metrics, &told);
}

#[tokio::test]
async fn rows_of_a_commit_that_was_made_are_counted_and_those_of_a_conflict_are_not() {
    let metrics = Metrics::default();
    let lake = LakeMetrics::new(&metrics).unwrap().metered(Arc::new(MemoryLake::default()), stepping());
    lake.put(Table::Events, "f", Bytes::from("rows")).await.unwrap();
    let file = DataFile { date: 20_000, path: "f".to_owned(), rows: 7, size: 4 };
    let positions = BTreeMap::from([(0, Position { last_offset: 6, watermark: None })]);
    let commit = TableCommit { base: TableSnapshot::default(), files: vec![file], positions };
    assert!(matches!(lake.commit(Table::Events, commit.clone()).await.unwrap(), Committed::Yes(_)));
    assert_eq!(lake.commit(Table::Events, commit).await.unwrap(), Committed::Conflict);
    let told = [
        r#"parking_lake_committed_rows_total{table="events"} 7"#,
        r#"parking_lake_committed_files_total{table="events"} 1"#,
        r#"parking_lake_committed_bytes_total{table="events"} 4"#,
        r#"parking_lake_commits_total{outcome="committed",table="events"} 1"#,
        r#"parking_lake_commits_total{outcome="conflict",table="events"} 1"#,
        r#"parking_lake_commit_duration_seconds_count{table="events"} 1"#,
        r#"parking_lake_put_duration_seconds_count{table="events"} 1"#,
    ];
    assert_told(&metrics, &told);
}

/// Asks its first partition back, then breaks.
#[derive(Default)]
struct Leaving(std::sync::atomic::AtomicBool);

#[async_trait]
impl Membership for Leaving {
    async fn change(&self) -> PortResult<Change> {
        if self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Err(PortError::new(ErrorKind::Transient, "waiting for a change"));
        }
        Ok(Change::Revoked(vec![0], Release::new(|| ())))
    }

    async fn report(&self, _: &[(Partition, Offset)]) -> PortResult<()> {
        Ok(())
    }

    async fn is_current(&self, _: (Partition, Offset)) -> PortResult<bool> {
        Ok(true)
    }

    async fn leave(&self) -> PortResult<()> {
        Ok(())
    }
}

#[tokio::test]
async fn changes_of_the_share_count_by_kind_and_broken_memberships_as_errors() {
    let metrics = Metrics::default();
    let counted = MembershipMetrics::new(&metrics).unwrap();
    let membership = counted.metered("alert", Arc::new(Leaving::default()));
    membership.change().await.unwrap();
    membership.change().await.unwrap_err();
    let told = [
        r#"parking_rebalances_total{change="revoked",role="alert"} 1"#,
        r#"parking_rebalances_total{change="assigned",role="alert"} 0"#,
        r#"parking_membership_errors_total{role="alert"} 1"#,
    ];
    assert_told(&metrics, &told);
}
