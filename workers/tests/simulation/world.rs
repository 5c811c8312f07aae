//! The stores of a run, which outlive every task, and what reaches them through faults.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::{
        decorate::{Chances, Fault, FaultPlan, Faulty},
        memory::{MemoryClock, MemoryEventLog, MemoryLake, MemoryStateStore, StateCheckpoint, VisibleFile},
    },
    domain::alert::Settings,
    ports::{
        event_log::{EventLog, Offset, Partition, Stream, StreamPartition},
        lake::{Lake as _, Position, Table},
        object_store::ObjectStore,
        state_store::{BlockKey, StageKey, StateStore, Stored, Token},
    },
    runtime::{
        alert::Alert,
        archive::{Archive, ArchivePorts, ArchiveSettings, NdjsonEncoder, RollAfter},
        occupancy::Occupancy,
        role::{Duty, RoleStage, Together},
        snapshot::{SnapshotLimits, SnapshotPlace},
        stage::{CommitLimits, Stage, StagePorts, StageRunner},
    },
};
use uuid::Uuid;

use crate::{
    chance::Chance,
    faults::{CALLS, FaultKind},
    planted::{Flawed, Lake, Ledger, Log, Objects, Plant, Store},
    rules::{self, TENANT},
    script::Script,
    trace::Trace,
    witness::Witness,
};

/// Everything that lasts.
pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) trace: Trace,
    pub(crate) clock: MemoryClock,
    plant: Plant,
    ledger: Ledger,
    /// Faults of the log, the state store and the lake.
    plan: FaultPlan,
    /// Faults of the object store, counted apart.
    objects_plan: FaultPlan,
    log: MemoryEventLog,
    store: MemoryStateStore,
    lake: MemoryLake,
    doubles: Doubles,
    /// Records of events that the log has removed, by partition.
    expired: Vec<RefCell<Vec<Bytes>>>,
    commit: CommitLimits,
    snapshots: SnapshotLimits,
    roll: RollAfter,
    owners: Arc<AtomicU64>,
    /// One process has both duties of a partition.
    is_together: bool,
}

/// Who steps the records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    Occupancy,
    Alert,
    Together,
}

impl Player {
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Occupancy => Occupancy::ROLE,
            Self::Alert => Alert::ROLE,
            Self::Together => Together::ROLE,
        }
    }
}

/// The doubles that keep something of their own.
struct Doubles {
    log: Log,
    store: Store,
    lake: Lake,
    objects: Objects,
}

/// The state store and its ledger at one time.
pub(crate) struct Checkpoint {
    store: StateCheckpoint,
    ledger: BTreeMap<StageKey, Token>,
}

impl World {
    pub(crate) fn new(seed: u64, plant: Plant, trace: Trace) -> Self {
        let script = Script::new(seed);
        let mut chance = Chance::new(seed, 2);
        let log = MemoryEventLog::new(Uuid::from_u128(1), script.partitions);
        let (store, lake) = (MemoryStateStore::default(), MemoryLake::default());
        let ledger = Ledger::default();
        let doubles = Doubles {
            log: Log::new(log.clone(), plant),
            store: Store::new(store.clone(), plant, ledger.clone(), trace.clone()),
            lake: Lake::new(lake.clone(), plant),
            objects: Objects::new(plant, trace.clone()),
        };
        let commit = CommitLimits {
            records: 6 + chance.below(30),
            outputs: 4 + chance.index(12),
            age: Duration::from_secs(1),
            outbox_delay: None,
            fetch_bytes: 1_500 + chance.index(8_000),
        };
        let roll = RollAfter {
            rows: 8 + chance.below(40),
            bytes: 64 * 1024,
            age: chance.hits(500).then(|| Duration::from_secs(3)),
        };
        let snapshots = SnapshotLimits { age: Duration::from_millis(chance.between(500, 8_000)) };
        Self {
            expired: (0..script.partitions).map(|_| RefCell::default()).collect(),
            script,
            trace,
            clock: MemoryClock::new(1_760_700_000_000),
            plant,
            ledger,
            plan: FaultPlan::new(chance.below(u64::MAX), CALLS),
            objects_plan: FaultPlan::new(chance.below(u64::MAX), CALLS),
            log,
            store,
            lake,
            doubles,
            commit,
            snapshots,
            roll,
            owners: Arc::default(),
            is_together: chance.hits(500),
        }
    }

