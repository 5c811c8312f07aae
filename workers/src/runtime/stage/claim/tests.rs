use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::{duration::Duration, inventory::Inventory};
use serde_json::Value;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryObjectStore, MemoryStateStore},
    domain::{
        alert::{RuleSet, Settings},
        verdict::EventLimits,
    },
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{EventLog, StreamPartition},
        object_store::{ObjectStore, PutNew},
        state_store::{BlockKey, StateStore},
    },
    runtime::{
        role::{RoleStage, Together},
        snapshot::{SnapshotLimits, SnapshotPlace},
        stage::{BoxError, CommitLimits, Losses, StagePorts, Turn},
    },
};

const EVENTS: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const SESSIONS: StreamPartition = StreamPartition { stream: Stream::Sessions, partition: 0 };
const KEY: StageKey = StageKey { role: "tally", partition: 0 };
const FOLDER: &str = "snapshots/tally/00000000000000000000000000000001/0/";
const AGE: Duration = Duration::from_secs(60);

/// Counts each word and tells the count. The word `forget` forgets all others.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<u128, u8>,
    changed: BTreeMap<u128, Option<u8>>,
}

fn name(word: &[u8]) -> u128 {
    word.iter().fold(0, |name, letter| name << 8 | u128::from(*letter))
}

impl Stage for Tally {
    const ROLE: &'static str = KEY.role;

    fn step(&mut self, records: &[(Offset, &[u8])], outputs: &mut Outputs) {
        for (offset, word) in records {
            outputs.begin(*offset);
            if *word == b"forget" {
                self.changed =
                    std::mem::take(&mut self.counts).into_keys().map(|word| (word, None)).collect();
            }
            let count = self.counts.entry(name(word)).or_default();
            *count += 1;
            self.changed.insert(name(word), Some(*count));
            outputs.emit(Stream::Sessions, &BTreeMap::from([(String::from_utf8_lossy(word), *count)]));
        }
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        let block = |(id, count): (u128, Option<u8>)| {
            (BlockKey { class: 0, id }, count.map(|count| Bytes::copy_from_slice(&[count])))
        };
        std::mem::take(&mut self.changed).into_iter().map(block).collect()
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        self.counts = blocks.iter().map(|(key, block)| (key.id, block[0])).collect();
        Ok(())
    }
}

/// Objects that cannot be reached while they are told so.
#[derive(Clone, Default)]
struct Objects {
    inner: MemoryObjectStore,
    away: Arc<AtomicBool>,
}

impl Objects {
    fn check(&self) -> PortResult<()> {
        let away = || PortError::new(ErrorKind::Transient, "talking to the object store");
        if self.away.load(Ordering::Relaxed) { Err(away()) } else { Ok(()) }
    }

    fn go_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        self.check()?;
        self.inner.put_new(key, body).await
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        self.check()?;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        self.check()?;
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.check()?;
        self.inner.delete(key).await
    }
}

struct World {
    log: MemoryEventLog,
    store: MemoryStateStore,
    objects: Objects,
    clock: MemoryClock,
    owners: Mutex<u128>,
}

impl World {
    fn new() -> Self {
        Self {
            log: MemoryEventLog::new(Uuid::from_u128(1), 2),
            store: MemoryStateStore::default(),
            objects: Objects::default(),
            clock: MemoryClock::new(0),
            owners: Mutex::default(),
        }
    }

    fn place(&self) -> SnapshotPlace {
        SnapshotPlace { objects: Arc::new(self.objects.clone()), limits: SnapshotLimits { age: AGE } }
    }

    fn bare<S: Stage>(&self, make: impl Fn() -> S + Send + Sync + 'static) -> StageRunner<S> {
        let ports = StagePorts {
            log: Arc::new(self.log.clone()),
            store: Arc::new(self.store.clone()),
            clock: Arc::new(self.clock.clone()),
        };
        let mut owners = self.owners.lock().unwrap();
        *owners += 1;
        let owner = Uuid::from_u128(*owners);
        StageRunner::new(ports, 0, CommitLimits::default(), make, move || owner)
    }

    fn runner(&self) -> StageRunner<Tally> {
        self.bare(Tally::default).with_snapshots(self.place())
    }

    async fn append(&self, records: &[&str]) {
        self.log.append(vec![(EVENTS, records.iter().collect())]).await.unwrap();
    }

    /// Appends words, lets the runner step, commit and publish them, and lets an interval pass.
    async fn count<S: Stage>(&self, runner: &mut StageRunner<S>, words: &[&str]) {
        self.append(words).await;
        until_idle(runner).await;
        self.clock.advance(AGE);
    }

