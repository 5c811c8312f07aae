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

use parking_e2e::fault_table::Row;

#[test]
#[ignore = "takes minutes: make soak runs it"]
fn two_hundred_kills_change_nothing() {
    let mut row = Row::new(1, "kill -9 of parking up", None);
    campaign::kill_and_compare(200, 0);
    row.add(200, &[]);
    row.is_whole().unwrap();
}
