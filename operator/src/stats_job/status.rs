//! What users are told of a job: conditions and columns.
//!
//! Invariants: every condition names the generation that it speaks of; the time of a transition moves only when the
//! value does; what cannot be known any more keeps the value that the status had.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_crds::{
    condition::{ConditionType, Reason},
    stats_job::{RunResult, StatsJobStatus},
    stats_run::instant,
    time::Window,
};

use super::{
    backlog::LakeBehind,
    retry::{Ended, QUICK_ATTEMPTS},
    runs::RunState,
    schedule::{Decision, Standing},
};
use crate::{problem::Problem, status::Conditions};

/// Most names in `status.active`.
const MOST_NAMES: usize = 64;

/// One condition as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub condition: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// What is so, and what to do about it.
    pub message: String,
}

impl Finding {
    fn new(condition: ConditionType, holds: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, holds, reason, message: message.into() }
    }
}

/// The conditions of a job that was decided about.
pub fn findings(decision: &Decision) -> Vec<Finding> {
    let accepted =
        Finding::new(ConditionType::Accepted, true, Reason::AsSpecified, "the job can be scheduled");
    let ready = match &decision.standing {
        Standing::Suspended => Finding::new(
            ConditionType::Ready,
            true,
            Reason::Suspended,
            "no run starts while spec.suspend is true",
        ),
        Standing::Failing(ended) => {
            Finding::new(ConditionType::Ready, false, Reason::RunFailed, failing(ended))
        }
        Standing::Running { .. } | Standing::LakeBehind(_) | Standing::LakeEmpty | Standing::UpToDate => {
            Finding::new(ConditionType::Ready, true, Reason::AsSpecified, "runs start as scheduled")
        }
    };
    vec![accepted, ready, complete(decision)]
}

fn complete(decision: &Decision) -> Finding {
    let finding = |holds, reason, message| Finding::new(ConditionType::Complete, holds, reason, message);
    let newest = decision.last_window.map_or("no window has a result yet".to_owned(), |last| {
        format!("the newest result is of {}", span(last))
    });
    let (has_result, failed) =
        (decision.last_window.is_some(), decision.last_result == Some(RunResult::Failed));
    match &decision.standing {
        Standing::Failing(ended) => finding(false, Reason::RunFailed, failing(ended)),
        Standing::Running { attempt } => {
            let runs = decision.active.join(", ");
            finding(false, Reason::RunActive, format!("{runs} goes on (attempt {attempt}); {newest}"))
        }
        _ if failed => finding(
            false,
            Reason::RunFailed,
            format!("the last run failed: see its log; the next is due as scheduled; {newest}"),
        ),
        Standing::Suspended => finding(has_result, Reason::Suspended, newest),
        Standing::LakeBehind(behind) => {
            finding(has_result, Reason::LakeBehind, format!("{}; {newest}", waiting(behind)))
        }
        Standing::LakeEmpty => finding(
            false,
            Reason::LakeBehind,
            "the lake has no event yet: look at the archive workers if events arrive".to_owned(),
        ),
        Standing::UpToDate if decision.last_result == Some(RunResult::Unchanged) => {
            finding(has_result, Reason::Unchanged, format!("the tables had been read before; {newest}"))
        }
        Standing::UpToDate => finding(has_result, Reason::AsSpecified, newest),
    }
}

fn waiting(behind: &LakeBehind) -> String {
    let table = behind.table.as_str();
    let state = behind
        .watermark
        .map_or("which has none yet".to_owned(), |watermark| format!("which is at {}", instant(watermark)));
    format!("window {} waits for the watermark of the table `{table}`, {state}", span(behind.window))
}

fn failing(ended: &Ended) -> String {
    let run = &ended.run;
    let why = match run.state {
        RunState::Failed(_, failure) => failure.as_str(),
        RunState::Succeeded(_) => "it succeeded, but the lake's index does not show its windows",
        RunState::Active | RunState::Ending => "it has not ended",
    };
    let pace =
        if run.attempt >= QUICK_ATTEMPTS { ", from now on one at each time of the schedule" } else { "" };
    format!(
        "attempt {} at {} failed as `{}`: {why}; see its log; the next attempt begins at {}{pace}",
        run.attempt,
        span(run.range),
        run.name,
        instant(ended.again.as_millisecond()),
    )
}

/// A stretch of time as `status.lastWindow` writes it.
pub fn span(window: Window) -> String {
    format!("{}/{}", instant(window.start), instant(window.end))
}

/// The conditions of a job that cannot be scheduled now.
pub fn refused(problems: &[Problem]) -> Vec<Finding> {
    let about = |wanted: ConditionType| {
        let mut of = problems.iter().filter(move |problem| problem.condition == wanted).peekable();
        let reason = of.peek().map(|problem| problem.reason)?;
        let messages: Vec<&str> = of.map(|problem| problem.message.as_str()).collect();
        Some(Finding::new(wanted, false, reason, messages.join("; ")))
    };
    let accepted = about(ConditionType::Accepted);
    let ready = about(ConditionType::Ready)
        .or_else(|| accepted.clone().map(|finding| Finding { condition: ConditionType::Ready, ..finding }));
    let fine =
        || Finding::new(ConditionType::Accepted, true, Reason::AsSpecified, "the job can be scheduled");
    [Some(accepted.unwrap_or_else(fine)), ready, about(ConditionType::Complete)]
        .into_iter()
        .flatten()
        .collect()
}

/// The status of a job that was decided about.
pub fn decided(
    before: &StatsJobStatus,
    generation: i64,
    decision: &Decision,
    now: Timestamp,
) -> StatsJobStatus {
    StatsJobStatus {
        last_window: decision.last_window.map(span),
        last_result: decision.last_result.or(before.last_result),
        last_run: decision.last_run.map(Time).or_else(|| before.last_run.clone()),
        next_run: decision.next_run.map(Time),
        active: decision.active.iter().take(MOST_NAMES).cloned().collect(),
        ..with_conditions(before, generation, &findings(decision), now)
    }
}

/// The status with these conditions; all else stays.
pub fn with_conditions(
    before: &StatsJobStatus,
    generation: i64,
    findings: &[Finding],
    now: Timestamp,
) -> StatsJobStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    for finding in findings {
        conditions.set(finding.condition, finding.holds, finding.reason, finding.message.as_str());
    }
    StatsJobStatus {
        observed_generation: Some(generation),
        conditions: conditions.and_the_others(),
        ..before.clone()
    }
}
