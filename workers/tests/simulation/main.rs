//! The simulation: the stages and the archive's commit loop on the adapters in memory, on one thread
//! for each seed, with faults at every await, judged by an oracle that is written differently.
//!
//! `PARKING_SEED=n` runs one seed and prints what happened; `PARKING_SEEDS=n` sets how many are run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bugs;
mod chance;
mod faults;
mod letters;
mod oracle;
mod planted;
mod record;
mod rules;
mod run;
mod schedule;
mod script;
mod seeds;
mod trace;
mod witness;
mod world;
