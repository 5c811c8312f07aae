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

/// Counts what it reads.
#[derive(Default)]
struct Counting(u64);

const COUNT: BlockKey = BlockKey { class: 1, id: 0 };

impl Stage for Counting {
    const ROLE: &'static str = "counting";

    fn step(&mut self, records: &[(Offset, &[u8])], _: &mut Outputs) {
        self.0 += records.len() as u64;
    }

    fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        vec![(COUNT, Some(Bytes::copy_from_slice(&self.0.to_le_bytes())))]
    }

    fn take_account(&mut self) -> Account {
        let totals = Totals { read: self.0, ..Totals::default() };
        Account { watermark: Some(self.0.cast_signed()), totals: Some(totals), rules: Vec::new() }
    }

    fn restore(&mut self, blocks: &[(BlockKey, Bytes)]) -> Result<(), BoxError> {
        self.0 = u64::from_le_bytes(blocks[0].1[..].try_into()?);
        Ok(())
    }
}

#[tokio::test]
async fn only_what_was_committed_is_accounted_for_and_by_one_owner_alone() {
    let (log, store) = (MemoryEventLog::new(Uuid::nil(), 1), Arc::new(MemoryStateStore::default()));
    let runner = |store: &Arc<MemoryStateStore>| {
        let ports = StagePorts {
            log: Arc::new(log.clone()),
            store: Arc::clone(store) as Arc<_>,
            clock: Arc::new(MemoryClock::new(0)),
        };
        StageRunner::new(ports, 0, CommitLimits::default(), Counting::default, || Uuid::from_u128(2))
    };
    let mut first = runner(&store);
    log.append(vec![(AT, ["a", "b", "c"].into_iter().collect())]).await.unwrap();
    assert_eq!(first.turn().await.unwrap(), Turn::Advanced);
    assert_eq!((first.take_done().read, first.account().unwrap().watermark), (0, Some(0)));
    assert_eq!(first.turn().await.unwrap(), Turn::Idle);
    assert_eq!((first.take_done().read, first.account().unwrap().watermark), (3, Some(3)));
    assert_eq!(first.take_done().read, 0);

    log.append(vec![(AT, ["d"].into_iter().collect())]).await.unwrap();
    let mut second = runner(&store);
    second.turn().await.unwrap();
    second.turn().await.unwrap();
    assert_eq!((second.take_done().read, second.stored_bytes()), (1, Some(8)));
}
