//! A member's share of the partitions: one stage each, begun and ended as the group says.
//!
//! Must not know what a stage does. Invariants: a partition that is asked back is committed before it is released;
//! one that was lost is dropped as it stands; trouble with one partition, a panic too, holds back no other, is told on
//! the board, and is tried again without end, more and more slowly.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{duration::Duration, event::Millis};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
};

use super::{
    rest::Silence,
    stage::{Stage, StageError, StageRunner, Turn},
    standing::{ShareBoard, Standing},
};
use crate::ports::{
    PortResult,
    event_log::{Offset, Partition, Stream, StreamPartition},
    membership::{Change, Membership},
};

const FIRST_PAUSE: Millis = 100;
const LONGEST_PAUSE: Millis = 10_000;
/// How often positions are told to those who measure lag.
const REPORT: Duration = Duration::from_secs(1);

/// What a stage's task is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Work,
    Settle,
}

struct Task {
    order: watch::Sender<Order>,
    abort: AbortHandle,
}

/// See the module.
pub struct Share<M> {
    membership: Arc<dyn Membership>,
    silence: Silence,
    make: M,
    board: ShareBoard,
    stages: JoinSet<()>,
    tasks: BTreeMap<Partition, Task>,
    /// What was reported last.
    told: Vec<(Partition, Offset)>,
}

impl<S, M> Share<M>
where
    S: Stage + 'static,
    M: Fn(Partition) -> StageRunner<S>,
{
    /// A share of nothing yet; `make` gives the runner of a partition.
    pub fn new(membership: Arc<dyn Membership>, silence: Silence, board: ShareBoard, make: M) -> Self {
        Self {
            membership,
            silence,
            make,
            board,
            stages: JoinSet::new(),
            tasks: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Works until `stop` completes; then what was done is committed and the group is left.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) -> PortResult<()> {
        let membership = Arc::clone(&self.membership);
        let clock = Arc::clone(&self.silence.clock);
        let mut stop = Box::pin(stop);
        loop {
            tokio::select! {
                change = membership.change() => self.apply(change?).await,
                Some(Err(error)) = self.stages.join_next() => self.begin_again(&error),
                () = clock.pause(REPORT) => self.report().await,
                () = &mut stop => break,
            }
        }
        let all: Vec<_> = self.tasks.keys().copied().collect();
        self.settle(&all).await;
        membership.leave().await
    }

    async fn apply(&mut self, change: Change) {
        match change {
            Change::Assigned(partitions) => {
                for partition in partitions {
                    self.board.set(source(partition), Standing::default());
                    self.begin(partition, Duration::ZERO);
                }
                self.board.joined();
            }
            Change::Revoked(partitions, release) => {
                self.settle(&partitions).await;
                drop(release);
            }
            Change::Lost(partitions) => {
                for partition in &partitions {
                    if let Some(task) = self.tasks.get(partition) {
                        task.abort.abort();
                    }
                }
                self.await_ends(&partitions).await;
                self.forget(&partitions);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "partitions of a share run side by side")]
    fn begin(&mut self, partition: Partition, after: Duration) {
        let (order, orders) = watch::channel(Order::Work);
        let work = Work {
            runner: (self.make)(partition),
            membership: Arc::clone(&self.membership),
            silence: self.silence.clone(),
            board: self.board.clone(),
            orders,
            begun: self.silence.clock.monotonic(),
        };
        let abort = self.stages.spawn(async move {
            work.unless_ordered(work.silence.clock.pause(after)).await;
            work.run(partition).await;
        });
        self.tasks.insert(partition, Task { order, abort });
    }

    /// A stage that panicked begins again as if it had been killed.
    fn begin_again(&mut self, ended: &JoinError) {
        let panicked = |task: &&Task| task.abort.id() == ended.id() && ended.is_panic();
        let mut tasks = self.tasks.iter();
        let Some(partition) = tasks.find_map(|(partition, task)| panicked(&task).then_some(*partition))
        else {
            return;
        };
        tracing::error!(partition, "a stage panicked, beginning again: {ended}");
        self.board.change(source(partition), |standing| {
            standing.trouble =
                Some(format!("its stage panicked, which is an error of this program: {ended}"));
            standing.failures += 1;
        });
        self.begin(partition, Duration::from_millis(LONGEST_PAUSE));
    }

    /// Lets stages commit what they have done, tells how far they came, and ends them.
    async fn settle(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(task) = self.tasks.get(partition) {
                task.order.send_replace(Order::Settle);
            }
        }
        self.await_ends(partitions).await;
        self.report().await;
        self.forget(partitions);
    }

    /// Waits until none of the partitions has a task.
    async fn await_ends(&mut self, partitions: &[Partition]) {
        let runs = |tasks: &BTreeMap<Partition, Task>| {
            partitions
                .iter()
                .any(|partition| tasks.get(partition).is_some_and(|task| !task.abort.is_finished()))
        };
        while runs(&self.tasks) {
            if self.stages.join_next().await.is_none() {
                break;
            }
        }
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.tasks.remove(partition);
            self.board.remove(source(*partition));
        }
    }

    async fn report(&mut self) {
        let positions = self.board.positions(Stream::Events);
        if positions == self.told {
            return;
        }
        match self.membership.report(&positions).await {
            Ok(()) => self.told = positions,
            Err(error) => tracing::debug!("positions not told: {error}"),
        }
    }
}

