//! Runs: their names, and what their Jobs and `SparkApplication`s say of them.
//!
//! Invariant: what a run computes is read from the pod template of a Job, which nobody can edit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{ResourceExt, core::DynamicObject};
use parking_crds::{
    names::{JobName, Namespace},
    stats_run::{instant, parse_instant},
    time::Window,
};
use sha2::{Digest, Sha256};

use super::backfill::Backfill;
use crate::{foreign::spark, labels, owned_kinds::OwnedKind};

/// First instant of the first window of a run.
pub const FROM: &str = "parking.tinyx.io/windows-from";
/// First instant after the last window of a run.
pub const UNTIL: &str = "parking.tinyx.io/windows-until";
/// Which attempt at its windows a run is, from 1.
pub const ATTEMPT: &str = "parking.tinyx.io/attempt";
/// The computation that a run is part of.
pub const COMPUTATION: &str = "parking.tinyx.io/computation";

/// A run that shall start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// Name of the Job or SparkApplication.
    pub name: String,
    /// From the first window's start to the last one's end.
    pub range: Window,
    /// How many windows that is.
    pub windows: usize,
    /// Which attempt at these windows, from 1.
    pub attempt: u32,
    /// The request that it answers; then windows that have a result are computed all the same.
    pub backfill: Option<Backfill>,
}

impl RunPlan {
    /// Names a run.
    pub fn new(
        namespace: &Namespace,
        job: &JobName,
        computation: &str,
        (range, windows): (Window, usize),
        attempt: u32,
    ) -> Self {
        let identity = format!("{namespace}/{job}/{computation}/{}/{}/{attempt}", range.start, range.end);
        Self { name: name(job, &identity), range, windows, attempt, backfill: None }
    }

    /// The same run as an answer to a request.
    #[must_use]
    pub fn answering(self, namespace: &Namespace, job: &JobName, backfill: Backfill) -> Self {
        let identity = format!("{namespace}/{}/{backfill}", self.name);
        Self { name: name(job, &identity), backfill: Some(backfill), ..self }
    }

    /// The annotations that [`RunSeen`] reads.
    pub fn annotations(&self, computation: &str) -> BTreeMap<String, String> {
        let always = [
            (FROM, instant(self.range.start)),
            (UNTIL, instant(self.range.end)),
            (ATTEMPT, self.attempt.to_string()),
            (COMPUTATION, computation.to_owned()),
        ];
        let backfill = self.backfill.map(|backfill| (labels::BACKFILL, backfill.to_string()));
        always.into_iter().chain(backfill).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Ten digits of a hash tell the runs of a job apart.
fn name(job: &JobName, identity: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(identity).into();
    let head = digest.iter().take(5).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{job}-{head:010x}")
}

/// A run as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSeen {
    /// Job or SparkApplication.
    pub kind: OwnedKind,
    /// Name of the object.
    pub name: String,
    /// From the first window's start to the last one's end.
    pub range: Window,
    /// Which attempt at these windows.
    pub attempt: u32,
    /// The computation that the run is part of.
    pub computation: String,
    /// The request that it answers.
    pub backfill: Option<Backfill>,
    /// When the object was made.
    pub created: Timestamp,
    /// How it stands.
    pub state: RunState,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It computes, or will.
    Active,
    /// It is being deleted; its pods may still compute.
    Ending,
    /// It ended well.
    Succeeded(Timestamp),
    /// It ended badly.
    Failed(Timestamp, Failure),
}

/// Why a run failed, as far as users need to know; its own words stay in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It took too long.
    Deadline,
    /// Its pods failed again and again.
    PodsFailed,
    /// The program refused what it was told.
    Refused,
    /// Another reason.
    Other,
}

impl Failure {
    /// What happened, to end a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "it took longer than its deadline",
            Self::PodsFailed => "its pods failed",
            Self::Refused => "the program refused its configuration",
            Self::Other => "it ended without a result",
        }
    }
}

impl RunSeen {
    /// Reads a Job; `None` where it is no run of ours.
    pub fn of_job(job: &Job) -> Option<Self> {
        let template = job.spec.as_ref()?.template.metadata.as_ref()?;
        let state = if job.metadata.deletion_timestamp.is_some() { RunState::Ending } else { job_state(job) };
        Self::read(OwnedKind::Job, &job.metadata, template.annotations.as_ref()?, state)
    }

    /// Reads a SparkApplication; `None` where it is no run of ours.
    pub fn of_spark(application: &DynamicObject) -> Option<Self> {
        let meta = &application.metadata;
        let state =
            if meta.deletion_timestamp.is_some() { RunState::Ending } else { spark::state(application) };
        Self::read(OwnedKind::SparkApplication, meta, application.annotations(), state)
    }

