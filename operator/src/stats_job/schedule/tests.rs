use parking_crds::lake_index::Table;
use serde_json::json;

use super::{
    super::runs::Failure,
    fixture::{at, lake, millis, valid},
    *,
};

const FIRST: &str = "2016-10-04T06:59:42Z";

fn index(job: &ValidJob, done: &[(&str, &str)]) -> StatsIndex {
    StatsIndex {
        computation: job.computation_id.clone(),
        done: done.iter().map(|(start, end)| Window { start: millis(start), end: millis(end) }).collect(),
        ..StatsIndex::default()
    }
}

fn seen(job: &ValidJob, range: (&str, &str), attempt: u32, state: RunState) -> RunSeen {
    let range = Window { start: millis(range.0), end: millis(range.1) };
    let plan = RunPlan::new(&job.namespace, &job.name, &job.computation_id, (range, 1), attempt);
    RunSeen {
        kind: OwnedKind::Job,
        name: plan.name,
        range,
        attempt,
        computation: job.computation_id.clone(),
        backfill: None,
        created: at("2016-10-06T00:15:00Z"),
        state,
    }
}

fn started(decision: &Decision) -> (String, usize, u32) {
    let run = decision.start.as_ref().expect("a run starts");
    (super::super::status::span(run.range), run.windows, run.attempt)
}

fn span(start: &str, end: &str, windows: usize, attempt: u32) -> (String, usize, u32) {
    (format!("{start}/{end}"), windows, attempt)
}

#[test]
fn all_missing_windows_are_one_run() {
    let job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let decision = decide(&job, Some(&lake), None, &[], at("2016-10-07T12:20:00Z"));
    assert_eq!(started(&decision), span("2016-10-03T23:00:00Z", "2016-10-06T23:00:00Z", 3, 1));
    assert_eq!(decision.next_run, Some(at("2016-10-07T13:15:00Z")));
    assert_eq!(decision.active, [decision.start.unwrap().name]);
}

#[test]
fn three_days_down_end_in_the_windows_of_three_days() {
    let job = valid(&json!({}));
    let done = index(&job, &[("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z")]);
    let lake = lake(FIRST, "2016-10-08T00:10:00Z");
    let decision = decide(&job, Some(&lake), Some(&done), &[], at("2016-10-08T00:20:00Z"));
    assert_eq!(started(&decision), span("2016-10-04T23:00:00Z", "2016-10-07T23:00:00Z", 3, 1));
}

#[test]
fn a_gap_is_filled_before_what_comes_after() {
    let job = valid(&json!({}));
    let done = index(
        &job,
        &[("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z"), ("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z")],
    );
    let lake = lake(FIRST, "2016-10-08T00:10:00Z");
    let now = at("2016-10-08T00:20:00Z");
    let decision = decide(&job, Some(&lake), Some(&done), &[], now);
    assert_eq!(started(&decision), span("2016-10-04T23:00:00Z", "2016-10-05T23:00:00Z", 1, 1));
}

#[test]
fn a_long_history_is_cut_into_runs_of_400_windows() {
    let job = valid(&json!({"window": "1h"}));
    let lake = lake("2016-01-01T00:30:00Z", "2016-12-31T00:00:00Z");
    let decision = decide(&job, Some(&lake), None, &[], at("2017-01-01T00:00:00Z"));
    assert_eq!(started(&decision).1, 400);
    assert_eq!(decision.start.unwrap().range.end, millis("2016-01-17T16:00:00Z"));
}

#[test]
fn days_of_23_and_25_hours_are_one_window_each() {
    let job = valid(&json!({}));
    for (day, end, hours) in [
        ("2016-10-29T23:00:00Z", "2016-10-31T00:00:00Z", 25),
        ("2017-03-26T00:00:00Z", "2017-03-26T23:00:00Z", 23),
    ] {
        let lake = lake(day, end);
        let early = decide(&job, Some(&lake), None, &[], at(end) + SignedDuration::from_mins(14));
        assert_eq!(early.start, None, "the schedule has not fired since the end");
        let decision = decide(&job, Some(&lake), None, &[], at(end) + SignedDuration::from_mins(15));
        let range = decision.start.unwrap().range;
        assert_eq!((range.start, range.end), (millis(day), millis(end)));
        assert_eq!((range.end - range.start) / 3_600_000, hours);
    }
}