    /// Everything in the store is gone, and the records before an offset are gone from the log.
    fn lose(&self, before: Offset) {
        self.store.flush();
        self.log.expire(EVENTS, before);
    }

    async fn told(&self, at: StreamPartition) -> Vec<String> {
        let (mut told, mut next) = (Vec::new(), 0);
        loop {
            let fetched = self.log.read(at, next, usize::MAX).await.unwrap();
            if fetched.records.is_empty() {
                return told;
            }
            next = fetched.next_offset();
            told.extend(fetched.records.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
        }
    }

    async fn words(&self) -> Vec<String> {
        let word = |told: String| told.split(",\"origin").next().unwrap().to_owned() + "}";
        self.told(SESSIONS).await.into_iter().map(word).collect()
    }

    async fn snapshots(&self) -> Vec<String> {
        self.objects.inner.list("snapshots/").await.unwrap()
    }

    async fn stored(&self) -> Stored {
        self.store.peek(&KEY).await.unwrap().unwrap()
    }

    /// Puts other bytes in the place of an object.
    async fn replace(&self, key: &str, body: Bytes) {
        self.objects.inner.delete(key).await.unwrap();
        assert_eq!(self.objects.inner.put_new(key, body).await.unwrap(), PutNew::Created);
    }
}

async fn until_idle<S: Stage>(runner: &mut StageRunner<S>) {
    while runner.turn().await.unwrap() != Turn::Idle {}
}

fn key(next: Offset) -> String {
    format!("{FOLDER}{next:020}")
}

#[tokio::test]
async fn a_flushed_store_is_rebuilt_from_the_newest_snapshot_and_the_log_after_it() {
    let world = World::new();
    let mut runner = world.runner();
    world.count(&mut runner, &["a", "a", "b"]).await;
    world.append(&["a"]).await;
    world.lose(3);
    world.count(&mut runner, &["b"]).await;
    assert_eq!(world.words().await, [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"b":1}"#, r#"{"a":3}"#, r#"{"b":2}"#]);
    assert_eq!(runner.losses(), Losses { rebuilt: Some(3), rebuilds: 1, snapshots: 0 });
    let stored = world.stored().await;
    assert_eq!((stored.next_offset, stored.blocks.len(), stored.next_seq), (5, 2, 5));
}

#[tokio::test]
async fn a_rebuilt_state_is_in_the_store_before_anything_new_is_stepped() {
    let world = World::new();
    world.count(&mut world.runner(), &["a", "b"]).await;
    let before = world.stored().await.blocks;
    world.lose(2);
    until_idle(&mut world.runner()).await;
    let stored = world.stored().await;
    assert_eq!((stored.next_offset, stored.blocks), (2, before));
}

#[tokio::test]
async fn a_torn_snapshot_is_passed_over_for_the_one_before_it() {
    let world = World::new();
    let mut runner = world.runner();
    world.count(&mut runner, &["a"]).await;
    world.count(&mut runner, &["a"]).await;
    let whole = world.objects.inner.get(&key(2)).await.unwrap().unwrap();
    world.replace(&key(2), whole.slice(..whole.len() / 2)).await;
    world.lose(1);
    let mut runner = world.runner();
    world.count(&mut runner, &["a"]).await;
    assert_eq!(runner.losses().rebuilt, Some(1));
    assert_eq!(world.words().await, [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
}

#[tokio::test]
async fn a_snapshot_that_is_of_another_log_stage_or_offset_is_not_taken() {
    let of_another: [fn(&mut Snapshot); 4] = [
        |snapshot| snapshot.log_id = Uuid::from_u128(2),
        |snapshot| snapshot.role = "alert".to_owned(),
        |snapshot| snapshot.partition = 1,
        |snapshot| snapshot.next_offset = 1,
    ];
    for change in of_another {
        let world = World::new();
        world.count(&mut world.runner(), &["a", "a"]).await;
        let mut snapshot =
            Snapshot::decode(&world.objects.inner.get(&key(2)).await.unwrap().unwrap()).unwrap();
        change(&mut snapshot);
        world.replace(&key(2), snapshot.encode()).await;
        world.lose(1);
        until_idle(&mut world.runner()).await;
        assert_eq!(world.words().await.last().unwrap(), r#"{"a":1}"#, "{snapshot:?}");
    }
}

#[tokio::test]
async fn the_log_that_was_made_anew_has_snapshots_of_its_own() {
    let mut world = World::new();
    world.count(&mut world.runner(), &["a", "a"]).await;
    world.lose(0);
    world.log = MemoryEventLog::new(Uuid::from_u128(2), 1);
    let mut runner = world.runner();
    world.count(&mut runner, &["a", "a"]).await;
    assert_eq!((runner.losses().rebuilt, world.words().await.len()), (None, 2));
    assert_eq!(world.snapshots().await.len(), 2);
}

#[tokio::test]
async fn a_snapshot_is_written_at_the_first_commit_at_each_interval_and_when_settled() {
    let world = World::new();
    let mut runner = world.runner();
    world.append(&["a"]).await;
    until_idle(&mut runner).await;
    assert_eq!(world.snapshots().await, [key(1)]);
    world.append(&["b"]).await;
    until_idle(&mut runner).await;
    assert_eq!(world.snapshots().await, [key(1)], "no interval has passed");
    assert_eq!(runner.due_in(), Some(AGE));
    world.clock.advance(AGE);
    until_idle(&mut runner).await;
    assert_eq!(world.snapshots().await, [key(1), key(2)]);
    assert_eq!(runner.due_in(), None);
    world.append(&["c"]).await;
    until_idle(&mut runner).await;
    runner.settle().await.unwrap();
    assert_eq!(world.snapshots().await, [key(2), key(3)]);
}

#[tokio::test]
async fn no_more_than_two_snapshots_are_kept() {
    let world = World::new();
    let mut runner = world.runner();
    for _ in 0..5 {
        world.count(&mut runner, &["a"]).await;
    }
    assert_eq!(world.snapshots().await, [key(4), key(5)]);
}

#[tokio::test]
async fn what_a_zombie_writes_leads_its_successor_nowhere_else() {
    let world = World::new();
    let (mut zombie, mut owner) = (world.runner(), world.runner());
    for _ in 0..2 {
        world.append(&["a"]).await;
        until_idle(&mut zombie).await;
    }
    for _ in 0..3 {
        world.count(&mut owner, &["a"]).await;
    }
    // It owes a snapshot still, but what the store holds is not what it has committed.
    zombie.settle().await.unwrap();
    assert_eq!(world.snapshots().await, [key(4), key(5)]);
    world.lose(5);
    world.count(&mut world.runner(), &["a"]).await;
    assert_eq!(world.words().await.last().unwrap(), r#"{"a":6}"#);
}

#[tokio::test]
async fn a_store_that_is_found_empty_when_a_snapshot_is_due_is_rebuilt_before_anything_new_comes() {
    let world = World::new();
    let mut runner = world.runner();
    for _ in 0..2 {
        world.append(&["a"]).await;
        until_idle(&mut runner).await;
    }
    world.lose(1);
    world.clock.advance(AGE);
    assert_eq!(runner.turn().await.unwrap(), Turn::Fenced);
    assert_eq!(world.snapshots().await, [key(1)], "none is made of nothing");
    until_idle(&mut runner).await;
    assert_eq!((world.stored().await.next_offset, runner.losses().rebuilt), (2, Some(1)));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_stops_nothing_and_is_tried_again_after_an_interval() {
    let world = World::new();
    let mut runner = world.runner();
    until_idle(&mut runner).await;
    world.objects.go_away(true);
    world.append(&["a"]).await;
    until_idle(&mut runner).await;
    assert_eq!((runner.committed_offset(), runner.losses().snapshots), (Some(1), 1));
    world.objects.go_away(false);
    until_idle(&mut runner).await;
    assert!(world.snapshots().await.is_empty());
    world.clock.advance(AGE);
    until_idle(&mut runner).await;
    assert_eq!((world.snapshots().await, runner.losses().snapshots), (vec![key(1)], 1));
}

#[tokio::test]
async fn a_stage_whose_state_is_there_does_without_the_object_store() {
    let world = World::new();
    world.count(&mut world.runner(), &["a"]).await;
    world.objects.go_away(true);
    let mut runner = world.runner();
    world.count(&mut runner, &["a"]).await;
    assert_eq!(runner.committed_offset(), Some(2));
    world.store.flush();
    assert!(matches!(world.runner().turn().await, Err(StageError::Port(_))));
}

#[tokio::test]
async fn a_store_that_went_back_within_the_log_is_gone_on_from_and_that_is_told() {
    let world = World::new();
    let mut runner = world.runner();
    world.count(&mut runner, &["a"]).await;
    let before = world.store.checkpoint();
    world.count(&mut runner, &["b", "a"]).await;
    world.store.roll_back(before);
    let mut runner = world.runner();
    world.count(&mut runner, &["a"]).await;
    assert_eq!(runner.losses().rebuilt, Some(1));
    let again = [r#"{"a":1}"#, r#"{"b":1}"#, r#"{"a":2}"#, r#"{"b":1}"#, r#"{"a":2}"#, r#"{"a":3}"#];
    assert_eq!(world.words().await, again);
}

#[tokio::test]
async fn a_store_that_went_back_behind_the_log_holds_what_the_snapshot_holds_and_no_more() {
    let world = World::new();
    let mut runner = world.runner();
    world.count(&mut runner, &["a", "b"]).await;
    let before = world.store.checkpoint();
    world.count(&mut runner, &["forget", "c"]).await;
    let blocks = world.stored().await.blocks;
    world.store.roll_back(before);
    world.log.expire(EVENTS, 4);
    let mut runner = world.runner();
    until_idle(&mut runner).await;
    assert_eq!(world.stored().await.blocks, blocks);
    world.count(&mut runner, &["c"]).await;
    assert_eq!(world.words().await.last().unwrap(), r#"{"c":2}"#);
    assert_eq!(world.stored().await.next_seq, 5, "no sequence is used twice");
}

#[tokio::test]
async fn a_loss_that_no_snapshot_within_the_log_makes_good_is_not_passed_over() {
    let world = World::new();
    world.count(&mut world.runner(), &["a"]).await;
    world.append(&["a", "a"]).await;
    world.lose(2);
    let error = world.runner().turn().await.unwrap_err();
    assert!(matches!(error, StageError::Expired { next: 1, start: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_stage_that_never_had_a_snapshot_begins_where_the_log_begins() {
    let world = World::new();
    world.append(&["a", "a", "b"]).await;
    world.log.expire(EVENTS, 1);
    let mut runner = world.runner();
    until_idle(&mut runner).await;
    assert_eq!((runner.committed_offset(), runner.losses().rebuilt), (Some(3), None));
    assert_eq!(world.words().await, [r#"{"a":1}"#, r#"{"b":1}"#]);
}

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const SPACE: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const T0: i64 = 1_760_601_600_000;

fn stage() -> RoleStage<Together> {
    let inventory = format!(
        "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n  \
         - {{id: {ZONE}, userZoneId: A, capacity: 1, spaces: [{{id: {SPACE}}}]}}\n"
    );
    let rule = serde_json::json!({
        "apiVersion": "parking.tinyx.io/v1alpha1",
        "kind": "AlertRule",
        "metadata": {"name": "full", "namespace": "parking"},
        "spec": {
            "pipelineRef": {"name": "city"}, "severity": "warning",
            "condition": {"threshold": {"metric": "occupied", "op": ">=", "value": "1"}},
        },
    });
    let (rules, refused) = RuleSet::compile(&[serde_json::from_value(rule).unwrap()]);
    assert!(refused.is_empty(), "{refused:?}");
    let inventory = Arc::new(Inventory::parse(&inventory).unwrap());
    let settings = Settings { tenant: "city".to_owned(), partition: 0 };
    RoleStage::together(EventLimits::default(), &inventory, &Arc::new(rules), settings)
}

fn event(kind: &str, minute: i64) -> String {
    let (time, id) = (T0 + minute * 60_000, Uuid::from_u128(minute.unsigned_abs().into()));
    format!(
        r#"{{"event_id":"{id}","event_type":"{kind}","event_time":{time},"event_publication_time":{time},"curb_zone_id":"{ZONE}","curb_space_id":"{SPACE}","data_source_type":"in_ground","data_source_device_id":"{SPACE}","ext":{{"schema_version":1,"tenant":"city","seq":{minute}}}}}"#
    )
}

#[tokio::test]
async fn sessions_and_alerts_that_are_older_than_the_log_outlive_the_store_under_their_ids() {
    let world = World::new();
    let mut runner = world.bare(stage).with_snapshots(world.place());
    world.count(&mut runner, &[&event("park_start", 1)]).await;
    world.lose(1);
    assert_eq!(runner.turn().await.unwrap(), Turn::Idle);
    world.count(&mut runner, &[&event("park_end", 30)]).await;
    let alerts = StreamPartition { stream: Stream::Alerts, partition: 0 };
    for (at, id, word, words) in [
        (SESSIONS, "session_id", "record_type", ["session.started", "session.ended"]),
        (alerts, "alert_id", "state", ["firing", "resolved"]),
    ] {
        let told: Vec<Value> =
            world.told(at).await.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let told: Vec<_> = told.iter().filter(|record| record["record_type"] != "watermark").collect();
        assert_eq!(told.iter().map(|record| record[word].as_str().unwrap()).collect::<Vec<_>>(), words);
        assert!(told[0][id].is_string());
        assert_eq!(told[0][id], told[1][id], "{id}");
    }
}
