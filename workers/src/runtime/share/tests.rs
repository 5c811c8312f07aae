use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use uuid::Uuid;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryObjectStore, MemoryStateStore},
    ports::{
        ErrorKind, PortError,
        clock::Clock,
        event_log::{EventLog, Records},
        membership::Release,
        state_store::{BlockKey, Commit, Outcome, StageKey, StateStore, Stored, Token},
    },
    runtime::{
        outputs::Outputs,
        snapshot::{SnapshotLimits, SnapshotPlace},
        stage::{BoxError, CommitLimits, StagePorts},
    },
};

const LONG: Duration = Duration::from_secs(3_600);

/// Whoever steps it panics.
const PANIC: &[u8] = b"panic";

/// Keeps nothing: how far it is says all.
struct Reading;

impl Stage for Reading {
    const ROLE: &'static str = "reading";

    fn step(&mut self, records: &[(Offset, &[u8])], _: &mut Outputs) {
        assert!(records.iter().all(|(_, record)| *record != PANIC), "as the test wants it");
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        Vec::new()
    }

    fn restore(&mut self, _: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A group that says what the test says.
struct Group {
    changes: AsyncMutex<mpsc::UnboundedReceiver<Change>>,
    knows_us: AtomicBool,
    asked: mpsc::UnboundedSender<()>,
    reports: Mutex<Vec<(Partition, Offset)>>,
    left: AtomicBool,
}

#[async_trait]
impl Membership for Group {
    async fn change(&self) -> PortResult<Change> {
        match self.changes.lock().await.recv().await {
            Some(change) => Ok(change),
            None => std::future::pending().await,
        }
    }

    async fn report(&self, positions: &[(Partition, Offset)]) -> PortResult<()> {
        *self.reports.lock().unwrap() = positions.to_vec();
        Ok(())
    }

    async fn is_current(&self, _: (Partition, Offset)) -> PortResult<bool> {
        self.asked.send(()).unwrap();
        Ok(self.knows_us.load(Ordering::Acquire))
    }

    async fn leave(&self) -> PortResult<()> {
        self.left.store(true, Ordering::Release);
        Ok(())
    }
}

/// A store that is out of order for some partitions.
#[derive(Clone, Default)]
struct Store {
    inner: MemoryStateStore,
    broken: Arc<Mutex<Vec<Partition>>>,
}

impl Store {
    fn is_broken(&self, stage: &StageKey) -> bool {
        self.broken.lock().unwrap().contains(&stage.partition)
    }

    fn check(&self, stage: &StageKey) -> PortResult<()> {
        let broken = || PortError::new(ErrorKind::Transient, "talking to the store");
        if self.is_broken(stage) { Err(broken()) } else { Ok(()) }
    }
}

#[async_trait]
impl StateStore for Store {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        self.check(stage)?;
        self.inner.claim(stage, owner).await
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        self.check(stage)?;
        self.inner.commit(stage, commit).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.inner.trim(stage, token, through).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.inner.peek(stage).await
    }
}

struct World {
    log: MemoryEventLog,
    store: Store,
    objects: MemoryObjectStore,
    clock: MemoryClock,
    board: ShareBoard,
    group: Arc<Group>,
    tell: mpsc::UnboundedSender<Change>,
    asked: mpsc::UnboundedReceiver<()>,
}

impl World {
    async fn new(records: &[&str]) -> Self {
        let log = MemoryEventLog::new(Uuid::nil(), 2);
        for partition in 0..2 {
            let records: Records = records.iter().collect();
            let at = StreamPartition { stream: Stream::Events, partition };
            log.append(vec![(at, records)]).await.unwrap();
        }
        let (tell, changes) = mpsc::unbounded_channel();
        let (tell_asked, asked) = mpsc::unbounded_channel();
        let group = Group {
            changes: AsyncMutex::new(changes),
            knows_us: AtomicBool::new(true),
            asked: tell_asked,
            reports: Mutex::default(),
            left: AtomicBool::new(false),
        };
        let (store, clock) = (Store::default(), MemoryClock::new(0));
        let objects = MemoryObjectStore::default();
        Self { log, store, objects, clock, board: ShareBoard::default(), group: Arc::new(group), tell, asked }
    }

