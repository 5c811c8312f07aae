//! `kill -9` of a running `parking up`, again and again: nothing lost, doubled or changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "a choice among few")]

mod campaign;

use campaign::{kill, outcome, pipeline};

const KILLS: u64 = 20;

#[test]
fn twenty_kills_change_nothing() {
    let (undisturbed, killed) = (pipeline(), pipeline());
    let expected = outcome(&undisturbed);
    let between = kill(&killed, 1, KILLS);
    assert!(between * 4 >= KILLS * 3, "only {between} of {KILLS} kills fell between two commits");
    assert_eq!(outcome(&killed), expected);
}
