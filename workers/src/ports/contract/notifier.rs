//! The suite of the notifier. The maker answers the notifier and what its receiver got.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::ports::notifier::{Notification, Notifier};

/// Tests a notifier; the maker is an async function.
#[macro_export]
macro_rules! notifier_contract {
    ($make:expr) => {
        $crate::contract_tests!(notifier, $make;
            n1_an_answered_notification_was_taken,
            n2_the_idempotency_key_travels_with_every_try,
        );
    };
}

/// What a receiver got: the key and the alert, in order.
pub type Received = Vec<(String, String)>;

fn notification(key: &str) -> Notification {
    let alert = RawValue::from_string(format!(r#"{{"alert_id":"{key}","state":"firing"}}"#)).unwrap();
    Notification { idempotency_key: key.to_owned(), route: "ops".to_owned(), recovered: false, alert }
}

/// N1.
pub async fn n1_an_answered_notification_was_taken<R: Fn() -> Received>(
    make: impl AsyncFn() -> (Arc<dyn Notifier>, R),
) {
    let (notifier, received) = make().await;
    notifier.notify(&notification("n-1")).await.unwrap();
    let expected = notification("n-1").alert.get().to_owned();
    assert_eq!(received(), [("n-1".to_owned(), expected)]);
}

/// N2.
pub async fn n2_the_idempotency_key_travels_with_every_try<R: Fn() -> Received>(
    make: impl AsyncFn() -> (Arc<dyn Notifier>, R),
) {
    let (notifier, received) = make().await;
    for key in ["n-1", "n-2", "n-1"] {
        notifier.notify(&notification(key)).await.unwrap();
    }
    let keys: Vec<_> = received().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["n-1", "n-2", "n-1"]);
}