#[test]
fn a_time_that_the_clocks_skip_fires_when_the_gap_ends() {
    let job = valid(&json!({"schedule": "30 1 * * *"}));
    let lake = lake("2017-03-25T00:00:00Z", "2017-03-26T00:00:00Z");
    assert_eq!(decide(&job, Some(&lake), None, &[], at("2017-03-26T01:29:00Z")).start, None);
    assert!(decide(&job, Some(&lake), None, &[], at("2017-03-26T01:30:00Z")).start.is_some());
}

#[test]
fn a_lake_that_is_behind_is_waited_for_and_named() {
    let job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-04T22:59:59Z");
    let now = at("2016-10-04T23:15:00Z");
    let decision = decide(&job, Some(&lake), None, &[], now);
    assert_eq!(decision.start, None);
    let Standing::LakeBehind(behind) = &decision.standing else { panic!("{:?}", decision.standing) };
    assert_eq!((behind.table, behind.watermark), (Table::Events, Some(millis("2016-10-04T22:59:59Z"))));
    assert_eq!(behind.window.end, millis("2016-10-04T23:00:00Z"));
    assert_eq!(decision.last_result, Some(RunResult::LakeBehind));
    assert_eq!(decision.next, now + POLL);
}

#[test]
fn an_empty_lake_starts_nothing() {
    let job = valid(&json!({}));
    let decision = decide(&job, None, None, &[], at("2016-10-08T00:20:00Z"));
    assert_eq!((decision.start, decision.standing), (None, Standing::LakeEmpty));
}

