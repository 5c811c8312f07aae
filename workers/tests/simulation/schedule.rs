//! The scheduler: one thread, one seed. Picks which task goes on, and does to tasks, stores and clocks
//! what the world does to them.
//!
//! Invariant: nothing but the seed decides; every await of every task is a place where another may go
//! on, where the task may be dropped, or where it may be left standing until it is a zombie.

mod mischief;

use std::{
    cell::Cell,
    collections::VecDeque,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_crds::duration::Duration;
use parking_workers::{
    ports::event_log::{EventLog, Partition, Stream, StreamPartition},
    runtime::{
        archive::{Archive, ArchiveError, Flush},
        stage::{Stage, StageError, StageRunner, Turn},
    },
};

use crate::{
    chance::Chance,
    faults::{FaultKind, UNHEARD},
    planted::let_others_go,
    rules::TENANT,
    trace::Trace,
    world::{Checkpoint, Player, World},
};

const OWNERS: usize = 2;
const MOST_STEPS: u64 = 60_000;
/// So many happen before time goes on.
const STEPS_OF_AN_INSTANT: u64 = 4;
/// What a stage takes for silence.
const SILENCE: Duration = Duration::from_secs(60);

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// Who should run a stage, and who thinks that he should.
struct Seat {
    holder: Cell<usize>,
    believes: [Cell<bool>; OWNERS],
    /// Until then nobody gives up.
    contested_until: Cell<u64>,
    /// Ticks that may still be written.
    ticks: Cell<u32>,
}

/// What a task does.
#[derive(Clone, Copy, Debug)]
enum Task {
    Produce(Partition),
    Play(Player, Partition),
    Archive,
}

struct Actor {
    owner: usize,
    task: Task,
    life: Life,
    frozen_until: u64,
}

/// A run in progress.
pub(crate) struct Schedule<'w> {
    world: &'w World,
    chance: Chance,
    step: Rc<Cell<u64>>,
    actors: Vec<Actor>,
    /// Of each player in turn, by partition.
    seats: Vec<Rc<Seat>>,
    /// Next batch of each producer: what survives its crash.
    positions: Vec<Rc<Cell<usize>>>,
    checkpoints: VecDeque<Checkpoint>,
    roll_backs: u64,
    /// The store, and how many claims there were, before the claim that will be rolled back.
    before_claim: Option<(Checkpoint, u64)>,
    claim_roll_backs: u64,
    flushes: u64,
}

impl<'w> Schedule<'w> {
    pub(crate) fn new(world: &'w World, seed: u64) -> Self {
        let partitions = world.script.partitions;
        let seat = |number| {
            let holder = number % OWNERS;
            let believes = std::array::from_fn(|owner| Cell::new(owner == holder));
            Rc::new(Seat {
                holder: Cell::new(holder),
                believes,
                contested_until: Cell::new(0),
                ticks: Cell::new(4),
            })
        };
        let mut schedule = Self {
            world,
            chance: Chance::new(seed, 3),
            step: Rc::default(),
            actors: Vec::new(),
            seats: (0..world.players().len() * partitions as usize).map(seat).collect(),
            positions: (0..partitions).map(|_| Rc::default()).collect(),
            checkpoints: VecDeque::new(),
            roll_backs: 0,
            before_claim: None,
            claim_roll_backs: 0,
            flushes: 0,
        };
        let play = |partition| world.players().iter().map(move |player| Task::Play(*player, partition));
        let stages = (0..partitions).flat_map(play);
        let tasks: Vec<Task> = stages.chain([Task::Archive]).collect();
        let mut cast: Vec<_> =
            (0..OWNERS).flat_map(|owner| tasks.iter().map(move |task| (owner, *task))).collect();
        cast.extend((0..partitions).map(|partition| (OWNERS, Task::Produce(partition))));
        for (owner, task) in cast {
            let life = schedule.begin(owner, task);
            schedule.actors.push(Actor { owner, task, life, frozen_until: 0 });
        }
        schedule
    }

    /// Runs until all is stepped or the steps are used up; answers how many it took.
    pub(crate) fn run(&mut self) -> u64 {
        let mut context = Context::from_waker(Waker::noop());
        for step in 0..MOST_STEPS {
            self.step.set(step);
            if step.is_multiple_of(STEPS_OF_AN_INSTANT) {
                self.world.clock.advance(Duration::from_millis(self.chance.between(4, 160)));
            }
            self.make_mischief();
            let index = self.chance.index(self.actors.len());
            let actor = &mut self.actors[index];
            if actor.frozen_until > step {
                continue;
            }
            self.world.trace.note(format_args!("{step} {:?} of {}", actor.task, actor.owner));
            let unheard = self.world.trace.times(FaultKind::AmbiguousLakeCommit);
            if actor.life.as_mut().poll(&mut context).is_ready() {
                // Only a producer ends: what it has to say is said.
                actor.life = Box::pin(std::future::pending());
            }
            if self.world.trace.times(FaultKind::AmbiguousLakeCommit) > unheard && self.chance.hits(UNHEARD) {
                self.crash(index);
                self.world.trace.struck(FaultKind::UnheardLakeCommit, 1);
            }
            if step.is_multiple_of(64) && self.is_done() {
                break;
            }
        }
        self.step.get()
    }

