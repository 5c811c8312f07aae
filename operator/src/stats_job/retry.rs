//! When windows whose run did not leave a result are tried again.
//!
//! Invariant: attempts are counted from the runs that still exist, and the newest attempt at missing windows is never
//! tidied away, so an operator without memory counts the same.

use jiff::{SignedDuration, Timestamp};
use parking_crds::time::Window;

use super::{
    backfill::Backfill,
    backlog::next_fire,
    runs::{RunSeen, RunState},
};
use crate::validate::ValidJob;

/// Attempts that follow each other after growing pauses; then there is one at each time of the schedule.
pub const QUICK_ATTEMPTS: u32 = 5;
/// Pause after the first attempt; each further one is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The attempt that is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// The attempt before it, if there was one.
    pub before: Option<Ended>,
}

/// An attempt that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunSeen,
    /// When the next attempt may begin.
    pub again: Timestamp,
}

/// The next attempt at a stretch of missing windows, be it for a request or not.
pub fn attempt_at(job: &ValidJob, range: Window, backfill: Option<Backfill>, runs: &[RunSeen]) -> Attempt {
    let newest = runs
        .iter()
        .filter(|run| {
            run.computation == job.computation_id && run.backfill == backfill && run.overlaps(range)
        })
        .filter_map(|run| Some((run.attempt, run.ended()?, run)))
        .max_by_key(|&(attempt, ended, _)| (attempt, ended));
    match newest {
        None => Attempt { number: 1, before: None },
        Some((attempt, ended, run)) => Attempt {
            number: attempt.saturating_add(1),
            before: Some(Ended { run: run.clone(), again: again(job, attempt, ended) }),
        },
    }
}

fn again(job: &ValidJob, attempt: u32, ended: Timestamp) -> Timestamp {
    let doublings = attempt.saturating_sub(1).min(QUICK_ATTEMPTS);
    let pause = FIRST_PAUSE.checked_mul(1 << doublings).unwrap_or(FIRST_PAUSE);
    let soon = ended.checked_add(pause).unwrap_or(ended);
    if attempt < QUICK_ATTEMPTS { soon } else { next_fire(job, ended).map_or(soon, |fire| fire.max(soon)) }
}

/// Finished runs beyond the limits of the job, except those from which attempts are counted.
pub fn untidy<'a>(job: &ValidJob, runs: &'a [RunSeen], is_done: impl Fn(Window) -> bool) -> Vec<&'a RunSeen> {
    let mut ended: Vec<(Timestamp, &RunSeen)> =
        runs.iter().filter_map(|run| Some((run.ended()?, run))).collect();
    ended.sort_by(|a, b| (b.0, &b.1.name).cmp(&(a.0, &a.1.name)));
    let is_evidence = |run: &RunSeen| {
        let outdone = |other: &RunSeen| {
            other.computation == run.computation
                && other.backfill == run.backfill
                && other.overlaps(run.range)
                && other.attempt > run.attempt
        };
        // While a request stands, its runs are all that says what of it was computed.
        let counts = match run.backfill {
            None => !is_done(run.range),
            answered => answered == job.backfill,
        };
        run.computation == job.computation_id && counts && !runs.iter().any(outdone)
    };
    let (mut good, mut bad) =
        (limit(job.spec.successful_runs_history_limit), limit(job.spec.failed_runs_history_limit));
    let mut untidy = Vec::new();
    for (_, run) in ended {
        let left = if matches!(run.state, RunState::Succeeded(_)) { &mut good } else { &mut bad };
        if *left > 0 {
            *left -= 1;
        } else if !is_evidence(run) {
            untidy.push(run);
        }
    }
    untidy
}

/// Three unless set.
fn limit(wanted: Option<u32>) -> u32 {
    wanted.unwrap_or(3)
}
