//! Every port with the faults of a plan.
//!
//! `claim` counts as a write: a claim whose answer is lost has fenced the others all the same. What
//! waits (`arrived`, `pause`) is only delayed.

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::{duration::Duration, event::Millis};
use uuid::Uuid;

use super::faulty::{Fault, FaultPlan, Operation};
use crate::ports::{
    ErrorKind, PortError, PortResult,
    clock::Clock,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts, Stream, StreamPartition},
    lake::{Committed, Lake, Table, TableCommit, TableSnapshot},
    notifier::{Notification, Notifier},
    object_store::{ObjectStore, PutNew},
    state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
};

/// An adapter that fails as planned.
#[derive(Clone, Debug)]
pub struct Faulty<P> {
    inner: P,
    plan: FaultPlan,
}

impl<P> Faulty<P> {
    /// Wraps an adapter.
    pub fn new(inner: P, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    /// One call under the plan; a duplicate or a torn call is the caller's to make first.
    async fn call<T>(
        &self,
        attempt: &str,
        fault: Option<Fault>,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        match fault {
            Some(Fault::Lost) => return Err(PortError::new(ErrorKind::Transient, attempt)),
            Some(Fault::Delay) => self.plan.delay().await,
            _ => {}
        }
        let answer = call.await?;
        if matches!(fault, Some(Fault::Ambiguous | Fault::Torn)) {
            return Err(PortError::new(ErrorKind::Ambiguous, attempt));
        }
        Ok(answer)
    }

    async fn read<T>(&self, attempt: &str, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        self.call(attempt, self.plan.next(Operation::Read), call).await
    }

    async fn write<T>(&self, attempt: &str, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        self.call(attempt, self.plan.next(Operation::Write), call).await
    }

    async fn wait(&self) {
        if self.plan.next(Operation::Read).is_some() {
            self.plan.delay().await;
        }
    }
}

#[async_trait]
impl<P: EventLog> EventLog for Faulty<P> {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        let fault = self.plan.next(Operation::Delivery);
        if fault == Some(Fault::Duplicate) {
            self.inner.append(parts.clone()).await?;
        }
        self.call("appending to the log", fault, self.inner.append(parts)).await
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        Self::read(self, "reading the log", self.inner.read(at, from, limit)).await
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.wait().await;
        self.inner.arrived(at, offset).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        Self::read(self, "asking for a stream's identity", self.inner.log_id(stream)).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        Self::read(self, "asking for a partition's bounds", self.inner.bounds(at)).await
    }
}

#[async_trait]
impl<P: StateStore> StateStore for Faulty<P> {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        self.write("claiming a stage", self.inner.claim(stage, owner)).await
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        self.write("committing a stage", self.inner.commit(stage, commit)).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.write("trimming an outbox", self.inner.trim(stage, token, through)).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.read("loading a stage's state", self.inner.peek(stage)).await
    }
}

#[async_trait]
impl<P: Lake> Lake for Faulty<P> {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.read("reading a table's version", self.inner.snapshot(table)).await
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        let fault = self.plan.next(Operation::Upload);
        let whole = body.len();
        let kept = if fault == Some(Fault::Torn) { body.slice(..whole / 2) } else { body };
        self.call("putting a file", fault, self.inner.put(table, path, kept)).await
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        self.write("committing to a table", self.inner.commit(table, commit)).await
    }
}

#[async_trait]
impl<P: ObjectStore> ObjectStore for Faulty<P> {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        let fault = self.plan.next(Operation::Delivery);
        if fault == Some(Fault::Duplicate) {
            self.inner.put_new(key, body.clone()).await?;
        }
        self.call("making an object", fault, self.inner.put_new(key, body)).await
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        self.read("reading an object", self.inner.get(key)).await
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        self.read("listing objects", self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.write("deleting an object", self.inner.delete(key)).await
    }
}

#[async_trait]
impl<P: Notifier> Notifier for Faulty<P> {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        let fault = self.plan.next(Operation::Delivery);
        if fault == Some(Fault::Duplicate) {
            self.inner.notify(notification).await?;
        }
        self.call("delivering a notification", fault, self.inner.notify(notification)).await
    }
}

#[async_trait]
impl<P: Clock> Clock for Faulty<P> {
    fn now(&self) -> Millis {
        self.inner.now()
    }

    fn monotonic(&self) -> Millis {
        self.inner.monotonic()
    }

    async fn pause(&self, length: Duration) {
        self.wait().await;
        self.inner.pause(length).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::{
            decorate::Chances,
            memory::{MemoryEventLog, MemoryLake},
        },
        ports::{event_log::Records, lake::DataFile},
    };

    const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };

    async fn append(chances: Chances) -> (Result<Vec<Offset>, ErrorKind>, Offset) {
        let log = MemoryEventLog::new(Uuid::from_u128(1), 1);
        let faulty = Faulty::new(log.clone(), FaultPlan::new(1, chances));
        let records: Records = ["a"].into_iter().collect();
        let answer = faulty.append(vec![(AT, records)]).await;
        (answer.map_err(|error| error.kind), log.bounds(AT).await.unwrap().end)
    }

    #[tokio::test]
    async fn a_lost_call_did_not_happen() {
        let lost = append(Chances { lost: 1_000, ..Chances::default() }).await;
        assert_eq!(lost, (Err(ErrorKind::Transient), 0));
    }

    #[tokio::test]
    async fn an_ambiguous_call_happened_and_its_answer_did_not_come() {
        let ambiguous = append(Chances { ambiguous: 1_000, ..Chances::default() }).await;
        assert_eq!(ambiguous, (Err(ErrorKind::Ambiguous), 1));
    }

    #[tokio::test]
    async fn a_duplicated_call_happened_twice() {
        let duplicate = append(Chances { duplicate: 1_000, ..Chances::default() }).await;
        assert_eq!(duplicate, (Ok(vec![1]), 2));
    }

    #[tokio::test]
    async fn a_delayed_call_happens_after_others_had_their_turn() {
        let log = MemoryEventLog::new(Uuid::from_u128(1), 1);
        let plan = FaultPlan::new(1, Chances { delay: 1_000, ..Chances::default() });
        let faulty = Faulty::new(log.clone(), plan);
        let write = |text: &str| vec![(AT, [text].into_iter().collect())];
        let (delayed, direct) = tokio::join!(faulty.append(write("late")), log.append(write("early")));
        assert_eq!((delayed.unwrap(), direct.unwrap()), (vec![1], vec![0]));
    }

    #[tokio::test]
    async fn a_torn_file_is_half_there_until_it_is_put_again() {
        let lake = MemoryLake::default();
        let plan = FaultPlan::new(1, Chances { torn: 1_000, ..Chances::default() });
        let faulty = Faulty::new(lake.clone(), plan.clone());
        let body = Bytes::from("whole");
        let torn = faulty.put(Table::Events, "f", body.clone()).await.unwrap_err();
        assert_eq!(torn.kind, ErrorKind::Ambiguous);
        plan.set_chances(Chances::default());
        faulty.put(Table::Events, "f", body.clone()).await.unwrap();
        let file = DataFile { date: 0, path: "f".to_owned(), rows: 1, size: 5 };
        let commit = TableCommit { files: vec![file], ..TableCommit::default() };
        assert!(matches!(lake.commit(Table::Events, commit).await.unwrap(), Committed::Yes(_)));
        assert_eq!(lake.visible(Table::Events)[0].body, body);
    }
}
