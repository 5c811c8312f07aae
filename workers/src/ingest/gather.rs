//! Appends of many requests as few: while one append is under way, the next gathers.
//!
//! Must not wait for more to come: an append begins as soon as the one before it was answered, so a
//! single sender waits for nobody, and many share the cost of a sync.
//!
//! Invariants: a request is answered only after the log answered for all of it (G1); bytes that were
//! admitted and not answered are bounded; the order of one sender's requests, each sent after the answer to
//! the one before, is the order of the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::ports::{
    ErrorKind, PortError,
    event_log::{EventLog, Partition, RecordsBuilder, Stream, StreamPartition},
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

#[derive(Default)]
struct Gathered {
    parts: BTreeMap<(Stream, Partition), RecordsBuilder>,
    answers: Vec<Answer>,
    closed: bool,
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
            for (partition, record) in records {
                gathered.parts.entry((stream, partition)).or_default().push(record.as_ref());
            }
            gathered.answers.push(answer);
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
    pub async fn run(&self, log: &dyn EventLog, mut told: impl FnMut(&Result<(), AppendFailed>) + Send) {
        loop {
            let arrived = self.arrived.notified();
            let (parts, answers, closed) = {
                let mut gathered = self.lock();
                (std::mem::take(&mut gathered.parts), std::mem::take(&mut gathered.answers), gathered.closed)
            };
            if answers.is_empty() {
                if closed {
                    return;
                }
                arrived.await;
                continue;
            }
            let answer = append(log, parts).await;
            told(&answer);
            for waiting in answers {
                // A sender that went away waits for no answer.
                let _ = waiting.send(answer.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Whole records are pushed under the lock, and a push does not panic half-way.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place where ingest writes.
async fn append(
    log: &dyn EventLog,
    parts: BTreeMap<(Stream, Partition), RecordsBuilder>,
) -> Result<(), AppendFailed> {
    let at = |(stream, partition)| StreamPartition { stream, partition };
    let parts = parts.into_iter().map(|(place, records)| (at(place), records.finish())).collect();
    log.append(parts).await?;
    Ok(())
}

fn closed() -> AppendFailed {
    AppendFailed { kind: ErrorKind::Transient, reason: "ingest is ending".into() }
}

#[cfg(test)]
mod tests;
