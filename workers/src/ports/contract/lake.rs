//! The suite of the lake. A lake shows its files through [`Visible`], as a reader would find them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::ports::lake::{Committed, DataFile, Lake, Position, Table, TableCommit, TableSnapshot};

/// Tests a lake; the maker's stores open as [`Visible`].
#[macro_export]
macro_rules! lake_contract {
    ($make:expr) => {
        $crate::contract_tests!(lake, $make;
            k1_files_positions_and_watermarks_appear_together,
            k1_a_commit_is_found_after_reopening,
            k2_a_commit_on_moved_positions_changes_nothing,
            k3_commits_that_move_different_positions_both_succeed,
            k4_a_file_without_a_commit_is_invisible,
            k4_a_file_can_be_put_again_before_it_is_committed,
            k5_a_snapshot_shows_every_answered_commit,
            k5_tables_are_apart,
        );
    };
}

/// A lake and a reader of it.
#[async_trait]
pub trait Visible: Lake {
    /// A file that this lake accepts, with `rows` rows, and its bytes.
    fn sample(&self, path: &str, rows: u64) -> (DataFile, Bytes);

    /// Paths that a reader of the newest version sees, sorted.
    async fn visible(&self, table: Table) -> Vec<String>;
}

const TABLE: Table = Table::Events;

fn at(last_offset: u64) -> Position {
    Position { last_offset, watermark: Some(1_000 + i64::try_from(last_offset).unwrap()) }
}

async fn put(lake: &dyn Visible, path: &str) -> DataFile {
    let (file, body) = lake.sample(path, 3);
    lake.put(TABLE, &file.path, body).await.unwrap();
    file
}

async fn add(lake: &dyn Visible, base: &TableSnapshot, path: &str, moves: &[(u32, u64)]) -> Committed {
    let file = put(lake, path).await;
    let positions = moves.iter().map(|(partition, last)| (*partition, at(*last))).collect();
    let commit = TableCommit { base: base.clone(), files: vec![file], positions };
    lake.commit(TABLE, commit).await.unwrap()
}

fn made(committed: Committed) -> TableSnapshot {
    match committed {
        Committed::Yes(snapshot) => snapshot,
        Committed::Conflict => panic!("the commit conflicts with nothing"),
    }
}

/// K1.
pub async fn k1_files_positions_and_watermarks_appear_together<O: AsyncFn() -> Arc<dyn Visible>>(
    make: impl Fn() -> O,
) {
    let lake = make()().await;
    let base = lake.snapshot(TABLE).await.unwrap();
    assert_eq!(base, TableSnapshot::default());
    let after = made(add(&*lake, &base, "a", &[(0, 9), (2, 4)]).await);
    assert_eq!(after.positions, BTreeMap::from([(0, at(9)), (2, at(4))]));
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), after);
    assert_eq!(lake.visible(TABLE).await, [lake.sample("a", 3).0.path]);
}

/// K1.
pub async fn k1_a_commit_is_found_after_reopening<O: AsyncFn() -> Arc<dyn Visible>>(make: impl Fn() -> O) {
    let open = make();
    let lake = open().await;
    let base = lake.snapshot(TABLE).await.unwrap();
    let after = made(add(&*lake, &base, "a", &[(0, 9)]).await);
    drop(lake);
    let lake = open().await;
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), after);
    assert_eq!(lake.visible(TABLE).await.len(), 1);
}

/// K2.
pub async fn k2_a_commit_on_moved_positions_changes_nothing<O: AsyncFn() -> Arc<dyn Visible>>(
    make: impl Fn() -> O,
) {
    let lake = make()().await;
    let base = lake.snapshot(TABLE).await.unwrap();
    let after = made(add(&*lake, &base, "a", &[(0, 9)]).await);
    assert_eq!(add(&*lake, &base, "b", &[(0, 9)]).await, Committed::Conflict);
    assert_eq!(add(&*lake, &base, "c", &[(1, 5), (0, 12)]).await, Committed::Conflict);
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), after);
    assert_eq!(lake.visible(TABLE).await.len(), 1);
}

/// K3.
pub async fn k3_commits_that_move_different_positions_both_succeed<O: AsyncFn() -> Arc<dyn Visible>>(
    make: impl Fn() -> O,
) {
    let lake = make()().await;
    let base = lake.snapshot(TABLE).await.unwrap();
    let (one, other) = tokio::join!(add(&*lake, &base, "a", &[(0, 9)]), add(&*lake, &base, "b", &[(1, 5)]),);
    let (one, other) = (made(one), made(other));
    let last = if one.version > other.version { one } else { other };
    assert_eq!(last.positions, BTreeMap::from([(0, at(9)), (1, at(5))]));
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), last);
    assert_eq!(lake.visible(TABLE).await.len(), 2);
}

/// K4.
pub async fn k4_a_file_without_a_commit_is_invisible<O: AsyncFn() -> Arc<dyn Visible>>(make: impl Fn() -> O) {
    let open = make();
    let lake = open().await;
    put(&*lake, "a").await;
    assert_eq!(lake.visible(TABLE).await, Vec::<String>::new());
    assert_eq!(lake.snapshot(TABLE).await.unwrap(), TableSnapshot::default());
    drop(lake);
    assert_eq!(open().await.visible(TABLE).await, Vec::<String>::new());
}

/// K4.
pub async fn k4_a_file_can_be_put_again_before_it_is_committed<O: AsyncFn() -> Arc<dyn Visible>>(
    make: impl Fn() -> O,
) {
    let lake = make()().await;
    put(&*lake, "a").await;
    let base = lake.snapshot(TABLE).await.unwrap();
    made(add(&*lake, &base, "a", &[(0, 2)]).await);
    assert_eq!(lake.visible(TABLE).await.len(), 1);
}

/// K5.
pub async fn k5_a_snapshot_shows_every_answered_commit<O: AsyncFn() -> Arc<dyn Visible>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let (lake, reader) = (open().await, open().await);
    let mut base = lake.snapshot(TABLE).await.unwrap();
    for last in 0..5 {
        let after = made(add(&*lake, &base, &format!("f{last}"), &[(0, last)]).await);
        assert!(after.version > base.version);
        assert_eq!(reader.snapshot(TABLE).await.unwrap(), after);
        base = after;
    }
}

/// K5.
pub async fn k5_tables_are_apart<O: AsyncFn() -> Arc<dyn Visible>>(make: impl Fn() -> O) {
    let lake = make()().await;
    let base = lake.snapshot(TABLE).await.unwrap();
    made(add(&*lake, &base, "a", &[(0, 1)]).await);
    for table in Table::ALL.into_iter().filter(|table| *table != TABLE) {
        assert_eq!(lake.snapshot(table).await.unwrap(), TableSnapshot::default());
        assert_eq!(lake.visible(table).await, Vec::<String>::new());
    }
}
