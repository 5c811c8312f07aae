//! What to do about a job now: which run starts, which end, and when to look again.
//!
//! Invariant: the decision follows from the spec, the lake, the runs that exist and the clock alone.

use jiff::{SignedDuration, Timestamp};
use parking_crds::{
    lake_index::LakeIndex,
    stats_index::{DoneRanges, StatsIndex},
    stats_job::{ConcurrencyPolicy, MissedRuns, RunResult},
    stats_run::MOST_WINDOWS,
    time::Window,
};

use super::{
    backfill::Backfill,
    backlog::{Backlog, LakeBehind, Stretch, last_fire, next_fire},
    retry::{Attempt, Ended, attempt_at, untidy},
    runs::{RunPlan, RunSeen, RunState},
};
use crate::{owned_kinds::OwnedKind, validate::ValidJob};

/// Runs of one job that may go on at once under `Allow`.
pub const MOST_ACTIVE: usize = 4;
/// Pause between two looks at a lake that is behind.
const POLL: SignedDuration = SignedDuration::from_secs(60);
/// Longest pause between two looks.
const LONGEST: SignedDuration = SignedDuration::from_secs(86_400);

/// What to do about a job, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The run to start.
    pub start: Option<RunPlan>,
    /// Runs to delete, with their pods.
    pub delete: Vec<Run>,
    /// When to look again, unless a run or the job changes before.
    pub next: Timestamp,
    /// When the schedule fires next; `None` while suspended.
    pub next_run: Option<Timestamp>,
    /// What users are told.
    pub standing: Standing,
    /// The newest window with a result.
    pub last_window: Option<Window>,
    /// How the newest run ended.
    pub last_result: Option<RunResult>,
    /// When the newest run ended, if its object still exists.
    pub last_run: Option<Timestamp>,
    /// Names of the runs that go on.
    pub active: Vec<String>,
}

/// Which object a run is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Job or SparkApplication.
    pub kind: OwnedKind,
    /// Its name.
    pub name: String,
}

impl From<&RunSeen> for Run {
    fn from(run: &RunSeen) -> Self {
        Self { kind: run.kind, name: run.name.clone() }
    }
}

/// Where a job stands; the first that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is suspended by its spec.
    Suspended,
    /// Runs go on, or one begins now.
    Running {
        /// The highest number of an attempt among them.
        attempt: u32,
    },
    /// Its last attempt left no result; another follows.
    Failing(Ended),
    /// The oldest due window is not complete.
    LakeBehind(LakeBehind),
    /// The lake has no event yet.
    LakeEmpty,
    /// Every due window that the spec asks for has a result.
    UpToDate,
}

/// Decides. Without `lake` nothing was archived yet; an `index` of another computation counts as empty.
pub fn decide(
    job: &ValidJob,
    lake: Option<&LakeIndex>,
    index: Option<&StatsIndex>,
    runs: &[RunSeen],
    now: Timestamp,
) -> Decision {
    let index = index.filter(|index| index.computation == job.computation_id);
    let nothing = DoneRanges::default();
    let done = index.map_or(&nothing, |index| &index.done);
    let backlog = lake.and_then(|lake| Backlog::at(job, lake, now));
    let look = Look { job, backlog: backlog.as_ref(), done, runs, now };
    let intent = look.intent();
    let mut delete = look.outdated();
    delete.extend(intent.replaced.clone());
    delete.extend(untidy(job, runs, |range| done.covers(range)).into_iter().map(Run::from));
    delete.sort();
    delete.dedup();
    let mut active: Vec<String> =
        runs.iter().filter(|run| run.is_active()).map(|run| run.name.clone()).collect();
    active.extend(intent.start.iter().map(|run| run.name.clone()));
    active.sort();
    let newest_run = runs.iter().filter_map(|run| Some((run.ended()?, run))).max_by_key(|&(at, _)| at);
    Decision {
        next: look.next(&intent),
        next_run: if job.spec.suspend() { None } else { next_fire(job, now) },
        standing: look.standing(&intent, lake),
        last_window: done.iter().next_back().map(|last| job.calendar.window_at(last.end - 1)),
        last_result: last_result(job, index, newest_run.map(|(_, run)| run), backlog.as_ref()),
        last_run: newest_run.map(|(at, _)| at),
        start: intent.start,
        delete,
        active,
    }
}

/// Everything that a decision follows from.
struct Look<'a> {
    job: &'a ValidJob,
    backlog: Option<&'a Backlog<'a>>,
    done: &'a DoneRanges,
    runs: &'a [RunSeen],
    now: Timestamp,
}

/// What should be done, before it is put into words.
#[derive(Default)]
struct Intent {
    start: Option<RunPlan>,
    replaced: Vec<Run>,
    /// The attempt before the one that is due or waits.
    before: Option<Ended>,
}

