//! A stage that writes, and what it must find again whatever happens: whole states, and no older one than
//! was answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_e2e::redis::Redis;
use parking_workers::{
    adapters::redis::{Address, Health, RedisSettings, RedisStateStore},
    ports::{
        PortResult,
        event_log::Stream,
        state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Stored, Token},
    },
};
use uuid::Uuid;

pub(crate) const STAGE: StageKey = StageKey { role: "occupancy", partition: 7 };
pub(crate) const LOG: Uuid = Uuid::from_u128(11);

/// Between two commits of a stage, so that tests that run side by side leave each other some time.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest way to a master that is there.
const READY: Duration = Duration::from_secs(10);

/// Settings with keys that no other store has.
pub(crate) fn settings(redis: &Redis) -> RedisSettings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let address = |sentinel: SocketAddr| sentinel.to_string().parse::<Address>().unwrap();
    RedisSettings::new(
        redis.sentinels().into_iter().map(address).collect(),
        redis.options().master_name.clone(),
        format!("test:{number}:").parse().unwrap(),
    )
}

pub(crate) fn open(settings: &RedisSettings) -> Arc<RedisStateStore> {
    Arc::new(RedisStateStore::open(settings.clone()).unwrap())
}

pub(crate) fn owner() -> Uuid {
    Uuid::new_v4()
}

pub(crate) fn key(id: u128) -> BlockKey {
    BlockKey { class: 3, id }
}

pub(crate) fn empty(token: Token, base: u64, next: u64) -> Commit {
    Commit { token, log_id: LOG, base, next, blocks: Vec::new(), outbox: Vec::new() }
}

/// Asks until the answer is there.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = answer().await {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

pub(crate) async fn ready(store: &RedisStateStore) {
    let start = Instant::now();
    while !matches!(store.health(), Health::Ready { .. }) {
        assert!(start.elapsed() < READY, "no master within {READY:?}: {:?}", store.health());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes one state after the other; each state's blocks all say how far it is.
pub(crate) struct Writer {
    pub(crate) store: Arc<RedisStateStore>,
    pub(crate) token: Token,
    pub(crate) base: u64,
    /// The last state whose commit was answered.
    pub(crate) answered: u64,
    pub(crate) blocks: u128,
}

impl Writer {
    /// Takes the stage over.
    pub(crate) async fn start(store: Arc<RedisStateStore>) -> Self {
        ready(&store).await;
        let (token, found) = store.claim(&STAGE, owner()).await.unwrap();
        let base = found.map_or(0, |found| found.next_offset);
        Self { store, token, base, answered: base, blocks: 20 }
    }

    /// What the next commit is.
    pub(crate) fn next(&self) -> Commit {
        let next = self.base + 1;
        let block = Bytes::from(next.to_string());
        let record = Bytes::from(vec![b'r'; 100]);
        Commit {
            blocks: (0..self.blocks).map(|id| (key(id), Some(block.clone()))).collect(),
            outbox: vec![OutboxEntry { seq: self.base, stream: Stream::Alerts, record }],
            ..empty(self.token, self.base, next)
        }
    }

    pub(crate) async fn commit(&mut self) -> PortResult<Outcome> {
        let commit = self.next();
        let next = commit.next;
        let outcome = self.store.commit(&STAGE, commit).await?;
        if outcome == Outcome::Stored {
            (self.base, self.answered) = (next, next);
            if next.is_multiple_of(10) {
                let _ = self.store.trim(&STAGE, self.token, next - 2).await?;
            }
        }
        Ok(outcome)
    }

    /// Takes the stage over again; what it finds must be whole, and no older than what was answered.
    pub(crate) async fn claim(&mut self) -> PortResult<()> {
        let (token, found) = self.store.claim(&STAGE, owner()).await?;
        let found = found.map_or(0, |found| self.check(&found));
        assert!(found >= self.answered, "the answered commit {} was lost: {found}", self.answered);
        (self.token, self.base) = (token, found);
        Ok(())
    }

    /// Fails unless a state is whole; how far it is.
    pub(crate) fn check(&self, found: &Stored) -> u64 {
        let expected = Bytes::from(found.next_offset.to_string());
        assert_eq!(found.blocks.len() as u128, self.blocks);
        assert!(found.blocks.iter().all(|(_, block)| *block == expected), "half a commit: {found:?}");
        assert_eq!(found.next_seq, found.next_offset);
        let next = found.outbox.last().map_or(found.next_seq, |entry| entry.seq + 1);
        assert_eq!(next, found.next_seq, "the outbox lost its end");
        found.next_offset
    }

    /// Goes on after whatever happens, until a commit is answered; how long that took.
    pub(crate) async fn go_on(&mut self, limit: Duration) -> Duration {
        let (start, mut last) = (Instant::now(), String::new());
        loop {
            let answer = match self.commit().await {
                Ok(Outcome::Stored) => return start.elapsed(),
                Ok(Outcome::Fenced) => self.claim().await,
                Err(error) => {
                    last = sentence(&error);
                    self.claim().await
                }
            };
            if let Err(error) = answer {
                last = sentence(&error);
            }
            assert!(
                start.elapsed() < limit,
                "no commit within {limit:?}: {last} ({:?})",
                self.store.health()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Commits for a while without any trouble.
    pub(crate) async fn calmly(&mut self, commits: u64) {
        for _ in 0..commits {
            assert_eq!(self.commit().await.unwrap(), Outcome::Stored);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An error with all its reasons.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", sentence(source)),
        None => error.to_string(),
    }
}
