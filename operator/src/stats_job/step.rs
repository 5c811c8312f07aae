//! One step of a job, from what was read to what is written.

use jiff::Timestamp;
use parking_crds::{
    condition::{ConditionType, Reason},
    stats_job::{StatsJob, StatsJobStatus},
};

use super::{
    index::{IndexError, LakeSeen},
    runs::RunSeen,
    schedule::{Run, decide},
    status::{Finding, decided, refused, with_conditions},
};
use crate::{
    plan::{self, Plan, Planned},
    problem::Problem,
    validate::ValidJob,
};

/// What to do about a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What must exist for every run; `None` leaves all as it is.
    pub objects: Option<Plan>,
    /// Whether objects of those kinds that carry the job's label and are not named are deleted: not while a run that
    /// may still mount the file of another pipeline or computation goes on.
    pub prune: bool,
    /// Runs to delete, with their pods, before anything starts.
    pub delete: Vec<Run>,
    /// The run to create once the objects exist; that it exists already is success.
    pub start: Option<Planned>,
    /// When to look again, unless something changes before; `None` leaves that to the error's class.
    pub next: Option<Timestamp>,
    /// What the job's status shall be.
    pub status: StatsJobStatus,
}

/// Takes a job one step further. Runs were read before the lake was.
pub fn step(
    job: &StatsJob,
    checked: &Result<ValidJob, Vec<Problem>>,
    lake: &Result<LakeSeen, IndexError>,
    runs: &[RunSeen],
    now: Timestamp,
) -> Step {
    let before = job.status.clone().unwrap_or_default();
    let generation = job.metadata.generation.unwrap_or_default();
    let rest = |objects, findings: &[Finding]| Step {
        objects,
        prune: false,
        delete: Vec::new(),
        start: None,
        next: None,
        status: with_conditions(&before, generation, findings, now),
    };
    let valid = match checked {
        Ok(valid) => valid,
        Err(problems) => return rest(None, &refused(problems)),
    };
    let seen = match lake {
        Ok(seen) => seen,
        Err(error) => {
            let problem = Problem {
                condition: ConditionType::Ready,
                reason: Reason::DependencyFailed,
                class: crate::error::Classify::class(error),
                message: error.to_string(),
            };
            return rest(Some(plan::stats_objects(valid)), &refused(&[problem]));
        }
    };
    let decision = decide(valid, seen.lake.as_ref(), seen.stats.as_ref(), runs, now);
    Step {
        objects: Some(plan::stats_objects(valid)),
        start: decision.start.as_ref().map(|run| plan::stats_run(valid, run)),
        prune: decision.active.is_empty(),
        next: Some(decision.next),
        status: decided(&before, generation, &decision, now),
        delete: decision.delete,
    }
}

#[cfg(test)]
mod tests;