impl Look<'_> {
    fn active(&self) -> impl Iterator<Item = &RunSeen> {
        self.runs.iter().filter(|run| run.is_active())
    }

    /// Runs of a computation that nobody wants any more.
    fn outdated(&self) -> Vec<Run> {
        self.active()
            .filter(|run| run.state == RunState::Active && run.computation != self.job.computation_id)
            .map(Run::from)
            .collect()
    }

    fn intent(&self) -> Intent {
        let Some(wanted) = self.wanted(self.done) else { return self.again() };
        let before = attempt_at(self.job, wanted.range, None, self.runs).before;
        let waits = before.as_ref().is_some_and(|before| before.again > self.now);
        let mut intent = Intent { before, ..Intent::default() };
        if self.job.spec.suspend() {
            return intent;
        }
        // Missing windows come first, unless they wait for their next attempt.
        if waits && let again @ Intent { start: Some(_), .. } = self.again() {
            return Intent { before: intent.before, ..again };
        }
        match self.job.spec.concurrency_policy() {
            _ if self.active().next().is_none() => self.begin(wanted, None, &mut intent),
            ConcurrencyPolicy::Forbid => {}
            ConcurrencyPolicy::Replace => intent.replaced = self.replaced(wanted.range),
            ConcurrencyPolicy::Allow => {
                let taken: DoneRanges = self.done.iter().chain(self.active().map(|run| run.range)).collect();
                let current = self.active().all(|run| run.computation == self.job.computation_id);
                if let Some(free) = self.wanted(&taken)
                    && current
                    && self.active().count() < MOST_ACTIVE
                {
                    self.begin(free, None, &mut intent);
                }
            }
        }
        intent
    }

    /// What somebody asked for once more, while no run goes on.
    fn again(&self) -> Intent {
        let mut intent = Intent::default();
        let asked = self.job.backfill.filter(|backfill| backfill.stands(self.now));
        if let (Some(backfill), Some(backlog)) = (asked, self.backlog)
            && let Some(wanted) = backlog
                .within(backfill.range)
                .oldest(&backfill.answered(&self.job.computation_id, self.runs), MOST_WINDOWS)
            && !self.job.spec.suspend()
            && self.active().next().is_none()
        {
            self.begin(wanted, Some(backfill), &mut intent);
        }
        intent
    }

    /// The windows that the spec asks for and that are not in `taken`.
    fn wanted(&self, taken: &DoneRanges) -> Option<Stretch> {
        let backlog = self.backlog?;
        let newest = || {
            let newest = backlog.newest()?;
            (!taken.covers(newest)).then_some(Stretch { range: newest, windows: 1 })
        };
        match self.job.spec.missed_runs() {
            MissedRuns::CatchUpAll => backlog.oldest(taken, MOST_WINDOWS),
            MissedRuns::CatchUpLatest => newest(),
            MissedRuns::Skip => newest().filter(|_| backlog.is_prompt(self.now)),
        }
    }

    fn begin(&self, wanted: Stretch, backfill: Option<Backfill>, intent: &mut Intent) {
        let Attempt { number, before } = attempt_at(self.job, wanted.range, backfill, self.runs);
        if before.as_ref().is_none_or(|before| before.again <= self.now) {
            let windows = (wanted.range, wanted.windows);
            let ValidJob { namespace, name, computation_id, .. } = self.job;
            let run = RunPlan::new(namespace, name, computation_id, windows, number);
            intent.start = Some(match backfill {
                None => run,
                Some(backfill) => run.answering(namespace, name, backfill),
            });
        }
        intent.before = before;
    }

    /// Runs that a newer one takes the place of: a time of the schedule came since, and there is more to compute.
    fn replaced(&self, wanted: Window) -> Vec<Run> {
        let fired = last_fire(self.job, self.now);
        let holds = |run: &RunSeen| run.range.start <= wanted.start && wanted.end <= run.range.end;
        self.active()
            .filter(|run| run.state == RunState::Active && run.backfill.is_none() && !holds(run))
            .filter(|run| fired.is_some_and(|fired| fired > run.created))
            .map(Run::from)
            .collect()
    }

    fn standing(&self, intent: &Intent, lake: Option<&LakeIndex>) -> Standing {
        if self.job.spec.suspend() {
            return Standing::Suspended;
        }
        let attempts = self.active().map(|run| run.attempt).chain(intent.start.iter().map(|run| run.attempt));
        if let Some(attempt) = attempts.max() {
            return Standing::Running { attempt };
        }
        if let Some(ended) = intent.before.clone() {
            return Standing::Failing(ended);
        }
        if lake.is_none_or(|lake| lake.first_event.is_none()) {
            return Standing::LakeEmpty;
        }
        self.backlog.and_then(Backlog::behind).map_or(Standing::UpToDate, Standing::LakeBehind)
    }

    /// The lake is polled while windows wait for it; runs are watched.
    fn next(&self, intent: &Intent) -> Timestamp {
        let after = |pause| self.now.checked_add(pause).unwrap_or(Timestamp::MAX);
        let longest = after(LONGEST);
        let mut next = next_fire(self.job, self.now).map_or(longest, |fire| fire.min(longest));
        if self.job.spec.suspend() {
            return next;
        }
        if let Some(before) = intent.before.as_ref().filter(|before| before.again > self.now) {
            next = next.min(before.again);
        }
        let waits = self.backlog.is_none_or(|backlog| backlog.behind().is_some());
        if waits || intent.start.is_some() || !intent.replaced.is_empty() {
            next = next.min(after(POLL));
        }
        next
    }
}

fn last_result(
    job: &ValidJob,
    index: Option<&StatsIndex>,
    newest: Option<&RunSeen>,
    backlog: Option<&Backlog<'_>>,
) -> Option<RunResult> {
    let current = newest.filter(|run| run.computation == job.computation_id);
    if matches!(current.map(|run| run.state), Some(RunState::Failed(..))) {
        return Some(RunResult::Failed);
    }
    let told = index.and_then(|index| index.last_result);
    told.or_else(|| backlog.and_then(Backlog::behind).map(|_| RunResult::LakeBehind))
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