#[test]
fn start_at_leaves_out_what_began_before() {
    let job = valid(&json!({"startAt": "2016-10-05T10:00:00Z"}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let decision = decide(&job, Some(&lake), None, &[], at("2016-10-07T12:20:00Z"));
    assert_eq!(started(&decision), span("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z", 1, 1));
}

#[test]
fn what_the_lake_forgot_is_not_computed() {
    let mut job = valid(&json!({}));
    job.retention = Some("2d".parse().unwrap());
    let lake = lake(FIRST, "2016-10-08T12:00:00Z");
    let decision = decide(&job, Some(&lake), None, &[], at("2016-10-08T12:20:00Z"));
    assert_eq!(started(&decision).0, "2016-10-06T23:00:00Z/2016-10-07T23:00:00Z");
}

#[test]
fn only_the_newest_window_is_caught_up_when_the_spec_says_so() {
    let job = valid(&json!({"missedRuns": "CatchUpLatest"}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let now = at("2016-10-07T12:59:00Z");
    let decision = decide(&job, Some(&lake), None, &[], now);
    assert_eq!(started(&decision), span("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z", 1, 1));
    let done = index(&job, &[("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z")]);
    let decision = decide(&job, Some(&lake), Some(&done), &[], now);
    assert_eq!((decision.start, decision.standing), (None, Standing::UpToDate));
}

#[test]
fn a_missed_run_is_skipped_until_the_next_time_of_the_schedule() {
    let job = valid(&json!({"missedRuns": "Skip"}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let decide = |now| decide(&job, Some(&lake), None, &[], at(now));
    assert!(decide("2016-10-07T12:44:59Z").start.is_some());
    assert_eq!(decide("2016-10-07T12:45:00Z").start, None, "half of the hour has gone");
    assert_eq!(started(&decide("2016-10-07T13:15:00Z")).0, "2016-10-05T23:00:00Z/2016-10-06T23:00:00Z");
}

#[test]
fn a_suspended_job_starts_nothing_and_lets_go_on_what_runs() {
    let job = valid(&json!({"suspend": true}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let active = seen(&job, ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z"), 1, RunState::Active);
    let decision = decide(&job, Some(&lake), None, &[active], at("2016-10-07T12:20:00Z"));
    assert_eq!((decision.start, decision.standing), (None, Standing::Suspended));
    assert!(decision.delete.is_empty() && decision.next_run.is_none() && decision.active.len() == 1);
}

/// What each policy does while the first window is computed and two more are due.
#[test]
fn concurrency_is_as_the_policy_says() {
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let now = at("2016-10-07T12:20:00Z");
    let first = ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z");
    let with = |policy: &str| {
        let job = valid(&json!({"concurrencyPolicy": policy}));
        let active = seen(&job, first, 1, RunState::Active);
        (decide(&job, Some(&lake), None, std::slice::from_ref(&active), now), active.name)
    };
    let (forbid, _) = with("Forbid");
    assert_eq!((forbid.start, forbid.standing), (None, Standing::Running { attempt: 1 }));
    assert!(forbid.delete.is_empty());
    let (allow, _) = with("Allow");
    assert_eq!(started(&allow), span("2016-10-04T23:00:00Z", "2016-10-06T23:00:00Z", 2, 1));
    let (replace, old) = with("Replace");
    assert_eq!(replace.start, None, "the old one ends first");
    assert_eq!(replace.delete, [Run { kind: OwnedKind::Job, name: old }]);
}

#[test]
fn a_run_with_the_same_windows_is_not_replaced() {
    let job = valid(&json!({"concurrencyPolicy": "Replace"}));
    let lake = lake(FIRST, "2016-10-05T12:00:00Z");
    let active = seen(&job, ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z"), 1, RunState::Active);
    assert!(decide(&job, Some(&lake), None, &[active], at("2016-10-07T12:20:00Z")).delete.is_empty());
}

#[test]
fn a_run_that_is_being_deleted_still_counts() {
    let job = valid(&json!({"concurrencyPolicy": "Replace"}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let ending = seen(&job, ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z"), 1, RunState::Ending);
    let decision = decide(&job, Some(&lake), None, &[ending], at("2016-10-07T12:20:00Z"));
    assert!(decision.start.is_none() && decision.delete.is_empty());
}

#[test]
fn a_new_computation_ends_the_old_run_and_computes_all_again() {
    let (old, new) = (valid(&json!({})), valid(&json!({"granularity": "2h"})));
    let lake = lake(FIRST, "2016-10-05T12:00:00Z");
    let now = at("2016-10-07T12:20:00Z");
    let range = ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z");
    let active = seen(&old, range, 1, RunState::Active);
    let decision = decide(&new, Some(&lake), None, std::slice::from_ref(&active), now);
    assert_eq!((decision.start, decision.delete), (None, vec![Run::from(&active)]));
    let done = index(&old, &[range]);
    let succeeded = seen(&old, range, 1, RunState::Succeeded(at("2016-10-06T00:20:00Z")));
    let decision = decide(&new, Some(&lake), Some(&done), std::slice::from_ref(&succeeded), now);
    assert_eq!(started(&decision), span(range.0, range.1, 1, 1));
    assert_ne!(decision.start.unwrap().name, succeeded.name);
}

#[test]
fn failed_attempts_follow_each_other_ever_more_slowly_and_then_by_the_schedule() {
    let job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-05T12:00:00Z");
    let range = ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z");
    let ended = at("2016-10-07T12:20:00Z");
    for (attempt, again) in [
        (1, "2016-10-07T12:20:30Z"),
        (2, "2016-10-07T12:21:00Z"),
        (4, "2016-10-07T12:24:00Z"),
        (5, "2016-10-07T13:15:00Z"),
        (9, "2016-10-07T13:15:00Z"),
    ] {
        let failed = seen(&job, range, attempt, RunState::Failed(ended, Failure::PodsFailed));
        let runs = [failed];
        let before = decide(&job, Some(&lake), None, &runs, at(again) - SignedDuration::from_secs(1));
        assert_eq!((before.start.as_ref(), before.next), (None, at(again)), "attempt {attempt}");
        assert!(matches!(&before.standing, Standing::Failing(ended) if ended.run.attempt == attempt));
        assert_eq!(before.last_result, Some(RunResult::Failed));
        let after = decide(&job, Some(&lake), None, &runs, at(again));
        assert_eq!(started(&after).2, attempt + 1);
    }
}

#[test]
fn a_success_that_the_lake_does_not_show_is_tried_again_under_another_name() {
    let job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-05T12:00:00Z");
    let range = ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z");
    let succeeded = seen(&job, range, 1, RunState::Succeeded(at("2016-10-07T12:20:00Z")));
    let decision =
        decide(&job, Some(&lake), None, std::slice::from_ref(&succeeded), at("2016-10-07T12:21:00Z"));
    assert_eq!(started(&decision).2, 2);
    assert_ne!(decision.start.unwrap().name, succeeded.name);
}

#[test]
fn history_is_tidied_but_what_attempts_are_counted_from_stays() {
    let job = valid(&json!({"successfulRunsHistoryLimit": 1, "failedRunsHistoryLimit": 0}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let days = [
        ("2016-10-03T23:00:00Z", "2016-10-04T23:00:00Z"),
        ("2016-10-04T23:00:00Z", "2016-10-05T23:00:00Z"),
        ("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z"),
    ];
    let done = index(&job, &days[..2]);
    let succeeded = |day, time| seen(&job, days[day], 1, RunState::Succeeded(at(time)));
    let failed = |attempt, time| seen(&job, days[2], attempt, RunState::Failed(at(time), Failure::Other));
    let runs = [
        succeeded(0, "2016-10-06T00:20:00Z"),
        succeeded(1, "2016-10-06T00:30:00Z"),
        failed(1, "2016-10-07T12:20:00Z"),
        failed(2, "2016-10-07T12:22:00Z"),
    ];
    let decision = decide(&job, Some(&lake), Some(&done), &runs, at("2016-10-07T12:22:10Z"));
    let mut expected = vec![Run::from(&runs[0]), Run::from(&runs[2])];
    expected.sort();
    assert_eq!(decision.delete, expected);
    assert_eq!(decision.last_window.unwrap().end, millis(days[1].1));
}

#[test]
fn a_request_computes_windows_that_have_a_result() {
    let mut job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let done = index(&job, &[("2016-10-03T23:00:00Z", "2016-10-06T23:00:00Z")]);
    let now = at("2016-10-07T12:20:00Z");
    let range = Window { start: millis("2016-10-04T06:00:00Z"), end: millis("2016-10-05T06:00:00Z") };
    let backfill = Backfill { range, asked: now };
    job.backfill = Some(backfill);
    let decision = decide(&job, Some(&lake), Some(&done), &[], now);
    assert_eq!(started(&decision), span("2016-10-03T23:00:00Z", "2016-10-05T23:00:00Z", 2, 1));
    let run = decision.start.unwrap();
    assert_eq!(run.backfill, Some(backfill));
    let plain = RunPlan::new(&job.namespace, &job.name, &job.computation_id, (run.range, 2), 1);
    assert_ne!(plain.name, run.name, "a run that ended before must not count as this one");

    let mut answered =
        seen(&job, ("2016-10-03T23:00:00Z", "2016-10-05T23:00:00Z"), 1, RunState::Succeeded(now));
    answered.backfill = Some(backfill);
    let after = decide(&job, Some(&lake), Some(&done), std::slice::from_ref(&answered), now);
    assert_eq!((after.start, after.standing), (None, Standing::UpToDate));
    job.backfill = Some(Backfill { asked: now + SignedDuration::from_secs(1), ..backfill });
    assert!(decide(&job, Some(&lake), Some(&done), &[answered], now).start.is_some(), "asked for again");
}

#[test]
fn an_old_request_is_forgotten() {
    let mut job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let done = index(&job, &[("2016-10-03T23:00:00Z", "2016-10-06T23:00:00Z")]);
    let now = at("2016-10-07T12:20:00Z");
    let range = Window { start: millis("2016-10-04T06:00:00Z"), end: millis("2016-10-05T06:00:00Z") };
    job.backfill = Some(Backfill { range, asked: now - SignedDuration::from_hours(15 * 24) });
    assert_eq!(decide(&job, Some(&lake), Some(&done), &[], now).start, None);
}

#[test]
fn a_request_that_fails_does_not_hold_up_new_windows() {
    let mut job = valid(&json!({}));
    let lake = lake(FIRST, "2016-10-07T12:00:00Z");
    let done = index(&job, &[("2016-10-03T23:00:00Z", "2016-10-05T23:00:00Z")]);
    let now = at("2016-10-07T12:20:00Z");
    let range = Window { start: millis("2016-10-04T06:00:00Z"), end: millis("2016-10-05T06:00:00Z") };
    let backfill = Backfill { range, asked: now };
    job.backfill = Some(backfill);
    let failed = RunState::Failed(now, Failure::PodsFailed);
    let mut again = seen(&job, ("2016-10-03T23:00:00Z", "2016-10-05T23:00:00Z"), 1, failed);
    again.backfill = Some(backfill);
    let decision = decide(&job, Some(&lake), Some(&done), &[again.clone()], now);
    assert_eq!(decision.start.unwrap().backfill, None, "missing windows first");
    let missing = seen(&job, ("2016-10-05T23:00:00Z", "2016-10-06T23:00:00Z"), 1, failed);
    let later = decide(&job, Some(&lake), Some(&done), &[missing], now);
    assert_eq!(later.start.unwrap().backfill, Some(backfill), "while those wait, the request goes on");
}
