//! Writes down every call of a port that changes something, with what its caller was told.

use async_trait::async_trait;
use bytes::Bytes;
use parking_workers::ports::{
    ErrorKind, PortResult,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts, Stream, StreamPartition},
    lake::{Committed, Lake, Table, TableCommit, TableSnapshot},
    object_store::{ObjectStore, PutNew},
    state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
};
use uuid::Uuid;

use crate::{faults::FaultKind, trace::Trace};

/// See the module.
pub(crate) struct Witness<P> {
    inner: P,
    trace: Trace,
}

impl<P> Witness<P> {
    pub(crate) fn new(inner: P, trace: Trace) -> Self {
        Self { inner, trace }
    }

    /// Counts a failed call: as lost, as ambiguous, or as any other.
    fn saw<T>(
        &self,
        call: &str,
        answer: PortResult<T>,
        as_kind: Option<(FaultKind, FaultKind)>,
    ) -> PortResult<T> {
        let failure = answer.as_ref().err().map(|error| error.kind);
        self.trace.note(format_args!("{call} {failure:?}"));
        match (failure, as_kind) {
            (None, _) => {}
            (Some(ErrorKind::Transient), Some((lost, _))) => self.trace.struck(lost, 1),
            (Some(ErrorKind::Ambiguous), Some((_, ambiguous))) => self.trace.struck(ambiguous, 1),
            (Some(_), _) => self.trace.struck(FaultKind::FailedCall, 1),
        }
        answer
    }
}

#[async_trait]
impl<P: EventLog> EventLog for Witness<P> {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.saw("append", self.inner.append(parts).await, None)
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.saw("read", self.inner.read(at, from, limit).await, None)
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.inner.arrived(at, offset).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        self.saw("log id", self.inner.log_id(stream).await, None)
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.saw("bounds", self.inner.bounds(at).await, None)
    }
}

#[async_trait]
impl<P: StateStore> StateStore for Witness<P> {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        self.saw("claim", self.inner.claim(stage, owner).await, None)
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        let kinds = (FaultKind::LostCommit, FaultKind::AmbiguousCommit);
        self.saw("commit", self.inner.commit(stage, commit).await, Some(kinds))
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.saw("trim", self.inner.trim(stage, token, through).await, None)
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.inner.peek(stage).await
    }
}

#[async_trait]
impl<P: Lake> Lake for Witness<P> {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.saw("snapshot", self.inner.snapshot(table).await, None)
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        self.saw(path, self.inner.put(table, path, body).await, None)
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        let kinds = (FaultKind::LostLakeCommit, FaultKind::AmbiguousLakeCommit);
        self.saw("lake commit", self.inner.commit(table, commit).await, Some(kinds))
    }
}

#[async_trait]
impl<P: ObjectStore> ObjectStore for Witness<P> {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        self.saw(key, self.inner.put_new(key, body).await, None)
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        self.saw("get", self.inner.get(key).await, None)
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        self.saw("list", self.inner.list(prefix).await, None)
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.saw("delete", self.inner.delete(key).await, None)
    }
}
