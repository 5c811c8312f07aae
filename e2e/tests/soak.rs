//! Two hundred kills, on data folders with other moments each; too long for every run of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
#![allow(clippy::cast_possible_truncation, reason = "a choice among few")]

#[path = "kills/campaign.rs"]
mod campaign;

#[test]
#[ignore = "takes minutes: make soak"]
fn two_hundred_kills_change_nothing() {
    campaign::kill_and_compare(200, 0);
}
