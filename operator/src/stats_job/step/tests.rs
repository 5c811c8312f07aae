use parking_crds::{
    condition::find,
    stats_index::StatsIndex,
    stats_job::{RunResult, StatsJob},
    time::Window,
};
use serde_json::json;

use super::{
    super::{
        index::ObjectError,
        runs::{Failure, RunPlan, RunState},
        schedule::fixture::{at, lake, millis, stats_job_with, valid},
    },
    *,
};
use crate::{error::Class, owned_kinds::OwnedKind};

const NOW: &str = "2016-10-05T12:20:00Z";

fn day() -> Window {
    Window { start: millis("2016-10-03T23:00:00Z"), end: millis("2016-10-04T23:00:00Z") }
}

fn a_lake() -> LakeSeen {
    LakeSeen { lake: Some(lake("2016-10-04T06:59:42Z", "2016-10-05T12:00:00Z")), stats: None }
}

fn with_result(last_result: RunResult) -> LakeSeen {
    let index = StatsIndex {
        computation: valid(&json!({})).computation_id,
        done: [day()].into_iter().collect(),
        last_result: Some(last_result),
        ..StatsIndex::default()
    };
    LakeSeen { stats: Some(index), ..a_lake() }
}

fn take(job: &StatsJob, lake: LakeSeen, runs: &[RunSeen]) -> Step {
    step(job, &Ok(valid(&json!({}))), &Ok(lake), runs, at(NOW))
}

fn seen(state: RunState) -> RunSeen {
    let job = valid(&json!({}));
    let plan = RunPlan::new(&job.namespace, &job.name, &job.computation_id, (day(), 1), 1);
    RunSeen {
        kind: OwnedKind::Job,
        name: plan.name,
        range: day(),
        attempt: 1,
        computation: job.computation_id,
        backfill: None,
        created: at("2016-10-05T00:15:00Z"),
        state,
    }
}

fn told(step: &Step, condition: ConditionType) -> (&str, &str, &str) {
    let found = find(&step.status.conditions, condition).expect("the condition is told");
    assert_eq!(found.observed_generation, Some(2));
    (&found.status, &found.reason, &found.message)
}

#[test]
fn a_due_window_starts_a_run_beside_what_it_needs() {
    let step = take(&stats_job_with(&json!({})), a_lake(), &[]);
    let start = step.start.as_ref().unwrap();
    assert_eq!((start.kind, step.objects.as_ref().unwrap().objects.len()), (OwnedKind::Job, 2));
    assert_eq!(step.status.active, std::slice::from_ref(&start.name));
    assert_eq!(told(&step, ConditionType::Ready).0, "True");
    let (status, reason, message) = told(&step, ConditionType::Complete);
    assert_eq!((status, reason), ("False", "RunActive"));
    assert!(message.contains(&start.name) && message.contains("attempt 1"), "{message}");
}

#[test]
fn nothing_is_pruned_that_a_run_may_mount() {
    let job = stats_job_with(&json!({}));
    assert!(!take(&job, a_lake(), &[]).prune, "a run begins");
    assert!(!take(&job, with_result(RunResult::Succeeded), &[seen(RunState::Ending)]).prune);
    assert!(take(&job, with_result(RunResult::Succeeded), &[]).prune);
}

#[test]
fn columns_tell_the_newest_window_its_result_and_the_next_run() {
    let ended = seen(RunState::Succeeded(at("2016-10-05T00:17:00Z")));
    let step = take(&stats_job_with(&json!({})), with_result(RunResult::Succeeded), &[ended]);
    let status = &step.status;
    assert_eq!(status.last_window.as_deref(), Some("2016-10-03T23:00:00Z/2016-10-04T23:00:00Z"));
    assert_eq!(status.last_result, Some(RunResult::Succeeded));
    assert_eq!(status.last_run.as_ref().unwrap().0, at("2016-10-05T00:17:00Z"));
    assert_eq!(status.next_run.as_ref().unwrap().0, at("2016-10-05T13:15:00Z"));
    let (holds, reason, _) = told(&step, ConditionType::Complete);
    assert_eq!((holds, reason), ("True", "AsSpecified"));
    let unchanged = take(&stats_job_with(&json!({})), with_result(RunResult::Unchanged), &[]);
    assert_eq!(told(&unchanged, ConditionType::Complete).1, "Unchanged");
}

