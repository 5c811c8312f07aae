use std::sync::{Arc, Mutex};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryStateStore},
    ports::{
        event_log::{Append, EventLog, Offset, Stream, StreamPartition},
        state_store::{BlockKey, StageKey, StateStore},
    },
    runtime::{
        outputs::Outputs,
        stage::{BoxError, CommitLimits, StagePorts},
    },
};

/// Writes down which offsets it stepped.
struct Scribe<const SECOND: bool>(Arc<Mutex<Vec<Offset>>>);

impl<const SECOND: bool> Stage for Scribe<SECOND> {
    const ROLE: &'static str = if SECOND { "second" } else { "first" };

    fn step(&mut self, offset: Offset, _: &[u8], _: &mut Outputs) {
        self.0.lock().unwrap().push(offset);
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        Vec::new()
    }

    fn restore(&mut self, _: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        Ok(())
    }
}

type Seen = Arc<Mutex<Vec<Offset>>>;

struct World {
    log: Arc<MemoryEventLog>,
    store: Arc<MemoryStateStore>,
    seen: (Seen, Seen),
}

impl World {
    fn new() -> Self {
        let log = Arc::new(MemoryEventLog::new(Uuid::from_u128(1), 1));
        Self { log, store: Arc::new(MemoryStateStore::default()), seen: Default::default() }
    }

    async fn append(&self, records: usize) {
        let at = StreamPartition { stream: Stream::Events, partition: 0 };
        let records = (0..records).map(|_| b"{}").collect();
        self.log.append(Append { parts: vec![(at, records)], mark: None }).await.unwrap();
    }

    fn runner<const SECOND: bool>(&self, seen: &Seen) -> StageRunner<Scribe<SECOND>> {
        let ports = StagePorts {
            log: self.log.clone(),
            store: self.store.clone(),
            clock: Arc::new(MemoryClock::new(0)),
        };
        let seen = Arc::clone(seen);
        let mut drawn = 0;
        StageRunner::new(
            ports,
            0,
            CommitLimits::default(),
            move || Scribe(Arc::clone(&seen)),
            move || {
                drawn += 1;
                Uuid::from_u128(drawn)
            },
        )
    }

    fn pair(&self) -> PairRunner<Scribe<false>, Scribe<true>> {
        PairRunner::new(self.runner(&self.seen.0), self.runner(&self.seen.1))
    }

    fn seen(&self) -> (Vec<Offset>, Vec<Offset>) {
        (self.seen.0.lock().unwrap().clone(), self.seen.1.lock().unwrap().clone())
    }
}

async fn run<A: Stage, B: Stage>(pair: &mut PairRunner<A, B>) {
    while pair.turn().await.unwrap() != Turn::Idle {}
}

#[tokio::test]
async fn both_step_every_record_once_and_commit_under_their_own_keys() {
    let world = World::new();
    world.append(3).await;
    run(&mut world.pair()).await;
    assert_eq!(world.seen(), (vec![0, 1, 2], vec![0, 1, 2]));
    for role in ["first", "second"] {
        let stored = world.store.peek(&StageKey { role, partition: 0 }).await.unwrap().unwrap();
        assert_eq!(stored.next_offset, 3, "{role}");
    }
}

#[tokio::test]
async fn a_stage_that_is_ahead_waits_for_the_other() {
    let world = World::new();
    world.append(2).await;
    let mut alone = world.runner::<false>(&world.seen.0);
    while alone.turn().await.unwrap() != Turn::Idle {}
    world.append(1).await;
    run(&mut world.pair()).await;
    assert_eq!(world.seen(), (vec![0, 1, 2], vec![0, 1, 2]));
}

#[tokio::test]
async fn the_fence_of_one_drops_both_and_both_come_back() {
    let world = World::new();
    world.append(1).await;
    let mut pair = world.pair();
    run(&mut pair).await;
    let key = StageKey { role: "second", partition: 0 };
    world.store.claim(&key, Uuid::from_u128(99)).await.unwrap();
    world.append(1).await;
    let mut turns = Vec::new();
    while turns.last() != Some(&Turn::Idle) {
        turns.push(pair.turn().await.unwrap());
    }
    assert!(turns.contains(&Turn::Fenced), "{turns:?}");
    let (first, second) = world.seen();
    assert_eq!(first.iter().filter(|offset| **offset == 1).count(), 1, "its own commit held");
    assert_eq!(
        second.iter().filter(|offset| **offset == 1).count(),
        2,
        "stepped again, as nothing was stored"
    );
}