    fn read(
        kind: OwnedKind,
        meta: &ObjectMeta,
        annotations: &BTreeMap<String, String>,
        state: RunState,
    ) -> Option<Self> {
        Some(Self {
            kind,
            name: meta.name.clone()?,
            range: Window {
                start: parse_instant(annotations.get(FROM)?)?,
                end: parse_instant(annotations.get(UNTIL)?)?,
            },
            attempt: annotations.get(ATTEMPT)?.parse().ok()?,
            computation: annotations.get(COMPUTATION)?.clone(),
            backfill: annotations.get(labels::BACKFILL).and_then(|text| text.parse().ok()),
            created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0),
            state,
        })
    }

    /// Whether pods of the run may compute.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, RunState::Active | RunState::Ending)
    }

    /// When the run ended, if it did.
    pub const fn ended(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Active | RunState::Ending => None,
            RunState::Succeeded(at) | RunState::Failed(at, _) => Some(at),
        }
    }

    /// Whether the run has windows within a stretch.
    pub const fn overlaps(&self, range: Window) -> bool {
        self.range.start < range.end && range.start < self.range.end
    }
}

fn job_state(job: &Job) -> RunState {
    let made = job.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0);
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    for condition in conditions.iter().filter(|condition| condition.status == "True") {
        let at = condition.last_transition_time.as_ref().map_or(made, |at| at.0);
        match condition.type_.as_str() {
            "Complete" => return RunState::Succeeded(at),
            "Failed" => return RunState::Failed(at, failure(condition.reason.as_deref())),
            _ => {}
        }
    }
    RunState::Active
}

fn failure(reason: Option<&str>) -> Failure {
    match reason {
        Some("DeadlineExceeded") => Failure::Deadline,
        Some("BackoffLimitExceeded") => Failure::PodsFailed,
        Some("PodFailurePolicy") => Failure::Refused,
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn job(status: &serde_json::Value, deleting: bool) -> Job {
        let mut meta = json!({"name": "hourly-1", "creationTimestamp": "2016-10-05T00:15:00Z"});
        if deleting {
            meta["deletionTimestamp"] = "2016-10-05T00:16:00Z".into();
        }
        serde_json::from_value(json!({
            "metadata": meta,
            "spec": {"template": {
                "metadata": {"annotations": {
                    FROM: "2016-10-03T23:00:00Z", UNTIL: "2016-10-04T23:00:00Z", ATTEMPT: "2", COMPUTATION: "c",
                }},
                "spec": {"containers": []},
            }},
            "status": status,
        }))
        .unwrap()
    }

    fn ended(kind: &str, reason: &str) -> serde_json::Value {
        json!({"conditions": [
            {"type": "FailureTarget", "status": "True"},
            {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": "2016-10-05T00:20:00Z"},
        ]})
    }

    #[test]
    fn the_state_of_a_job_is_read_from_its_conditions() {
        let at: Timestamp = "2016-10-05T00:20:00Z".parse().unwrap();
        for (status, state) in [
            (json!({}), RunState::Active),
            (ended("Complete", "CompletionsReached"), RunState::Succeeded(at)),
            (ended("Failed", "DeadlineExceeded"), RunState::Failed(at, Failure::Deadline)),
            (ended("Failed", "BackoffLimitExceeded"), RunState::Failed(at, Failure::PodsFailed)),
            (ended("Failed", "PodFailurePolicy"), RunState::Failed(at, Failure::Refused)),
            (ended("Failed", "NewerKubernetes"), RunState::Failed(at, Failure::Other)),
        ] {
            assert_eq!(RunSeen::of_job(&job(&status, false)).unwrap().state, state);
        }
        let ending = RunSeen::of_job(&job(&ended("Complete", ""), true)).unwrap();
        assert_eq!(ending.state, RunState::Ending);
        assert!(ending.is_active() && ending.attempt == 2);
    }

    #[test]
    fn a_job_of_somebody_else_is_no_run() {
        let mut foreign = job(&json!({}), false);
        foreign.spec.as_mut().unwrap().template.metadata = None;
        assert_eq!(RunSeen::of_job(&foreign), None);
    }

    proptest! {
        #[test]
        fn names_fit_a_label_and_follow_from_the_run(
            job in "[a-z][a-z0-9]{0,39}", start in 0_i64..4_000_000_000_000, length in 1_i64..90_000_000, attempt in 1_u32..9
        ) {
            let (namespace, name) = ("parking".parse().unwrap(), job.parse().unwrap());
            let range = Window { start, end: start + length };
            let run = RunPlan::new(&namespace, &name, "c", (range, 1), attempt);
            prop_assert!(run.name.len() <= 63);
            prop_assert_eq!(&run, &RunPlan::new(&namespace, &name, "c", (range, 1), attempt));
            prop_assert_ne!(&run.name, &RunPlan::new(&namespace, &name, "c", (range, 1), attempt + 1).name);
            prop_assert_ne!(&run.name, &RunPlan::new(&namespace, &name, "d", (range, 1), attempt).name);
        }
    }
}
