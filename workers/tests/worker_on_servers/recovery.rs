//! How long a role is away after a fault, while readings keep coming.
//!
//! **The recovery time of a role** is the time from the fault (from its end, where a server or the network was away)
//! until on every partition of the role's input something has been worked off that arrived after that moment: some
//! worker of the role is ready and shows a committed position beyond where the partition ended then. What stood in
//! the input is worked off by then, too, so that the time holds any backlog. For ingest it is the time until every
//! partition of the events ends later than it did. An archive commits with each file, so its time holds the age at
//! which a file is cut.
//!
//! Once the readings are over nothing comes that could be waited for: then what stands in the input is all.
//! Must not judge a time, nor disturb anything: it asks the log and the workers, and only while it waits.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use parking_crds::{
    role::Role,
    worker_status::{WorkerPhase, WorkerStatus},
};
use parking_workers::ports::event_log::{EventLog, Offset, Stream, all_bounds};
use tokio::{sync::watch, task::JoinSet};

use crate::process::Process;

/// Longest absence, beside other tests.
const LONGEST: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(50);

/// The recoveries of one run, several at a time.
pub(crate) struct Recoveries {
    view: Arc<View>,
    running: JoinSet<Duration>,
    /// How many of a role are under way.
    away: Arc<Mutex<BTreeMap<Role, usize>>>,
    done: Vec<Duration>,
}

/// What is looked at.
struct View {
    log: Box<dyn EventLog>,
    partitions: u32,
    /// Addresses of the workers by role.
    workers: BTreeMap<Role, Vec<String>>,
    /// True once the readings are over.
    over: watch::Receiver<bool>,
}

impl Recoveries {
    pub(crate) fn new(
        log: Box<dyn EventLog>,
        partitions: u32,
        workers: &[Process],
        over: watch::Receiver<bool>,
    ) -> Self {
        let mut by_role = BTreeMap::<Role, Vec<String>>::new();
        for worker in workers {
            by_role.entry(worker.role).or_default().push(worker.address.clone());
        }
        let view = Arc::new(View { log, partitions, workers: by_role, over });
        Self { view, running: JoinSet::new(), away: Arc::default(), done: Vec::new() }
    }

    /// Begins to measure how long a role is away that was struck just now.
    pub(crate) fn begin(&mut self, role: Role) {
        self.begin_at(role, Instant::now());
    }

    /// The same of a fault of the past; results count that come of what arrives from now on.
    pub(crate) fn begin_at(&mut self, role: Role, fault: Instant) {
        let (view, away) = (Arc::clone(&self.view), Arc::clone(&self.away));
        *away.lock().unwrap().entry(role).or_default() += 1;
        self.running.spawn(async move {
            view.until_past(role).await;
            let took = fault.elapsed();
            *away.lock().unwrap().entry(role).or_default() -= 1;
            println!("{role}: back after {:.1} s", took.as_secs_f64());
            took
        });
    }

    /// Whether some recovery of the role is under way.
    pub(crate) fn is_away(&self, role: Role) -> bool {
        self.away.lock().unwrap().get(&role).is_some_and(|under_way| *under_way > 0)
    }

    /// Measures how long a role is away that was struck just now, and waits until it is back.
    pub(crate) async fn measure(&mut self, role: Role) {
        self.begin(role);
        self.settle().await;
    }

    /// The same of every role.
    pub(crate) async fn measure_all(&mut self) {
        for role in self.view.workers.keys().copied().collect::<Vec<_>>() {
            self.begin(role);
        }
        self.settle().await;
    }

    /// Waits until some worker of a role tells that something is wrong.
    pub(crate) async fn until_troubled(&self, role: Role) {
        let asked = Instant::now();
        while !self.view.statuses(role).await.iter().any(|status| !status.problems.is_empty()) {
            assert!(asked.elapsed() < LONGEST, "{role} has no trouble");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until all that began is over.
    pub(crate) async fn settle(&mut self) {
        while let Some(recovered) = self.running.join_next().await {
            self.done.push(recovered.unwrap());
        }
    }

    /// All times.
    pub(crate) async fn times(mut self) -> Vec<Duration> {
        self.settle().await;
        self.done
    }
}

impl View {
    async fn ends(&self, stream: Stream) -> Vec<Offset> {
        let asked = Instant::now();
        loop {
            match all_bounds(self.log.as_ref(), stream, self.partitions).await {
                Ok(bounds) => return bounds.iter().map(|bounds| bounds.end).collect(),
                Err(error) => assert!(asked.elapsed() < LONGEST, "{error:?}"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until_past(&self, role: Role) {
        let (input, asked) = (input(role), Instant::now());
        let marks = self.ends(input).await;
        let reached = Mutex::new(vec![0; marks.len()]);
        let past = async {
            loop {
                let is_over = *self.over.borrow();
                if role == Role::Ingest {
                    let ends = self.ends(input).await;
                    reached.lock().unwrap().clone_from(&ends);
                }
                let now = reached.lock().unwrap().clone();
                let mut pairs = now.iter().zip(&marks);
                if pairs.all(|(reached, mark)| reached > mark || is_over && reached == mark) {
                    return;
                }
                assert!(asked.elapsed() < LONGEST, "{role} stands at {now:?}, not beyond {marks:?}");
                tokio::time::sleep(LOOK).await;
            }
        };
        // Who is held still keeps nobody from looking at the others.
        let looks = self.workers[&role].iter().map(|address| look(address, input, &reached));
        tokio::select! {
            () = past => {}
            _ = join_all(looks) => {}
        }
    }

    /// What those of a role tell who answer.
    async fn statuses(&self, role: Role) -> Vec<WorkerStatus> {
        let asked = self.workers[&role].iter().map(|address| status(address));
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Writes down how far a worker has come on each partition, whenever it is ready.
async fn look(address: &str, input: Stream, reached: &Mutex<Vec<Offset>>) -> Infallible {
    loop {
        if let Some(status) = status(address).await.filter(|status| status.phase == WorkerPhase::Running) {
            let mut reached = reached.lock().unwrap();
            for report in status.partitions.iter().filter(|report| report.stream == input) {
                let known = &mut reached[usize::from(report.partition)];
                *known = report.position.max(*known);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a role shares out among its workers; of ingest, what it writes.
const fn input(role: Role) -> Stream {
    match role {
        Role::Notify => Stream::Alerts,
        _ => Stream::Events,
    }
}

/// What a worker tells of itself, if it answers.
async fn status(address: &str) -> Option<WorkerStatus> {
    let asked = reqwest::Client::new().get(format!("http://{address}/status"));
    asked.timeout(Duration::from_secs(5)).send().await.ok()?.json().await.ok()
}