#[test]
fn a_failed_attempt_says_which_why_and_when_the_next_begins() {
    let failed = seen(RunState::Failed(at("2016-10-05T12:19:50Z"), Failure::Deadline));
    let step = take(&stats_job_with(&json!({})), a_lake(), std::slice::from_ref(&failed));
    assert_eq!((step.start.as_ref(), step.next), (None, Some(at("2016-10-05T12:20:20Z"))));
    assert_eq!(step.status.last_result, Some(RunResult::Failed));
    for condition in [ConditionType::Ready, ConditionType::Complete] {
        let (status, reason, message) = told(&step, condition);
        assert_eq!((status, reason), ("False", "RunFailed"));
        for words in ["attempt 1", failed.name.as_str(), "deadline", "2016-10-05T12:20:20Z"] {
            assert!(message.contains(words), "{message}");
        }
    }
}

#[test]
fn a_window_that_waits_names_the_table_and_its_watermark() {
    let behind = LakeSeen { lake: Some(lake("2016-10-04T06:59:42Z", "2016-10-04T20:00:00Z")), stats: None };
    let step = take(&stats_job_with(&json!({})), behind, &[]);
    let (status, reason, message) = told(&step, ConditionType::Complete);
    assert_eq!((status, reason), ("False", "LakeBehind"));
    for words in ["2016-10-03T23:00:00Z/2016-10-04T23:00:00Z", "`events`", "2016-10-04T20:00:00Z"] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(told(&step, ConditionType::Ready).0, "True", "waiting is no fault of the job");
}

#[test]
fn a_refused_job_keeps_its_columns_and_starts_nothing() {
    let mut job = stats_job_with(&json!({}));
    job.status = Some(take(&job, with_result(RunResult::Succeeded), &[]).status);
    let problem = Problem::missing(ConditionType::Accepted, "there is no ParkingPipeline `city`");
    let step = step(&job, &Err(vec![problem]), &Ok(a_lake()), &[], at(NOW));
    assert!(step.objects.is_none() && step.start.is_none() && step.delete.is_empty());
    assert_eq!(told(&step, ConditionType::Accepted).1, "RefNotFound");
    assert_eq!(told(&step, ConditionType::Ready).1, "RefNotFound");
    assert_eq!(step.status.last_window, job.status.unwrap().last_window);
}

#[test]
fn an_absent_spark_operator_leaves_the_job_accepted() {
    let problem = Problem {
        condition: ConditionType::Ready,
        reason: Reason::ApiAbsent,
        class: Class::Blocked,
        message: "install it".to_owned(),
    };
    let step = step(&stats_job_with(&json!({})), &Err(vec![problem]), &Ok(a_lake()), &[], at(NOW));
    assert_eq!(told(&step, ConditionType::Accepted).0, "True");
    assert_eq!(
        (told(&step, ConditionType::Ready).0, told(&step, ConditionType::Ready).1),
        ("False", "ApiAbsent")
    );
}

#[test]
fn a_lake_that_cannot_be_read_starts_nothing() {
    let error =
        ObjectError { class: Class::Transient, message: "bucket `city-lake` does not answer".to_owned() };
    let step = step(&stats_job_with(&json!({})), &Ok(valid(&json!({}))), &Err(error.into()), &[], at(NOW));
    assert!(step.start.is_none() && step.next.is_none());
    let (status, reason, message) = told(&step, ConditionType::Ready);
    assert_eq!((status, reason), ("False", "DependencyFailed"));
    assert!(message.contains("city-lake"));
}

#[test]
fn the_time_of_a_transition_moves_only_with_the_value() {
    let mut job = stats_job_with(&json!({}));
    let first = take(&job, with_result(RunResult::Succeeded), &[]);
    job.status = Some(first.status.clone());
    let later = at("2016-10-05T12:50:00Z");
    let again = step(&job, &Ok(valid(&json!({}))), &Ok(with_result(RunResult::Succeeded)), &[], later);
    assert_eq!(again.status, first.status, "nothing changed, so nothing is written");
    let failed = seen(RunState::Failed(later, Failure::Other));
    let step = step(&job, &Ok(valid(&json!({}))), &Ok(a_lake()), &[failed], later);
    let time = |kind| find(&step.status.conditions, kind).unwrap().last_transition_time.0;
    assert_eq!((time(ConditionType::Accepted), time(ConditionType::Complete)), (at(NOW), later));
}
