//! The suite of the object store.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::ports::{
    ErrorKind,
    object_store::{ObjectStore, PutNew},
};

/// Tests an object store.
#[macro_export]
macro_rules! object_store_contract {
    ($make:expr) => {
        $crate::contract_tests!(object_store, $make;
            o1_an_object_is_made_once_and_then_found,
            o1_of_many_racers_one_makes_the_object,
            o1_a_deleted_key_can_be_made_again,
            o1_a_key_that_leaves_the_store_is_refused,
            o2_an_object_is_read_back_whole_after_reopening,
            o2_a_missing_object_is_none_and_may_be_deleted,
            o3_a_listing_has_every_object_under_the_prefix_in_key_order,
        );
    };
}

/// O1.
pub async fn o1_an_object_is_made_once_and_then_found<O: AsyncFn() -> Arc<dyn ObjectStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    assert_eq!(store.put_new("a/b", Bytes::from("one")).await.unwrap(), PutNew::Created);
    assert_eq!(store.put_new("a/b", Bytes::from("two")).await.unwrap(), PutNew::AlreadyExists);
    assert_eq!(store.get("a/b").await.unwrap(), Some(Bytes::from("one")));
}

/// O1.
pub async fn o1_of_many_racers_one_makes_the_object<O: AsyncFn() -> Arc<dyn ObjectStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    let mut racers = JoinSet::new();
    for racer in 0..16_u8 {
        let store = Arc::clone(&store);
        racers.spawn(async move {
            (store.put_new("x/y/z", Bytes::from(vec![racer; 5_000])).await.unwrap(), racer)
        });
    }
    let outcomes = racers.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|(outcome, _)| *outcome == PutNew::Created).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get("x/y/z").await.unwrap(), Some(Bytes::from(vec![winners[0].1; 5_000])));
}

/// O1.
pub async fn o1_a_deleted_key_can_be_made_again<O: AsyncFn() -> Arc<dyn ObjectStore>>(make: impl Fn() -> O) {
    let store = make()().await;
    for body in ["one", "two"] {
        assert_eq!(store.put_new("a", Bytes::from(body)).await.unwrap(), PutNew::Created);
        assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from(body)));
        store.delete("a").await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), None);
    }
}

/// O1.
pub async fn o1_a_key_that_leaves_the_store_is_refused<O: AsyncFn() -> Arc<dyn ObjectStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    for key in ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a\0b", "a\\b"] {
        assert_eq!(store.put_new(key, Bytes::new()).await.unwrap_err().kind, ErrorKind::Invalid, "{key:?}");
        assert_eq!(store.get(key).await.unwrap_err().kind, ErrorKind::Invalid, "{key:?}");
        assert_eq!(store.delete(key).await.unwrap_err().kind, ErrorKind::Invalid, "{key:?}");
    }
}

/// O2.
pub async fn o2_an_object_is_read_back_whole_after_reopening<O: AsyncFn() -> Arc<dyn ObjectStore>>(
    make: impl Fn() -> O,
) {
    let open = make();
    let large: Bytes = (0..1_000_003_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    let store = open().await;
    for (key, body) in [("large", large.clone()), ("empty", Bytes::new())] {
        assert_eq!(store.put_new(key, body).await.unwrap(), PutNew::Created);
    }
    drop(store);
    let store = open().await;
    assert_eq!(store.get("large").await.unwrap(), Some(large));
    assert_eq!(store.get("empty").await.unwrap(), Some(Bytes::new()));
}

/// O2.
pub async fn o2_a_missing_object_is_none_and_may_be_deleted<O: AsyncFn() -> Arc<dyn ObjectStore>>(
    make: impl Fn() -> O,
) {
    let store = make()().await;
    assert_eq!(store.get("a/b").await.unwrap(), None);
    store.delete("a/b").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
}

/// O3.
pub async fn o3_a_listing_has_every_object_under_the_prefix_in_key_order<
    O: AsyncFn() -> Arc<dyn ObjectStore>,
>(
    make: impl Fn() -> O,
) {
    let open = make();
    let store = open().await;
    for key in ["b", "a/2", "a/10", "a-b/1", "a/sub/x", "ab"] {
        assert_eq!(store.put_new(key, Bytes::from(key)).await.unwrap(), PutNew::Created);
    }
    store.delete("b").await.unwrap();
    drop(store);
    let store = open().await;
    let all = ["a-b/1", "a/10", "a/2", "a/sub/x", "ab"];
    assert_eq!(store.list("").await.unwrap(), all);
    assert_eq!(store.list("a/").await.unwrap(), ["a/10", "a/2", "a/sub/x"]);
    assert_eq!(store.list("a/1").await.unwrap(), ["a/10"]);
    assert_eq!(store.list("a").await.unwrap(), all);
    assert_eq!(store.list("c/").await.unwrap(), Vec::<String>::new());
}