    fn runner(&self, partition: Partition) -> StageRunner<Reading> {
        let ports = StagePorts {
            log: Arc::new(self.log.clone()),
            store: Arc::new(self.store.clone()),
            clock: Arc::new(self.clock.clone()),
        };
        let limits = CommitLimits { age: LONG, outbox_delay: Some(LONG), ..CommitLimits::default() };
        StageRunner::new(ports, partition, limits, || Reading, || Uuid::from_u128(1)).with_snapshots(
            SnapshotPlace { objects: Arc::new(self.objects.clone()), limits: SnapshotLimits::default() },
        )
    }

    /// Runs a share beside the story, and stops it at the story's end.
    async fn run(&self, story: impl Future<Output = ()>) {
        let (ends, end) = watch::channel(false);
        let silence =
            Silence { clock: Arc::new(self.clock.clone()), idle_after: None, tenant: "city".to_owned() };
        let make = |partition| self.runner(partition);
        let share = Share::new(Arc::clone(&self.group) as Arc<_>, silence, self.board.clone(), make);
        let stop = async move {
            let mut end = end;
            let _ = end.wait_for(|end| *end).await;
        };
        let story = async {
            story.await;
            ends.send_replace(true);
        };
        let (ended, ()) = tokio::join!(share.run(stop), story);
        ended.unwrap();
    }

    async fn committed(&self, partition: Partition) -> Option<Offset> {
        let stage = StageKey { role: Reading::ROLE, partition };
        self.store.peek(&stage).await.unwrap().map(|stored| stored.next_offset)
    }

    async fn until(&self, holds: impl Fn(&BTreeMap<StreamPartition, Standing>) -> bool) {
        while !holds(&self.board.read()) {
            tokio::task::yield_now().await;
        }
    }

    /// Until all that is there was stepped; nothing is committed by then.
    async fn until_taken_over(&self, partition: Partition) {
        self.until(|board| board.get(&source(partition)).is_some_and(|one| one.committed == Some(0))).await;
    }
}

#[tokio::test]
async fn a_partition_that_is_asked_back_is_committed_before_it_is_released() {
    let world = World::new(&["a", "b"]).await;
    let (released, was_released) = mpsc::unbounded_channel();
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0, 1])).unwrap();
            world.until_taken_over(0).await;
            world.until_taken_over(1).await;
            let store = world.store.clone();
            let release = Release::new(move || {
                let stage = StageKey { role: Reading::ROLE, partition: 0 };
                let peeked = futures_now(store.inner.peek(&stage));
                released.send(peeked.map(|stored| stored.next_offset)).unwrap();
            });
            world.tell.send(Change::Revoked(vec![0], release)).unwrap();
            let mut was_released = was_released;
            assert_eq!(was_released.recv().await.unwrap(), Some(2));
            assert_eq!(world.board.read().keys().copied().collect::<Vec<_>>(), [source(1)]);
        })
        .await;
}

/// The answer of a store in memory, which never waits.
fn futures_now(peek: impl Future<Output = PortResult<Option<Stored>>>) -> Option<Stored> {
    let mut peek = Box::pin(peek);
    match peek.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => answer.unwrap(),
        std::task::Poll::Pending => panic!("a store in memory waited"),
    }
}

#[tokio::test]
async fn how_long_the_first_record_took_is_told_once() {
    let world = World::new(&["a"]).await;
    let told = |board: &BTreeMap<StreamPartition, Standing>| board.get(&source(0))?.first_record_after;
    world
        .run(async {
            world.store.broken.lock().unwrap().push(0);
            world.tell.send(Change::Assigned(vec![0])).unwrap();
            world.until(|board| board.get(&source(0)).is_some_and(|one| one.trouble.is_some())).await;
            assert_eq!(told(&world.board.read()), None);
            world.clock.advance(Duration::from_millis(250));
            world.store.broken.lock().unwrap().clear();
            world.until(|board| told(board).is_some()).await;
            let (first, at) = (told(&world.board.read()), world.clock.monotonic());
            assert_eq!(first, Some(Duration::from_millis(at)));
            let records: Records = [b"b".as_slice()].into_iter().collect();
            world.log.append(vec![(source(0), records)]).await.unwrap();
            world.until(|board| board[&source(0)].committed.is_some()).await;
            assert_eq!(told(&world.board.read()), first);
        })
        .await;
}

