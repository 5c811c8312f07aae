//! The adapters in memory keep every guarantee of their ports.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::memory::{
        MemoryClock, MemoryEventLog, MemoryLake, MemoryNotifier, MemoryObjectStore, MemoryStateStore,
    },
    ports::{
        PortResult,
        clock::Clock,
        contract::{lake::Visible, live_view::Shown, notifier::Received},
        event_log::{EventLog, MarkedLog},
        lake::{Committed, DataFile, Lake, Table, TableCommit, TableSnapshot},
        notifier::Notifier,
        object_store::ObjectStore,
        state_store::{Outcome, StageKey, StateStore},
    },
};
use uuid::Uuid;

/// A log with an identity of its own.
fn new_log() -> MemoryEventLog {
    static LOGS: AtomicU64 = AtomicU64::new(1);
    MemoryEventLog::new(Uuid::from_u128(LOGS.fetch_add(1, Ordering::Relaxed).into()), 2)
}

fn event_log() -> impl AsyncFn() -> Arc<dyn EventLog> {
    let log = new_log();
    async move || Arc::new(log.clone()) as Arc<dyn EventLog>
}

fn marked_log() -> impl AsyncFn() -> Arc<dyn MarkedLog> {
    let log = new_log();
    async move || Arc::new(log.clone()) as Arc<dyn MarkedLog>
}

fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
    let store = MemoryStateStore::default();
    async move || Arc::new(store.clone()) as Arc<dyn StateStore>
}

fn live_view() -> impl AsyncFn() -> Shown {
    let store = Arc::new(MemoryStateStore::default());
    async move || {
        let read = Arc::clone(&store);
        Shown {
            store: Arc::clone(&store) as Arc<_>,
            view: Arc::clone(&store) as Arc<_>,
            rows: Box::new(move |kind| read.shown(kind)),
        }
    }
}

fn object_store() -> impl AsyncFn() -> Arc<dyn ObjectStore> {
    let store = MemoryObjectStore::default();
    async move || Arc::new(store.clone()) as Arc<dyn ObjectStore>
}

/// What is written through the lake is looked for in the memory behind it.
struct Readable {
    lake: Arc<dyn Lake>,
    memory: MemoryLake,
}

#[async_trait]
impl Lake for Readable {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.lake.snapshot(table).await
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        self.lake.put(table, path, body).await
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        self.lake.commit(table, commit).await
    }
}

#[async_trait]
impl Visible for Readable {
    fn sample(&self, path: &str, rows: u64) -> (DataFile, Bytes) {
        let body = Bytes::from(format!("{rows} rows of {path}"));
        (DataFile { date: 20_000, path: path.to_owned(), rows, size: body.len() as u64 }, body)
    }

    async fn visible(&self, table: Table) -> Vec<String> {
        self.memory.visible(table).into_iter().map(|seen| seen.file.path).collect()
    }
}

fn lake() -> impl AsyncFn() -> Arc<dyn Visible> {
    let lake = MemoryLake::default();
    async move || {
        Arc::new(Readable { lake: Arc::new(lake.clone()), memory: lake.clone() }) as Arc<dyn Visible>
    }
}

fn clock() -> (Arc<dyn Clock>, impl Future<Output = ()>) {
    let clock = MemoryClock::new(0);
    let driven = clock.clone();
    let time = async move {
        loop {
            driven.jump_to(driven.now() - 5);
            driven.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
    };
    (Arc::new(clock), time)
}

async fn notifier() -> (Arc<dyn Notifier>, impl Fn() -> Received) {
    let notifier = MemoryNotifier::default();
    let receiver = notifier.clone();
    let got = move || {
        receiver.delivered().into_iter().map(|n| (n.idempotency_key, n.alert.get().to_owned())).collect()
    };
    (Arc::new(notifier), got)
}

parking_workers::event_log_contract!(super::event_log);
parking_workers::marked_log_contract!(super::marked_log);
parking_workers::state_store_contract!(super::state_store);
parking_workers::live_view_contract!(super::live_view);
parking_workers::object_store_contract!(super::object_store);
parking_workers::lake_contract!(super::lake);
parking_workers::clock_contract!(super::clock);
parking_workers::notifier_contract!(super::notifier);

#[tokio::test]
async fn a_state_store_that_is_rolled_back_fences_the_owner_that_it_forgot() {
    let store = MemoryStateStore::default();
    let stage = StageKey { role: "alert", partition: 0 };
    let before = store.checkpoint();
    let (token, _) = store.claim(&stage, Uuid::from_u128(1)).await.unwrap();
    store.roll_back(before);
    assert_eq!(store.trim(&stage, token, 0).await.unwrap(), Outcome::Fenced);
}

/// Adapters that lose or delay three calls of four, behind retries.
mod behind_retries {
    use super::*;
    use parking_crds::event::Millis;
    use parking_workers::adapters::decorate::{Chances, FaultPlan, Faulty, Retrying};

    struct Impatient;

    #[async_trait]
    impl Clock for Impatient {
        fn now(&self) -> Millis {
            0
        }

        fn monotonic(&self) -> Millis {
            0
        }

        async fn pause(&self, _: Duration) {}
    }

    fn retrying<P>(adapter: P) -> Retrying<Faulty<P>, Impatient> {
        let plan = FaultPlan::new(42, Chances { lost: 500, delay: 250, ..Chances::default() });
        Retrying::new(Faulty::new(adapter, plan), Impatient, 100)
    }

    fn event_log() -> impl AsyncFn() -> Arc<dyn EventLog> {
        let log = new_log();
        async move || Arc::new(retrying(log.clone())) as Arc<dyn EventLog>
    }

    fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
        let store = MemoryStateStore::default();
        async move || Arc::new(retrying(store.clone())) as Arc<dyn StateStore>
    }

    fn object_store() -> impl AsyncFn() -> Arc<dyn ObjectStore> {
        let store = MemoryObjectStore::default();
        async move || Arc::new(retrying(store.clone())) as Arc<dyn ObjectStore>
    }

    parking_workers::event_log_contract!(super::event_log);
    parking_workers::state_store_contract!(super::state_store);
    parking_workers::object_store_contract!(super::object_store);
}

/// Adapters whose calls are counted.
mod metered {
    use super::*;
    use parking_workers::{
        adapters::decorate::{LakeMetrics, LogMetrics, StoreMetrics},
        metrics::Metrics,
    };

    fn still() -> Arc<dyn Clock> {
        Arc::new(MemoryClock::new(0))
    }

    fn event_log() -> impl AsyncFn() -> Arc<dyn EventLog> {
        let (log, counted) = (new_log(), LogMetrics::new(&Metrics::default()).unwrap());
        async move || Arc::new(counted.metered("alert", Arc::new(log.clone()), still())) as Arc<dyn EventLog>
    }

    fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
        let (store, counted) = (MemoryStateStore::default(), StoreMetrics::new(&Metrics::default()).unwrap());
        async move || {
            Arc::new(counted.metered("alert", Arc::new(store.clone()), still())) as Arc<dyn StateStore>
        }
    }

    fn lake() -> impl AsyncFn() -> Arc<dyn Visible> {
        let (lake, counted) = (MemoryLake::default(), LakeMetrics::new(&Metrics::default()).unwrap());
        async move || {
            let metered = counted.metered(Arc::new(lake.clone()), still());
            Arc::new(Readable { lake: Arc::new(metered), memory: lake.clone() }) as Arc<dyn Visible>
        }
    }

    parking_workers::event_log_contract!(super::event_log);
    parking_workers::state_store_contract!(super::state_store);
    parking_workers::lake_contract!(super::lake);
}
