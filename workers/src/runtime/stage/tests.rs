use async_trait::async_trait;

use super::*;
use crate::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryStateStore},
    ports::{PortResult, event_log::Records, state_store::Stored},
};

const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const KEY: StageKey = StageKey { role: "silent", partition: 0 };

/// Says nothing, keeps nothing.
struct Silent;

impl Stage for Silent {
    const ROLE: &'static str = "silent";

    fn step(&mut self, _: &[(Offset, &[u8])], _: &mut Outputs) {}

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        Vec::new()
    }

    fn restore(&mut self, _: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A store whose claim comes late: meanwhile the owner before goes on.
struct Contested {
    store: MemoryStateStore,
    log: MemoryEventLog,
}

#[async_trait]
impl StateStore for Contested {
    async fn claim(&self, stage: &StageKey, owner: Uuid) -> PortResult<(Token, Option<Stored>)> {
        let log_id = self.log.log_id(Stream::Events).await?;
        let records: Records = ["a", "b"].into_iter().collect();
        self.log.append(vec![(AT, records)]).await?;
        let (token, _) = self.store.claim(stage, Uuid::from_u128(1)).await?;
        let commit = Commit { token, log_id, base: 0, next: 2, blocks: vec![], outbox: vec![] };
        assert_eq!(self.store.commit(stage, commit).await?, Outcome::Stored);
        self.store.claim(stage, owner).await
    }

    async fn commit(&self, stage: &StageKey, commit: Commit) -> PortResult<Outcome> {
        self.store.commit(stage, commit).await
    }

    async fn trim(&self, stage: &StageKey, token: Token, through: u64) -> PortResult<Outcome> {
        self.store.trim(stage, token, through).await
    }

    async fn peek(&self, stage: &StageKey) -> PortResult<Option<Stored>> {
        self.store.peek(stage).await
    }
}

fn runner(log: &MemoryEventLog, store: Arc<dyn StateStore>) -> StageRunner<Silent> {
    let ports = StagePorts { log: Arc::new(log.clone()), store, clock: Arc::new(MemoryClock::new(0)) };
    StageRunner::new(ports, 0, CommitLimits::default(), || Silent, || Uuid::from_u128(2))
}

#[tokio::test]
async fn log_that_grew_until_the_claim_is_no_foreign_log() {
    let log = MemoryEventLog::new(Uuid::nil(), 1);
    let store = Contested { store: MemoryStateStore::default(), log: log.clone() };
    let mut runner = runner(&log, Arc::new(store));
    assert_eq!(runner.turn().await.unwrap(), Turn::Idle);
    assert_eq!(runner.next_offset(), Some(2));
}

#[tokio::test]
async fn state_beyond_the_end_of_the_log_is_refused() {
    let (log, store) = (MemoryEventLog::new(Uuid::nil(), 1), MemoryStateStore::default());
    let (token, _) = store.claim(&KEY, Uuid::nil()).await.unwrap();
    let commit = Commit { token, log_id: Uuid::nil(), base: 0, next: 1, blocks: vec![], outbox: vec![] };
    assert_eq!(store.commit(&KEY, commit).await.unwrap(), Outcome::Stored);
    let error = runner(&log, Arc::new(store)).turn().await.unwrap_err();
    assert!(matches!(error, StageError::ForeignLog { next: 1, end: 0, .. }), "{error}");
}
