//! Two hundred kills, on ten data folders with other moments each; too long for every run of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]
#![allow(clippy::cast_possible_truncation, reason = "a choice among few")]

#[path = "kills/campaign.rs"]
mod campaign;

use campaign::{kill, outcome, pipeline};

const FOLDERS: u64 = 10;
const KILLS: u64 = 20;

#[test]
#[ignore = "takes minutes: make soak"]
fn two_hundred_kills_change_nothing() {
    let undisturbed = pipeline();
    let expected = outcome(&undisturbed);
    let mut between = 0;
    for seed in 0..FOLDERS {
        let killed = pipeline();
        between += kill(&killed, seed, KILLS);
        assert_eq!(outcome(&killed), expected, "seed {seed}");
        println!("{} kills, {between} of them between two commits", (seed + 1) * KILLS);
    }
    assert!(between * 4 >= FOLDERS * KILLS * 3, "only {between} kills fell between two commits");
}