#[tokio::test]
async fn a_partition_that_was_lost_is_dropped_as_it_stands() {
    let world = World::new(&["a", "b"]).await;
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0])).unwrap();
            world.until_taken_over(0).await;
            world.tell.send(Change::Lost(vec![0])).unwrap();
            world.until(BTreeMap::is_empty).await;
        })
        .await;
    assert_eq!(world.committed(0).await, None);
}

#[tokio::test]
async fn who_is_told_to_stop_commits_tells_its_positions_and_leaves() {
    let world = World::new(&["a", "b", "c"]).await;
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0, 1])).unwrap();
            world.until_taken_over(0).await;
            world.until_taken_over(1).await;
        })
        .await;
    assert_eq!((world.committed(0).await, world.committed(1).await), (Some(3), Some(3)));
    assert_eq!(*world.group.reports.lock().unwrap(), [(0, 3), (1, 3)]);
    assert!(world.group.left.load(Ordering::Acquire));
}

#[tokio::test]
async fn trouble_with_one_partition_is_told_holds_back_no_other_and_passes() {
    let world = World::new(&["a"]).await;
    world.store.broken.lock().unwrap().push(0);
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0, 1])).unwrap();
            world.until_taken_over(1).await;
            world.until(|board| board[&source(0)].trouble.is_some()).await;
            assert_eq!(
                world.board.read()[&source(0)].trouble.as_deref(),
                Some("talking to the store failed")
            );
            world.store.broken.lock().unwrap().clear();
            world.clock.advance(Duration::from_millis(LONGEST_PAUSE));
            world.until_taken_over(0).await;
            assert_eq!(world.board.read()[&source(0)].trouble, None);
        })
        .await;
}

#[tokio::test]
async fn a_state_that_was_rebuilt_is_told_on_the_board() {
    let world = World::new(&["a"]).await;
    let assign = async {
        world.tell.send(Change::Assigned(vec![0])).unwrap();
        world.until_taken_over(0).await;
    };
    world.run(assign).await;
    world.store.inner.flush();
    let assign_again = async {
        world.tell.send(Change::Assigned(vec![0])).unwrap();
        world.until(|board| board.get(&source(0)).is_some_and(|one| one.committed.is_some())).await;
        assert_eq!(world.board.read()[&source(0)].losses.rebuilt, Some(1));
    };
    world.run(assign_again).await;
}

#[tokio::test]
async fn a_member_that_the_group_has_forgotten_claims_nothing() {
    let mut world = World::new(&["a"]).await;
    world.group.knows_us.store(false, Ordering::Release);
    let (_, other) = mpsc::unbounded_channel::<()>();
    let mut asked = std::mem::replace(&mut world.asked, other);
    let stage = StageKey { role: Reading::ROLE, partition: 0 };
    let mut owner = None;
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0])).unwrap();
            world.until_taken_over(0).await;
            owner = Some(world.store.claim(&stage, Uuid::from_u128(2)).await.unwrap().0);
            // The commit that becomes due is fenced.
            world.clock.advance(LONG);
            asked.recv().await.unwrap();
            world.clock.advance(REPORT);
            asked.recv().await.unwrap();
            world.tell.send(Change::Lost(vec![0])).unwrap();
            world.until(BTreeMap::is_empty).await;
        })
        .await;
    let log_id = world.log.log_id(Stream::Events).await.unwrap();
    let commit = Commit { token: owner.unwrap(), log_id, base: 0, next: 1, blocks: vec![], outbox: vec![] };
    assert_eq!(world.store.commit(&stage, commit).await.unwrap(), Outcome::Stored, "it owns the stage still");
}

#[tokio::test]
async fn a_stage_that_panics_is_told_begins_again_and_holds_back_no_other() {
    let world = World::new(&["a"]).await;
    let at = source(0);
    world.log.append(vec![(at, [PANIC].into_iter().collect())]).await.unwrap();
    world
        .run(async {
            world.tell.send(Change::Assigned(vec![0, 1])).unwrap();
            world.until_taken_over(1).await;
            while world.board.read()[&at].failures < 3 {
                world.clock.advance(Duration::from_millis(100));
                tokio::task::yield_now().await;
            }
            assert!(world.board.read()[&at].trouble.as_ref().unwrap().contains("panicked"));
        })
        .await;
    assert_eq!(world.committed(1).await, Some(1));
}
