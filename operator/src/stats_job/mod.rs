//! The scheduler of statistics: which windows are missing, and which run computes them.
//!
//! Which windows are done is read from the lake; status is a cache that is only ever written. What is due follows
//! from the schedule, the lake and the clock, never from what the operator remembers: one that was down for days,
//! lost every status or saw a job made anew starts the same runs as one that was not.
//!
//! Must not (apart from [`index`], which reads objects through a trait): name a client, a runtime or a clock.
//! Invariants: a run has at most [`parking_crds::stats_run::MOST_WINDOWS`] windows and names them in its arguments;
//! under `Forbid` and `Replace` no two runs of a job are active; a run's name follows from job, computation, windows
//! and attempt, so that starting it twice starts it once.

pub mod backfill;
pub mod backlog;
pub mod index;
pub mod retry;
pub mod runs;
pub mod schedule;
pub mod status;
pub mod step;