    /// The log as producers and stages meet it.
    pub(crate) fn faulty_log(&self) -> Arc<dyn EventLog> {
        let faulty = Faulty::new(self.doubles.log.clone(), self.plan.clone());
        Arc::new(Witness::new(faulty, self.trace.clone()))
    }

    fn faulty_objects(&self) -> Arc<dyn ObjectStore> {
        let faulty = Faulty::new(self.doubles.objects.clone(), self.objects_plan.clone());
        Arc::new(Witness::new(faulty, self.trace.clone()))
    }

    fn stage_ports(&self) -> StagePorts {
        let store = Faulty::new(self.doubles.store.clone(), self.plan.clone());
        StagePorts {
            log: self.faulty_log(),
            store: Arc::new(Witness::new(store, self.trace.clone())),
            clock: Arc::new(self.clock.clone()),
        }
    }

    fn runner<S: Stage + 'static>(
        &self,
        partition: Partition,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> StageRunner<Flawed<S>> {
        let (plant, owners) = (self.plant, Arc::clone(&self.owners));
        let make = move || Flawed::new(make(), plant);
        let draw = move || Uuid::from_u128(u128::from(owners.fetch_add(1, Ordering::Relaxed)));
        let place = SnapshotPlace { objects: self.faulty_objects(), limits: self.snapshots };
        StageRunner::new(self.stage_ports(), partition, self.commit, make, draw).with_snapshots(place)
    }

