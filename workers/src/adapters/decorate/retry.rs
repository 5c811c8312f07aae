//! Tries again what did not happen, after pauses that double.
//!
//! Must not repeat a call that may have happened: only [`ErrorKind::Transient`] is tried again. What
//! the last try answers is the answer.

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::duration::Duration;
use uuid::Uuid;

use crate::ports::{
    ErrorKind, PortResult,
    clock::Clock,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts, Stream, StreamPartition},
    lake::{Committed, Lake, Table, TableCommit, TableSnapshot},
    notifier::{Notification, Notifier},
    object_store::{ObjectStore, PutNew},
    state_store::{Commit, Outcome, StageKey, StateStore, Stored, Token},
};

const FIRST_PAUSE_MS: i64 = 10;
const LONGEST_PAUSE_MS: i64 = 5_000;

/// An adapter whose transient failures are tried again.
#[derive(Clone, Debug)]
pub struct Retrying<P, C> {
    inner: P,
    clock: C,
    tries: u32,
}

impl<P, C: Clock> Retrying<P, C> {
    /// Wraps an adapter; each call is tried at most `tries` times, and once at least.
    pub fn new(inner: P, clock: C, tries: u32) -> Self {
        Self { inner, clock, tries }
    }

    async fn run<T, F: Future<Output = PortResult<T>>>(&self, call: impl Fn() -> F) -> PortResult<T> {
        let mut pause = FIRST_PAUSE_MS;
        for _ in 1..self.tries {
            match call().await {
                Err(error) if error.kind == ErrorKind::Transient => {
                    tracing::debug!(%error, pause_ms = pause, "trying again");
                    self.clock.pause(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE_MS);
                }
                answer => return answer,
            }
        }
        call().await
    }
}

#[async_trait]
impl<P: EventLog, C: Clock> EventLog for Retrying<P, C> {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.run(|| self.inner.append(parts.clone())).await
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.run(|| self.inner.read(at, from, limit)).await
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.run(|| self.inner.arrived(at, offset)).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        self.run(|| self.inner.log_id(stream)).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.run(|| self.inner.bounds(at)).await
    }
}

#[async_trait]
impl<P: StateStore, C: Clock> StateStore for Retrying<P, C> {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        self.run(|| self.inner.claim(stage, owner)).await
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        self.run(|| self.inner.commit(stage, commit.clone())).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.run(|| self.inner.trim(stage, token, through)).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.run(|| self.inner.peek(stage)).await
    }
}

#[async_trait]
impl<P: Lake, C: Clock> Lake for Retrying<P, C> {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        self.run(|| self.inner.snapshot(table)).await
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        self.run(|| self.inner.put(table, path, body.clone())).await
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        self.run(|| self.inner.commit(table, commit.clone())).await
    }
}

#[async_trait]
impl<P: ObjectStore, C: Clock> ObjectStore for Retrying<P, C> {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        self.run(|| self.inner.put_new(key, body.clone())).await
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        self.run(|| self.inner.get(key)).await
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        self.run(|| self.inner.list(prefix)).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.run(|| self.inner.delete(key)).await
    }
}

#[async_trait]
impl<P: Notifier, C: Clock> Notifier for Retrying<P, C> {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        self.run(|| self.inner.notify(notification)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use parking_crds::event::Millis;
    use serde_json::value::RawValue;

    use super::*;
    use crate::ports::PortError;

    /// Fails as told, then takes what comes.
    struct Failing(Mutex<Vec<ErrorKind>>);

    #[async_trait]
    impl Notifier for Failing {
        async fn notify(&self, _: &Notification) -> PortResult<()> {
            match self.0.lock().unwrap().pop() {
                Some(kind) => Err(PortError::new(kind, "telling")),
                None => Ok(()),
            }
        }
    }

    /// Remembers its pauses.
    #[derive(Default)]
    struct Pauses(Mutex<Vec<Millis>>);

    #[async_trait]
    impl Clock for Pauses {
        fn now(&self) -> Millis {
            0
        }

        fn monotonic(&self) -> Millis {
            0
        }

        async fn pause(&self, length: Duration) {
            self.0.lock().unwrap().push(length.millis());
        }
    }

    async fn notify(failures: Vec<ErrorKind>, tries: u32) -> (Result<(), ErrorKind>, Vec<Millis>) {
        let retrying = Retrying::new(Failing(Mutex::new(failures)), Pauses::default(), tries);
        let alert = RawValue::from_string("{}".to_owned()).unwrap();
        let (idempotency_key, route) = ("k".to_owned(), "r".to_owned());
        let notification = Notification { idempotency_key, route, recovered: false, alert };
        let answer = retrying.notify(&notification).await.map_err(|error| error.kind);
        (answer, retrying.clock.0.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_did_not_happen_is_tried_again_after_pauses_that_double_up_to_a_bound() {
        assert_eq!(notify(vec![ErrorKind::Transient; 3], 9).await, (Ok(()), vec![10, 20, 40]));
        let (answer, pauses) = notify(vec![ErrorKind::Transient; 12], 99).await;
        assert_eq!((answer, pauses.last()), (Ok(()), Some(&LONGEST_PAUSE_MS)));
    }

    #[tokio::test]
    async fn what_may_have_happened_is_not_tried_again() {
        for kind in [ErrorKind::Ambiguous, ErrorKind::Full, ErrorKind::Invalid, ErrorKind::Closed] {
            assert_eq!(notify(vec![kind], 9).await, (Err(kind), vec![]));
        }
    }

    #[tokio::test]
    async fn the_last_try_is_the_answer() {
        let transient = || vec![ErrorKind::Transient; 3];
        assert_eq!(notify(transient(), 3).await, (Err(ErrorKind::Transient), vec![10, 20]));
        assert_eq!(notify(transient(), 0).await, (Err(ErrorKind::Transient), vec![]));
    }
}