/// What the stages of a partition read.
fn source(partition: Partition) -> StreamPartition {
    StreamPartition { stream: Stream::Events, partition }
}

/// The task of one partition.
struct Work<S> {
    runner: StageRunner<S>,
    membership: Arc<dyn Membership>,
    silence: Silence,
    board: ShareBoard,
    orders: watch::Receiver<Order>,
    begun: Millis,
}

impl<S: Stage> Work<S> {
    async fn run(mut self, partition: Partition) {
        let (mut pause, mut heard) = (FIRST_PAUSE, self.silence.clock.monotonic());
        while *self.orders.borrow_and_update() == Order::Work {
            match self.turn(partition, heard).await {
                Ok(at) => (pause, heard) = (FIRST_PAUSE, at),
                Err(error) => {
                    self.tell(partition, &error);
                    let clock = Arc::clone(&self.silence.clock);
                    self.unless_ordered(clock.pause(Duration::from_millis(pause))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        if let Err(error) = self.runner.settle().await {
            tracing::warn!(partition, "what was done since the last commit is done again: {error}");
        }
        self.stands(partition);
    }

    /// One turn, and the rest after it where there is nothing to read. Answers when something was last heard.
    async fn turn(&mut self, partition: Partition, heard: Millis) -> Result<Millis, StageError> {
        let turn = self.runner.turn().await?;
        self.stands(partition);
        match turn {
            Turn::Advanced => {
                self.first_record(partition);
                tokio::task::yield_now().await;
                Ok(self.silence.clock.monotonic())
            }
            Turn::Idle | Turn::Waiting => {
                let mut orders = self.orders.clone();
                tokio::select! {
                    rested = self.silence.rest(&self.runner, heard) => rested,
                    _ = orders.changed() => Ok(heard),
                }
            }
            Turn::Fenced => {
                tracing::warn!(partition, "another owner took a stage over");
                self.until_current(partition).await?;
                Ok(heard)
            }
        }
    }

    /// A member that the group has forgotten claims nothing: it would only disturb who owns the partition now.
    async fn until_current(&mut self, partition: Partition) -> Result<(), StageError> {
        let committed = self.board.read().get(&source(partition)).and_then(|standing| standing.committed);
        let Some(committed) = committed else { return Ok(()) };
        while *self.orders.borrow_and_update() == Order::Work {
            let mut orders = self.orders.clone();
            tokio::select! {
                current = self.membership.is_current((partition, committed)) => if current? { break },
                _ = orders.changed() => break,
            }
            let clock = Arc::clone(&self.silence.clock);
            self.unless_ordered(clock.pause(REPORT)).await;
        }
        Ok(())
    }

    async fn unless_ordered(&self, wait: impl Future<Output = ()>) {
        let mut orders = self.orders.clone();
        tokio::select! {
            () = wait => {}
            _ = orders.changed() => {}
        }
    }

    fn stands(&mut self, partition: Partition) {
        let committed = self.runner.committed_offset();
        let done = self.runner.take_done();
        if done.read > 0 {
            self.board.add(&done);
        }
        self.board.rules_changed(source(partition), self.runner.take_rule_news());
        self.board.change(source(partition), |standing| {
            standing.committed = committed.or(standing.committed);
            standing.losses = self.runner.losses();
            standing.state_bytes = self.runner.stored_bytes().or(standing.state_bytes);
            if let Some(account) = self.runner.account() {
                standing.watermark = account.watermark;
                standing.zones = account.totals.as_ref().map(|totals| totals.zones);
            }
            if committed.is_some() {
                (standing.trouble, standing.lost) = (None, false);
            }
        });
    }

    fn first_record(&self, partition: Partition) {
        let since = self.silence.clock.monotonic() - self.begun;
        self.board.change(source(partition), |standing| {
            standing.first_record_after.get_or_insert(Duration::from_millis(since));
        });
    }

    fn tell(&self, partition: Partition, error: &StageError) {
        let trouble = crate::sentence::sentence(error);
        tracing::warn!(partition, "a stage failed, trying again: {trouble}");
        self.board.change(source(partition), |standing| {
            standing.trouble = Some(trouble);
            standing.lost = matches!(error, StageError::Expired { .. } | StageError::ForeignLog { .. });
            standing.failures += 1;
        });
    }
}

#[cfg(test)]
mod tests;
