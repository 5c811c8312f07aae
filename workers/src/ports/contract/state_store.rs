//! The suite of the state store.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ports::{
    ErrorKind,
    event_log::{Offset, Stream},
    state_store::{BlockKey, Commit, OutboxEntry, Outcome, StageKey, StateStore, Stored, Token},
};

/// Tests a state store.
#[macro_export]
macro_rules! state_store_contract {
    ($make:expr) => {
        $crate::contract_tests!(state_store, $make;
            s1_blocks_offset_and_outbox_move_together,
            s1_a_stored_commit_is_found_after_reopening,
            s1_a_removed_block_is_gone_and_others_stay,
            s1_stages_do_not_touch_each_other,
            s2_a_claim_fences_the_commits_of_every_earlier_owner,
            s2_a_claim_fences_the_trims_of_every_earlier_owner,
            s2_tokens_of_claims_never_repeat_even_after_reopening,
            s2_of_many_racing_owners_the_last_claim_alone_commits,
            s3_a_commit_on_another_base_changes_nothing,
            s4_a_claim_answers_nothing_before_the_first_commit,
            s4_a_claim_answers_what_the_last_commit_left,
            s5_outbox_entries_stay_in_order_until_trimmed,
            s5_an_outbox_entry_out_of_sequence_is_refused,
        );
    };
}

const STAGE: StageKey = StageKey { role: "occupancy", partition: 3 };
const LOG: Uuid = Uuid::from_u128(7);

fn owner(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn key(class: u8, id: u128) -> BlockKey {
    BlockKey { class, id }
}

fn entry(seq: u64) -> OutboxEntry {
    OutboxEntry { seq, stream: Stream::Alerts, record: Bytes::from(format!("alert {seq}")) }
}

fn commit(token: Token, base: Offset, next: Offset) -> Commit {
    Commit { token, log_id: LOG, base, next, blocks: Vec::new(), outbox: Vec::new() }
}

fn stored(next_offset: Offset) -> Stored {
    Stored { log_id: LOG, next_offset, blocks: Vec::new(), outbox: Vec::new(), next_seq: 0 }
}

/// S1.
pub async fn s1_blocks_offset_and_outbox_move_together<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let write = async {
        for round in 0..20 {
            let block = Some(Bytes::from(round.to_string()));
            let blocks = vec![(key(0, 1), block.clone()), (key(1, u128::MAX), block)];
            let all = Commit { blocks, outbox: vec![entry(round)], ..commit(token, round, round + 1) };
            assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
        }
    };
    let look = async {
        loop {
            if let Some(seen) = store.peek(&STAGE).await.unwrap() {
                let round = Bytes::from((seen.next_offset - 1).to_string());
                assert_eq!(seen.blocks, [(key(0, 1), round.clone()), (key(1, u128::MAX), round)]);
                assert_eq!(seen.outbox.len() as u64, seen.next_offset);
                assert_eq!(seen.next_seq, seen.next_offset);
                if seen.next_offset == 20 {
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, look);
}

/// S1.
pub async fn s1_a_stored_commit_is_found_after_reopening<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let store = open().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let blocks = vec![(key(2, 9), Some(Bytes::from("nine"))), (key(2, 1), Some(Bytes::new()))];
    let all = Commit { blocks, outbox: vec![entry(0), entry(1)], ..commit(token, 0, 50) };
    assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    drop(store);
    let expected = Stored {
        blocks: vec![(key(2, 1), Bytes::new()), (key(2, 9), Bytes::from("nine"))],
        outbox: vec![entry(0), entry(1)],
        next_seq: 2,
        ..stored(50)
    };
    assert_eq!(open().await.peek(&STAGE).await.unwrap(), Some(expected));
}

/// S1.
pub async fn s1_a_removed_block_is_gone_and_others_stay<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let store = open().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let two = vec![(key(0, 1), Some(Bytes::from("a"))), (key(0, 2), Some(Bytes::from("b")))];
    let _ = store.commit(&STAGE, Commit { blocks: two, ..commit(token, 0, 1) }).await.unwrap();
    let change = vec![(key(0, 1), None), (key(0, 2), Some(Bytes::from("c"))), (key(0, 3), None)];
    let _ = store.commit(&STAGE, Commit { blocks: change, ..commit(token, 1, 2) }).await.unwrap();
    drop(store);
    let left = open().await.peek(&STAGE).await.unwrap().unwrap().blocks;
    assert_eq!(left, [(key(0, 2), Bytes::from("c"))]);
}

/// S1.
pub async fn s1_stages_do_not_touch_each_other<O: AsyncFn() -> Arc<dyn StateStore>>(make: impl Fn() -> O) {
    let store = make()().await;
    let stages = [("a", 1), ("a", 2), ("aa", 1), ("b", 1)];
    let stages = stages.map(|(role, partition)| StageKey { role, partition });
    for (stage, n) in stages.iter().zip(1..) {
        let (token, found) = store.claim(stage, owner(1)).await.unwrap();
        assert_eq!(found, None);
        let blocks = vec![(key(0, 0), Some(Bytes::from(n.to_string())))];
        let all = Commit { blocks, outbox: vec![entry(n)], ..commit(token, 0, n) };
        assert_eq!(store.commit(stage, all).await.unwrap(), Outcome::Stored);
    }
    for (stage, n) in stages.iter().zip(1..) {
        let seen = store.peek(stage).await.unwrap().unwrap();
        assert_eq!((seen.next_offset, seen.outbox), (n, vec![entry(n)]));
        assert_eq!(seen.blocks, [(key(0, 0), Bytes::from(n.to_string()))]);
    }
}

/// S2.
pub async fn s2_a_claim_fences_the_commits_of_every_earlier_owner<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (first, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let (second, _) = store.claim(&STAGE, owner(2)).await.unwrap();
    let (third, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    for old in [first, second, Token { owner: owner(2), ..third }, Token { epoch: third.epoch + 1, ..third }]
    {
        assert_eq!(store.commit(&STAGE, commit(old, 0, 9)).await.unwrap(), Outcome::Fenced);
    }
    assert_eq!(store.peek(&STAGE).await.unwrap(), None);
    assert_eq!(store.commit(&STAGE, commit(third, 0, 1)).await.unwrap(), Outcome::Stored);
}

/// S2.
pub async fn s2_a_claim_fences_the_trims_of_every_earlier_owner<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (old, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let all = Commit { outbox: vec![entry(0)], ..commit(old, 0, 1) };
    assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    let (_, found) = store.claim(&STAGE, owner(2)).await.unwrap();
    assert_eq!(store.trim(&STAGE, old, 0).await.unwrap(), Outcome::Fenced);
    assert_eq!(store.peek(&STAGE).await.unwrap(), found);
    assert_eq!(found.unwrap().outbox, [entry(0)]);
}

/// S2.
pub async fn s2_tokens_of_claims_never_repeat_even_after_reopening<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let (first, _) = open().await.claim(&STAGE, owner(1)).await.unwrap();
    let store = open().await;
    let (second, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(store.commit(&STAGE, commit(first, 0, 1)).await.unwrap(), Outcome::Fenced);
}

/// S2.
pub async fn s2_of_many_racing_owners_the_last_claim_alone_commits<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let mut racers = JoinSet::new();
    for n in 0..16 {
        let store = Arc::clone(&store);
        racers.spawn(async move { store.claim(&STAGE, owner(n)).await.unwrap().0 });
    }
    let mut tokens = racers.join_all().await;
    tokens.sort_by_key(|token| token.epoch);
    let (last, older) = tokens.split_last().unwrap();
    for token in older {
        assert_eq!(store.commit(&STAGE, commit(*token, 0, 9)).await.unwrap(), Outcome::Fenced);
    }
    assert_eq!(store.commit(&STAGE, commit(*last, 0, 1)).await.unwrap(), Outcome::Stored);
}

/// S3.
pub async fn s3_a_commit_on_another_base_changes_nothing<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    assert_eq!(store.commit(&STAGE, commit(token, 5, 6)).await.unwrap(), Outcome::Fenced);
    assert_eq!(store.commit(&STAGE, commit(token, 0, 5)).await.unwrap(), Outcome::Stored);
    for base in [0, 4, 6] {
        let blocks = vec![(key(0, 0), Some(Bytes::from("x")))];
        let wrong = Commit { blocks, outbox: vec![entry(0)], ..commit(token, base, 9) };
        assert_eq!(store.commit(&STAGE, wrong).await.unwrap(), Outcome::Fenced);
    }
    assert_eq!(store.peek(&STAGE).await.unwrap(), Some(stored(5)));
}