    fn is_done(&self) -> bool {
        let world = self.world;
        let appended = world.script.batches.iter().zip(&self.positions);
        let stepped = |partition| {
            let end = world.end(partition);
            let stands_there = |player: &Player| {
                world.stored(player.role(), partition).is_some_and(|one| one.next_offset == end)
            };
            world.players().iter().all(stands_there)
        };
        appended.into_iter().all(|(batches, position)| position.get() == batches.len())
            && (0..world.script.partitions).all(stepped)
    }

    /// No more faults: everything starts once more and runs to its end.
    pub(crate) fn settle(&mut self) {
        self.actors.clear();
        self.world.calm_down();
        for partition in 0..self.world.script.partitions {
            self.finish("a producer", self.begin(OWNERS, Task::Produce(partition)));
        }
        for partition in 0..self.world.script.partitions {
            for player in self.world.players() {
                let trace = self.world.trace.clone();
                let life: Life = match player {
                    Player::Occupancy => Box::pin(until_idle(self.world.occupancy(partition), trace)),
                    Player::Alert => Box::pin(until_idle(self.world.alert(partition), trace)),
                    Player::Together => Box::pin(until_idle(self.world.together(partition), trace)),
                };
                self.finish(player.role(), life);
            }
        }
        let (mut archive, trace) =
            (self.world.archive(9, (0..self.world.script.partitions).collect()), self.world.trace.clone());
        let rest = async move {
            if let Err(error) = archive.run_until_idle(Flush::Now).await {
                trace.wrong(format!("the archive cannot finish: {error}"));
            }
        };
        self.finish("the archive", Box::pin(rest));
    }

    fn finish(&self, what: &str, life: Life) {
        let mut context = Context::from_waker(Waker::noop());
        let mut life = pin!(life);
        for _ in 0..20_000 {
            if let Poll::Ready(()) = life.as_mut().poll(&mut context) {
                return;
            }
            self.world.clock.advance(Duration::from_millis(100));
        }
        self.world.trace.wrong(format!("{what} does not come to an end"));
    }

    fn begin(&self, owner: usize, task: Task) -> Life {
        let (world, trace) = (self.world, self.world.trace.clone());
        let step = Rc::clone(&self.step);
        match task {
            Task::Produce(partition) => {
                let position = Rc::clone(&self.positions[partition as usize]);
                let at = StreamPartition { stream: Stream::Events, partition };
                let batches = world.script.batches[partition as usize].clone();
                Box::pin(produce(world.faulty_log(), at, batches, position))
            }
            Task::Play(player, partition) => {
                let turn = world.players().iter().position(|one| *one == player).unwrap();
                let seat = turn * world.script.partitions as usize + partition as usize;
                let seat = Rc::clone(&self.seats[seat]);
                match player {
                    Player::Occupancy => {
                        Box::pin(serve(world.occupancy(partition), seat, owner, step, trace))
                    }
                    Player::Alert => Box::pin(serve(world.alert(partition), seat, owner, step, trace)),
                    Player::Together => Box::pin(serve(world.together(partition), seat, owner, step, trace)),
                }
            }
            Task::Archive => {
                let archive = world.archive(owner as u64, self.share_of_an_archive());
                Box::pin(keep_archiving(archive, trace))
            }
        }
    }
}

impl Schedule<'_> {
    /// All partitions, or all but one: shares of archives overlap and change with each start.
    fn share_of_an_archive(&self) -> Vec<Partition> {
        let left_out = self.world.starts() % 5;
        (0..self.world.script.partitions).filter(|partition| u64::from(*partition) != left_out).collect()
    }
}

/// Appends batch after batch, and the same again whenever it is not sure.
async fn produce(
    log: Arc<dyn EventLog>,
    at: StreamPartition,
    batches: Vec<Vec<Bytes>>,
    position: Rc<Cell<usize>>,
) {
    while let Some(batch) = batches.get(position.get()) {
        let parts = vec![(at, batch.iter().collect())];
        if log.append(parts).await.is_ok() {
            position.set(position.get() + 1);
        }
        let_others_go().await;
    }
}

/// Turns a stage as long as the owner thinks that it is his.
async fn serve<S: Stage>(
    mut runner: StageRunner<S>,
    seat: Rc<Seat>,
    owner: usize,
    step: Rc<Cell<u64>>,
    trace: Trace,
) {
    loop {
        let_others_go().await;
        if !seat.believes[owner].get() {
            continue;
        }
        match runner.turn().await {
            Ok(Turn::Fenced) if seat.holder.get() != owner && seat.contested_until.get() <= step.get() => {
                seat.believes[owner].set(false);
            }
            Ok(Turn::Idle) if runner.tells_time() && seat.ticks.get() > 0 && step.get().is_multiple_of(9) => {
                seat.ticks.set(seat.ticks.get() - 1);
                // A tick that fails is made up for by the next one.
                let _ = runner.tick(TENANT, SILENCE).await;
            }
            Ok(_) | Err(StageError::Port(_)) => {}
            Err(error) => trace.wrong(error.to_string()),
        }
    }
}

async fn until_idle<S: Stage>(mut runner: StageRunner<S>, trace: Trace) {
    loop {
        match runner.turn().await {
            Ok(Turn::Idle) => return,
            Ok(_) => {}
            Err(error) => return trace.wrong(format!("a stage cannot finish: {error}")),
        }
    }
}

async fn keep_archiving(mut archive: Archive, trace: Trace) {
    loop {
        match archive.run_once(Flush::AtLimits).await {
            Ok(_) | Err(ArchiveError::Port(_)) => {}
            Err(error) => trace.wrong(error.to_string()),
        }
        let_others_go().await;
    }
}
