//! `kill -9` of a running `parking up`, again and again: nothing lost, doubled or changed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
#![allow(clippy::cast_possible_truncation, reason = "a choice among few")]

mod campaign;

#[test]
fn twenty_kills_change_nothing() {
    campaign::kill_and_compare(20, 100);
}