/// S4.
pub async fn s4_a_claim_answers_nothing_before_the_first_commit<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    assert_eq!(store.peek(&STAGE).await.unwrap(), None);
    for n in [1, 2] {
        assert_eq!(store.claim(&STAGE, owner(n)).await.unwrap().1, None);
    }
}

/// S4.
pub async fn s4_a_claim_answers_what_the_last_commit_left<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    for (base, text) in [(0, "old"), (1, "new")] {
        let blocks = vec![(key(1, 1), Some(Bytes::from(text)))];
        let all = Commit { blocks, outbox: vec![entry(base)], ..commit(token, base, base + 1) };
        assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    }
    let expected = Stored {
        blocks: vec![(key(1, 1), Bytes::from("new"))],
        outbox: vec![entry(0), entry(1)],
        next_seq: 2,
        ..stored(2)
    };
    assert_eq!(store.claim(&STAGE, owner(2)).await.unwrap().1, Some(expected));
}

/// S5.
pub async fn s5_outbox_entries_stay_in_order_until_trimmed<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let store = open().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let all = Commit { outbox: (0..300).map(entry).collect(), ..commit(token, 0, 1) };
    assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    assert_eq!(store.trim(&STAGE, token, 254).await.unwrap(), Outcome::Stored);
    let left = (255..300).map(entry).collect::<Vec<_>>();
    assert_eq!(store.peek(&STAGE).await.unwrap().unwrap().outbox, left);
    drop(store);
    let store = open().await;
    let (token, found) = store.claim(&STAGE, owner(1)).await.unwrap();
    assert_eq!(found.unwrap().outbox, left);
    assert_eq!(store.trim(&STAGE, token, u64::MAX).await.unwrap(), Outcome::Stored);
    let all = Commit { outbox: vec![entry(300)], ..commit(token, 1, 2) };
    assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    let seen = store.peek(&STAGE).await.unwrap().unwrap();
    assert_eq!((seen.outbox, seen.next_seq), (vec![entry(300)], 301));
}

/// S5.
pub async fn s5_an_outbox_entry_out_of_sequence_is_refused<O: AsyncFn() -> Arc<dyn StateStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let (token, _) = store.claim(&STAGE, owner(1)).await.unwrap();
    let all = Commit { outbox: vec![entry(0), entry(1)], ..commit(token, 0, 1) };
    assert_eq!(store.commit(&STAGE, all).await.unwrap(), Outcome::Stored);
    for wrong in [vec![entry(1)], vec![entry(2), entry(2)], vec![entry(2), entry(4)]] {
        let wrong = Commit { outbox: wrong, ..commit(token, 1, 2) };
        assert_eq!(store.commit(&STAGE, wrong).await.unwrap_err().kind, ErrorKind::Invalid);
    }
    assert_eq!(store.peek(&STAGE).await.unwrap().unwrap().next_offset, 1);
}
