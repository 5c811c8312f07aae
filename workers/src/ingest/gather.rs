//! Appends of many requests as few: while one append to a partition is under way, the next gathers.
//!
//! Must not wait for more to come: an append begins as soon as the one before it was answered, so a
//! single sender waits for nobody, and many share the cost of a sync.
//!
//! Invariants: a request is answered only after the log answered for all of it (G1); a partition that takes nothing
//! holds up those alone who write to it; bytes that were admitted and not answered are bounded; the order of one
//! sender's requests, each sent after the answer to the one before, is the order of the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinSet,
};

use crate::ports::{
    ErrorKind, PortError,
    event_log::{EventLog, Partition, Records, RecordsBuilder, Stream, StreamPartition},
};

/// Why an append failed; the senders of all its requests are told the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log did not take the records: {reason}")]
pub struct AppendFailed {
    /// What a sender branches on.
    pub kind: ErrorKind,
    /// For people.
    pub reason: Arc<str>,
}

impl From<PortError> for AppendFailed {
    fn from(error: PortError) -> Self {
        let reason = crate::sentence::sentence(&error);
        Self { kind: error.kind, reason: reason.into() }
    }
}

type Answer = oneshot::Sender<Result<(), AppendFailed>>;

/// What is handed in of one partition.
#[derive(Default)]
struct Lane {
    records: RecordsBuilder,
    /// Whose they are.
    requests: Vec<u64>,
    /// An append is under way.
    is_busy: bool,
}

/// A request that is not answered yet.
struct Request {
    /// Lanes of which no answer came.
    open: usize,
    /// The first failure.
    outcome: Result<(), AppendFailed>,
    answer: Answer,
}

#[derive(Default)]
struct Gathered {
    lanes: BTreeMap<StreamPartition, Lane>,
    requests: BTreeMap<u64, Request>,
    next: u64,
    closed: bool,
}

impl Gathered {
    fn answered(&mut self, number: u64, outcome: &Result<(), AppendFailed>) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        request.open = request.open.saturating_sub(1);
        if request.outcome.is_ok() {
            request.outcome.clone_from(outcome);
        }
        if request.open > 0 {
            return;
        }
        if let Some(Request { outcome, answer, .. }) = self.requests.remove(&number) {
            // A sender that went away waits for no answer.
            let _ = answer.send(outcome);
        }
    }
}

/// An append that was answered.
struct Appended {
    at: StreamPartition,
    requests: Vec<u64>,
    outcome: Result<(), AppendFailed>,
}

/// Where requests hand in their records; a clone hands in to the same.
#[derive(Clone)]
pub struct Gather {
    gathered: Arc<Mutex<Gathered>>,
    arrived: Arc<Notify>,
    room: Arc<Semaphore>,
}

/// Records that were handed in.
#[derive(Debug)]
pub struct Submitted(oneshot::Receiver<Result<(), AppendFailed>>);

impl Submitted {
    /// Waits until all of them are in the log.
    pub async fn appended(self) -> Result<(), AppendFailed> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Bytes that are under way to the log; the room is free again with its end.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

impl Held {
    /// Both as one.
    pub fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

impl Gather {
    /// Room for so many bytes under way.
    pub fn new(room: usize) -> Self {
        let room = room.min(Semaphore::MAX_PERMITS);
        Self {
            gathered: Arc::default(),
            arrived: Arc::new(Notify::new()),
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Room for `bytes`, if there is some now.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(bytes).ok().map(Held)
    }

    /// Room for `bytes` as soon as there is some, in the order of asking; `None` if there never is.
    pub async fn wait_for_room(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.room).acquire_many_owned(bytes).await.ok().map(Held)
    }

    /// Bytes that may still be held.
    pub fn free(&self) -> usize {
        self.room.available_permits()
    }

    /// Hands records in, in the order of the calls.
    pub fn submit<R: AsRef<[u8]>>(
        &self,
        stream: Stream,
        records: impl IntoIterator<Item = (Partition, R)>,
    ) -> Result<Submitted, AppendFailed> {
        let (answer, answered) = oneshot::channel();
        {
            let mut gathered = self.lock();
            if gathered.closed {
                return Err(closed());
            }
            let (number, mut touched) = (gathered.next, BTreeSet::new());
            gathered.next += 1;
            for (partition, record) in records {
                let at = StreamPartition { stream, partition };
                let lane = gathered.lanes.entry(at).or_default();
                lane.records.push(record.as_ref());
                if touched.insert(at) {
                    lane.requests.push(number);
                }
            }
            if touched.is_empty() {
                // The receiver stands below.
                let _ = answer.send(Ok(()));
            } else {
                let request = Request { open: touched.len(), outcome: Ok(()), answer };
                gathered.requests.insert(number, request);
            }
        }
        self.arrived.notify_one();
        Ok(Submitted(answered))
    }

    /// Takes no more; what was handed in is still appended, then [`Self::run`] ends.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Appends what is handed in until it is closed. Exactly one task runs this.
    pub async fn run(&self, log: &Arc<dyn EventLog>, mut told: impl FnMut(&Result<(), AppendFailed>) + Send) {
        let mut appends = JoinSet::new();
        loop {
            let arrived = self.arrived.notified();
            let closed = self.begin(log, &mut appends);
            if closed && appends.is_empty() {
                return;
            }
            tokio::select! {
                Some(done) = appends.join_next() => match done {
                    Ok(Appended { at, requests, outcome }) => {
                        told(&outcome);
                        self.end(at, &requests, &outcome);
                    }
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                () = arrived => {}
            }
        }
    }

    /// Begins the appends of partitions on which none is under way; answers whether nothing comes any more.
    #[expect(clippy::disallowed_methods, reason = "partitions are appended side by side")]
    fn begin(&self, log: &Arc<dyn EventLog>, appends: &mut JoinSet<Appended>) -> bool {
        let mut gathered = self.lock();
        for (&at, lane) in &mut gathered.lanes {
            if lane.is_busy || lane.requests.is_empty() {
                continue;
            }
            lane.is_busy = true;
            let (records, requests) = (std::mem::take(&mut lane.records), std::mem::take(&mut lane.requests));
            let log = Arc::clone(log);
            appends.spawn(async move {
                let outcome = append(log.as_ref(), at, records.finish()).await;
                Appended { at, requests, outcome }
            });
        }
        gathered.closed
    }

    fn end(&self, at: StreamPartition, requests: &[u64], outcome: &Result<(), AppendFailed>) {
        let mut gathered = self.lock();
        if let Some(lane) = gathered.lanes.get_mut(&at) {
            lane.is_busy = false;
        }
        for &number in requests {
            gathered.answered(number, outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Whole records are pushed under the lock, and a push does not panic half-way.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place where ingest writes.
async fn append(log: &dyn EventLog, at: StreamPartition, records: Records) -> Result<(), AppendFailed> {
    log.append(vec![(at, records)]).await?;
    Ok(())
}

fn closed() -> AppendFailed {
    AppendFailed { kind: ErrorKind::Transient, reason: "ingest is ending".into() }
}

#[cfg(test)]
mod tests;