    fn role_stage<D: Duty + 'static>(
        &self,
        partition: Partition,
        duty: impl Fn() -> D + Send + Sync + 'static,
    ) -> StageRunner<Flawed<RoleStage<D>>> {
        let (limits, inventory) = (self.script.limits, Arc::clone(&self.script.inventory));
        self.runner(partition, move || RoleStage::new(limits, &inventory, duty()))
    }

    fn alert_duty(&self, partition: Partition) -> impl Fn() -> Alert + Send + Sync + 'static {
        let inventory = Arc::clone(&self.script.inventory);
        let (rules, settings) = (rules::compiled(), Settings { tenant: TENANT.to_owned(), partition });
        move || Alert::new(&inventory, &rules, settings.clone())
    }

    pub(crate) fn occupancy(&self, partition: Partition) -> StageRunner<Flawed<RoleStage<Occupancy>>> {
        self.role_stage(partition, Occupancy::default)
    }

    pub(crate) fn alert(&self, partition: Partition) -> StageRunner<Flawed<RoleStage<Alert>>> {
        self.role_stage(partition, self.alert_duty(partition))
    }

    pub(crate) fn together(&self, partition: Partition) -> StageRunner<Flawed<RoleStage<Together>>> {
        let alert = self.alert_duty(partition);
        self.role_stage(partition, move || (Occupancy::default(), alert()))
    }

    /// How the duties are shared out, the same for all partitions.
    pub(crate) fn players(&self) -> &'static [Player] {
        if self.is_together { &[Player::Together] } else { &[Player::Occupancy, Player::Alert] }
    }

    /// The role under which the player, or who plays its part, keeps its state.
    pub(crate) fn role_of(&self, player: Player) -> &'static str {
        if self.is_together { Together::ROLE } else { player.role() }
    }

    pub(crate) fn archive(&self, owner: u64, partitions: Vec<Partition>) -> Archive {
        let lake = Faulty::new(self.doubles.lake.clone(), self.plan.clone());
        let ports = ArchivePorts {
            log: self.faulty_log(),
            lake: Arc::new(Witness::new(lake, self.trace.clone())),
            objects: self.faulty_objects(),
            clock: Arc::new(self.clock.clone()),
            encoder: Arc::new(NdjsonEncoder),
        };
        let settings = ArchiveSettings {
            partitions,
            roll_after: self.roll,
            limits: self.script.limits,
            inventory: Arc::clone(&self.script.inventory),
            jitter: owner,
        };
        Archive::new(ports, settings)
    }

    /// How often something was started, more or less: grows with each claim.
    pub(crate) fn starts(&self) -> u64 {
        self.owners.load(Ordering::Relaxed)
    }

    /// From now on calls fail no more.
    pub(crate) fn calm_down(&self) {
        self.plan.set_chances(Chances::default());
        self.objects_plan.set_chances(Chances::default());
    }

    /// Counts the faults that the plans dealt out.
    pub(crate) fn count_faults(&self) {
        let struck = self.plan.struck();
        let kinds = [
            (Fault::Duplicate, FaultKind::DuplicateDelivery),
            (Fault::Torn, FaultKind::TornWrite),
            (Fault::Delay, FaultKind::Delay),
        ];
        for (fault, kind) in kinds {
            self.trace.struck(kind, struck.get(&fault).copied().unwrap_or_default());
        }
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { store: self.store.checkpoint(), ledger: self.ledger.checkpoint() }
    }

    pub(crate) fn roll_back(&self, to: Checkpoint) {
        self.store.roll_back(to.store);
        self.ledger.roll_back(to.ledger);
    }

    /// Everything in the state store is gone.
    pub(crate) fn flush(&self) {
        self.store.flush();
        self.ledger.roll_back(BTreeMap::new());
    }

    /// Claims so far, those that were forgotten too.
    pub(crate) fn claims(&self) -> u64 {
        self.ledger.claims()
    }

    /// Removes the events of a partition that nobody needs again: each stage has a snapshot after them, and the
    /// lake has them.
    pub(crate) fn expire(&self, partition: Partition) {
        let archived = self.position(Table::Events, partition).map_or(0, |position| position.last_offset + 1);
        let kept = |player: &Player| {
            at_once(self.doubles.objects.newest_snapshot(player.role(), partition)).unwrap_or(0)
        };
        let before = self.players().iter().map(kept).fold(archived, Offset::min);
        let start = self.expired[partition as usize].borrow().len();
        let mut records = self.records(Stream::Events, partition);
        records.truncate(usize::try_from(before).unwrap());
        if records.len() > start {
            self.expired[partition as usize].replace(records);
            self.log.expire(StreamPartition { stream: Stream::Events, partition }, before);
            self.trace.note(format_args!("partition {partition} expired up to {before}"));
            self.trace.struck(FaultKind::LogExpired, 1);
        }
    }

    /// All records of a partition, those that the log has removed too.
    pub(crate) fn records(&self, stream: Stream, partition: Partition) -> Vec<Bytes> {
        let at = StreamPartition { stream, partition };
        let mut records = match stream {
            Stream::Events => self.expired[partition as usize].borrow().clone(),
            _ => Vec::new(),
        };
        loop {
            let fetched = at_once(self.log.read(at, records.len() as Offset, usize::MAX)).unwrap();
            if fetched.records.is_empty() {
                return records;
            }
            records.extend(fetched.records.iter().map(|record| fetched.records.bytes().slice_ref(record)));
        }
    }

    /// Offset after the last event of a partition.
    pub(crate) fn end(&self, partition: Partition) -> Offset {
        at_once(self.log.bounds(StreamPartition { stream: Stream::Events, partition })).unwrap().end
    }

    pub(crate) fn stored(&self, role: &'static str, partition: Partition) -> Option<Stored> {
        at_once(self.store.peek(&StageKey { role, partition })).unwrap()
    }

    pub(crate) fn blocks(&self, role: &'static str, partition: Partition) -> Vec<(BlockKey, Bytes)> {
        self.stored(role, partition).map(|stored| stored.blocks).unwrap_or_default()
    }

    pub(crate) fn position(&self, table: Table, partition: Partition) -> Option<Position> {
        at_once(self.lake.snapshot(table)).unwrap().positions.get(&partition).copied()
    }

    pub(crate) fn files(&self, table: Table) -> Vec<VisibleFile> {
        self.lake.visible(table)
    }
}

/// The outcome of a future that never waits, as those of the adapters in memory.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a store in memory waited"),
    }
}
