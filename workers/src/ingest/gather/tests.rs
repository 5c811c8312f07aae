use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::{
    adapters::memory::MemoryEventLog,
    ports::{
        PortResult,
        event_log::{Bounds, Fetched, Offset, Parts},
    },
};

/// A log that lets one append through for each permit, and fails as told; a clone is the same log.
#[derive(Clone)]
struct Gated {
    inner: MemoryEventLog,
    gate: Arc<Semaphore>,
    appends: Arc<AtomicUsize>,
    fail: Arc<Mutex<Option<ErrorKind>>>,
    /// A partition that answers nothing.
    stuck: Option<Partition>,
}

impl Gated {
    fn new() -> Self {
        let inner = MemoryEventLog::new(Uuid::from_u128(1), 2);
        Self {
            inner,
            gate: Arc::new(Semaphore::new(0)),
            appends: Arc::default(),
            fail: Arc::default(),
            stuck: None,
        }
    }

    fn port(&self) -> Arc<dyn EventLog> {
        Arc::new(self.clone())
    }

    async fn texts(&self, partition: Partition) -> Vec<String> {
        let at = StreamPartition { stream: Stream::Events, partition };
        let (mut texts, mut from) = (Vec::new(), 0);
        loop {
            let fetched = self.inner.read(at, from, 1 << 20).await.unwrap();
            if fetched.records.is_empty() {
                return texts;
            }
            from = fetched.next_offset();
            texts.extend(fetched.records.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
        }
    }
}

#[async_trait]
impl EventLog for Gated {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        if parts.iter().any(|(at, _)| Some(at.partition) == self.stuck) {
            std::future::pending::<()>().await;
        }
        self.gate.acquire().await.unwrap().forget();
        self.appends.fetch_add(1, Ordering::Relaxed);
        let failure = self.fail.lock().unwrap().take();
        match failure {
            Some(kind) => Err(PortError::new(kind, "appending")),
            None => self.inner.append(parts).await,
        }
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.inner.read(at, from, limit).await
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.inner.arrived(at, offset).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        self.inner.log_id(stream).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.inner.bounds(at).await
    }
}

/// Polls what waits until it can go no further.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

async fn one(gather: &Gather, partition: Partition, text: &str) -> Result<(), AppendFailed> {
    gather.submit(Stream::Events, [(partition, text)])?.appended().await
}

#[tokio::test]
async fn requests_that_come_during_an_append_share_the_next_and_none_is_answered_before_it() {
    let (log, gather) = (Gated::new(), Gather::new(1_000));
    let port = log.port();
    let answered = AtomicUsize::new(0);
    let send = async |text: &str| {
        one(&gather, 0, text).await.unwrap();
        answered.fetch_add(1, Ordering::Relaxed);
    };
    let script = async {
        let first = send("a");
        let rest = async {
            settle().await;
            futures_join([send("b"), send("c"), send("d")]).await;
        };
        let gate = async {
            settle().await;
            settle().await;
            assert_eq!(answered.load(Ordering::Relaxed), 0, "answered before the log was");
            log.gate.add_permits(1);
            settle().await;
            assert_eq!(answered.load(Ordering::Relaxed), 1);
            log.gate.add_permits(1);
        };
        tokio::join!(first, rest, gate);
        gather.close();
    };
    tokio::join!(gather.run(&port, |_| ()), script);
    assert_eq!(log.appends.load(Ordering::Relaxed), 2);
    assert_eq!(log.texts(0).await, ["a", "b", "c", "d"]);
}

async fn futures_join<F: Future<Output = ()>>(futures: [F; 3]) {
    let [a, b, c] = futures;
    tokio::join!(a, b, c);
}

#[tokio::test]
async fn all_requests_of_a_failed_append_are_told_why_and_the_next_succeeds() {
    let (log, gather) = (Gated::new(), Gather::new(1_000));
    let port = log.port();
    log.gate.add_permits(9);
    *log.fail.lock().unwrap() = Some(ErrorKind::Ambiguous);
    let script = async {
        let (a, b) = tokio::join!(one(&gather, 1, "a"), one(&gather, 1, "b"));
        assert_eq!(a.unwrap_err().kind, ErrorKind::Ambiguous);
        assert_eq!(b.unwrap_err().kind, ErrorKind::Ambiguous);
        one(&gather, 1, "again").await.unwrap();
        gather.close();
    };
    tokio::join!(script, gather.run(&port, |_| ()));
    assert_eq!((log.texts(0).await, log.texts(1).await), (vec![], vec!["again".to_owned()]));
}

#[tokio::test]
async fn a_partition_that_takes_nothing_holds_up_those_alone_who_write_to_it() {
    let (log, gather) = (Gated { stuck: Some(0), ..Gated::new() }, Gather::new(1_000));
    let port = log.port();
    log.gate.add_permits(9);
    let senders = async {
        let both = gather.submit(Stream::Events, [(0, "a"), (1, "b")]).unwrap();
        one(&gather, 1, "c").await.unwrap();
        assert_eq!(log.texts(1).await, ["b", "c"]);
        tokio::select! {
            biased;
            _ = both.appended() => panic!("half of it is not in the log"),
            () = settle() => {}
        }
    };
    tokio::select! {
        () = senders => {}
        () = gather.run(&port, |_| ()) => panic!("it was not closed"),
    }
}

#[tokio::test]
async fn what_was_handed_in_before_the_end_is_appended_and_what_comes_after_is_refused() {
    let (log, gather) = (Gated::new(), Gather::new(1_000));
    let port = log.port();
    log.gate.add_permits(9);
    let end = async {
        gather.close();
        gather.run(&port, |_| ()).await;
    };
    let (before, ()) = tokio::join!(one(&gather, 0, "before"), end);
    before.unwrap();
    assert_eq!(one(&gather, 0, "after").await.unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(log.texts(0).await, ["before"]);
}

#[tokio::test]
async fn bytes_under_way_are_bounded() {
    let gather = Gather::new(100);
    let mut held = gather.hold(60).unwrap();
    assert!(gather.hold(41).is_none());
    held.merge(gather.hold(40).unwrap());
    assert_eq!(gather.free(), 0);
    let (waited, ()) = tokio::join!(gather.wait_for_room(100), async { drop(held) });
    drop(waited.unwrap());
    assert_eq!(gather.free(), 100);
}
