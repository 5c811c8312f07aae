//! How much the operator takes with many objects: memory, reconciles, writes, and how soon an edit arrives.
//!
//! The API server, etcd and the controllers run beside it on the same machine; doubles stand for Strimzi, kubelets
//! and workers. Sizes come from `PARKING_SCALE_PIPELINES` and `PARKING_SCALE_RULES`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures are rounded anyhow"
)]

mod clock;
mod doubles;
mod edits;
mod figures;
mod fleet;
mod machine;
mod phases;
mod requests;

use figures::Figures;
use fleet::{Fleet, Size};

#[tokio::test]
#[ignore = "measures for half an hour: make bench-operator"]
async fn ten_thousand_rules_and_two_hundred_pipelines_stay_within_the_figures() {
    let size = Size::from_environment();
    let mut figures = Figures::default();
    let mut fleet = Fleet::start(size).await.unwrap();
    let ended = phases::all(&mut fleet, &mut figures).await;
    println!("{}", figures.table());
    println!("{}", figures.line(&fleet.facts().await));
    let last_words = fleet.last_words();
    // Before any panic: a namespace of a test that fails tells all that stands in it.
    drop(fleet);
    if let Err(error) = ended {
        panic!("{error}\nthe operator's last words:\n{last_words}");
    }
    let missed = figures.missed();
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}
