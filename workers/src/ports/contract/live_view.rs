//! The suite of the live view.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use crate::ports::{
    live_view::{LiveKind, LiveRows, LiveView},
    state_store::{Outcome, StageKey, StateStore, Token},
};

/// A view beside its store, and what a reader of the view sees.
pub struct Shown {
    /// Where stages are claimed.
    pub store: Arc<dyn StateStore>,
    /// The view.
    pub view: Arc<dyn LiveView>,
    /// Reads the rows of a kind.
    pub rows: Box<dyn Fn(LiveKind) -> BTreeMap<Uuid, Bytes> + Send + Sync>,
}

/// Tests a live view.
#[macro_export]
macro_rules! live_view_contract {
    ($make:expr) => {
        $crate::contract_tests!(live_view, $make;
            v1_a_write_shows_as_a_whole,
            v1_a_row_is_replaced_and_taken_away,
            v2_a_claim_fences_the_rows_of_every_earlier_owner,
            v2_a_stage_that_nobody_claimed_shows_nothing,
            v3_stages_and_kinds_do_not_touch_each_other,
            v4_rows_that_an_earlier_owner_left_go_where_all_are_named,
        );
    };
}

const STAGE: StageKey = StageKey { role: "occupancy", partition: 3 };
const OTHER: StageKey = StageKey { role: "occupancy", partition: 33 };

fn id(n: u32) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

fn row(n: u32, text: &str) -> (Uuid, Option<Bytes>) {
    (id(n), Some(Bytes::from(text.to_owned())))
}

fn zones(rows: Vec<(Uuid, Option<Bytes>)>) -> LiveRows {
    LiveRows { kind: LiveKind::Zones, rows, all: None }
}

async fn claimed(view: &Shown, stage: &StageKey) -> Token {
    view.store.claim(stage, Uuid::new_v4()).await.unwrap().0
}

fn shows(view: &Shown, expected: &[(u32, &str)]) {
    let expected = expected.iter().map(|(n, text)| (id(*n), Bytes::from((*text).to_owned()))).collect();
    assert_eq!((view.rows)(LiveKind::Zones), expected);
}

/// V1.
pub async fn v1_a_write_shows_as_a_whole<O: AsyncFn() -> Shown>(make: impl Fn() -> O) {
    let view = make()().await;
    let token = claimed(&view, &STAGE).await;
    // More than one command of a server carries.
    let of = |round: u32| (0..5_000).map(|n| row(n, &round.to_string())).collect();
    let write = async {
        for round in 0..10 {
            assert_eq!(view.view.show(&STAGE, token, zones(of(round))).await.unwrap(), Outcome::Stored);
        }
    };
    let look = async {
        loop {
            let seen = (view.rows)(LiveKind::Zones);
            if let Some(first) = seen.values().next() {
                assert_eq!(seen.len(), 5_000);
                assert!(seen.values().all(|row| row == first), "rows of two writes");
                if first == "9" {
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, look);
}

/// V1.
pub async fn v1_a_row_is_replaced_and_taken_away<O: AsyncFn() -> Shown>(make: impl Fn() -> O) {
    let view = make()().await;
    let token = claimed(&view, &STAGE).await;
    let first = zones(vec![row(1, "a"), row(2, "b"), row(3, "c")]);
    assert_eq!(view.view.show(&STAGE, token, first).await.unwrap(), Outcome::Stored);
    let second = zones(vec![row(2, "B"), (id(3), None), (id(4), None)]);
    assert_eq!(view.view.show(&STAGE, token, second).await.unwrap(), Outcome::Stored);
    shows(&view, &[(1, "a"), (2, "B")]);
    let last = zones(vec![(id(1), None), (id(2), None)]);
    assert_eq!(view.view.show(&STAGE, token, last).await.unwrap(), Outcome::Stored);
    shows(&view, &[]);
}

/// V2.
pub async fn v2_a_claim_fences_the_rows_of_every_earlier_owner<O: AsyncFn() -> Shown>(make: impl Fn() -> O) {
    let view = make()().await;
    let before = claimed(&view, &STAGE).await;
    assert_eq!(view.view.show(&STAGE, before, zones(vec![row(1, "a")])).await.unwrap(), Outcome::Stored);
    let now = claimed(&view, &STAGE).await;
    let taken = LiveRows { all: Some(vec![]), ..zones(vec![row(1, "late"), row(2, "late")]) };
    assert_eq!(view.view.show(&STAGE, before, taken).await.unwrap(), Outcome::Fenced);
    shows(&view, &[(1, "a")]);
    assert_eq!(view.view.show(&STAGE, now, zones(vec![row(1, "b")])).await.unwrap(), Outcome::Stored);
    shows(&view, &[(1, "b")]);
}

/// V2.
pub async fn v2_a_stage_that_nobody_claimed_shows_nothing<O: AsyncFn() -> Shown>(make: impl Fn() -> O) {
    let view = make()().await;
    let token = Token { owner: id(1), epoch: 1 };
    assert_eq!(view.view.show(&STAGE, token, zones(vec![row(1, "a")])).await.unwrap(), Outcome::Fenced);
    shows(&view, &[]);
}

/// V3.
pub async fn v3_stages_and_kinds_do_not_touch_each_other<O: AsyncFn() -> Shown>(make: impl Fn() -> O) {
    let view = make()().await;
    let (one, other) = (claimed(&view, &STAGE).await, claimed(&view, &OTHER).await);
    assert_eq!(view.view.show(&STAGE, one, zones(vec![row(1, "a")])).await.unwrap(), Outcome::Stored);
    assert_eq!(view.view.show(&OTHER, other, zones(vec![row(2, "b")])).await.unwrap(), Outcome::Stored);
    let alerts = LiveRows { kind: LiveKind::Alerts, ..zones(vec![row(1, "alert")]) };
    assert_eq!(view.view.show(&STAGE, one, alerts).await.unwrap(), Outcome::Stored);
    let none = LiveRows { all: Some(vec![]), ..zones(vec![]) };
    assert_eq!(view.view.show(&OTHER, other, none).await.unwrap(), Outcome::Stored);
    shows(&view, &[(1, "a")]);
    assert_eq!((view.rows)(LiveKind::Alerts).len(), 1);
}

/// V4.
pub async fn v4_rows_that_an_earlier_owner_left_go_where_all_are_named<O: AsyncFn() -> Shown>(
    make: impl Fn() -> O,
) {
    let view = make()().await;
    let before = claimed(&view, &STAGE).await;
    let many = zones((0..5_000).map(|n| row(n, "a")).collect());
    assert_eq!(view.view.show(&STAGE, before, many).await.unwrap(), Outcome::Stored);
    let now = claimed(&view, &STAGE).await;
    let all = LiveRows { all: Some(vec![id(7), id(9_000)]), ..zones(vec![row(9_000, "new")]) };
    assert_eq!(view.view.show(&STAGE, now, all).await.unwrap(), Outcome::Stored);
    shows(&view, &[(7, "a"), (9_000, "new")]);
}
