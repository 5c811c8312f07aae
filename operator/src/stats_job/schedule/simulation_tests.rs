//! Operators that sleep, forget and lose objects compute what an undisturbed one does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use parking_crds::event::Millis;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::{
    super::runs::Failure,
    fixture::{at, lake_at, valid},
    *,
};

/// What happens between two looks of the operator.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happens {
    /// Time passes and the lake follows, so far behind.
    Pass { minutes: i64, behind: i64 },
    /// The oldest active run ends well.
    Succeed,
    /// The oldest active run ends badly.
    Fail,
    /// The newest run that ended well did so, but nobody wrote the index.
    ForgetIndex,
    /// Job and runs are deleted; the lake stays.
    MadeAnew,
    /// Somebody deletes all ended runs.
    TidiedByHand,
    /// The operator looks twice at the same, as when its first answer was lost.
    LookTwice,
}

fn happening() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1_i64..5_000, 0_i64..200).prop_map(|(minutes, behind)| Happens::Pass { minutes, behind }),
        4 => Just(Happens::Succeed),
        3 => Just(Happens::Fail),
        1 => Just(Happens::ForgetIndex),
        1 => Just(Happens::MadeAnew),
        1 => Just(Happens::TidiedByHand),
        2 => Just(Happens::LookTwice),
    ]
}

struct Cluster {
    job: ValidJob,
    now: Timestamp,
    first: Millis,
    watermark: Millis,
    /// What the result's tables hold, window by window.
    table: BTreeSet<Window>,
    index: DoneRanges,
    runs: BTreeMap<String, RunSeen>,
    computed: usize,
    /// How often windows were computed for the request.
    again: BTreeMap<Window, usize>,
}

impl Cluster {
    fn new(job: ValidJob) -> Self {
        let first = at("2016-10-27T06:59:42Z");
        Self {
            job,
            now: first,
            first: first.as_millisecond(),
            watermark: first.as_millisecond(),
            table: BTreeSet::new(),
            index: DoneRanges::default(),
            runs: BTreeMap::new(),
            computed: 0,
            again: BTreeMap::new(),
        }
    }

    /// The operator remembers nothing: all that it knows is passed to it.
    fn look(&mut self) -> Decision {
        let index = StatsIndex {
            computation: self.job.computation_id.clone(),
            done: self.index.clone(),
            ..StatsIndex::default()
        };
        let runs: Vec<RunSeen> = self.runs.values().cloned().collect();
        let lake = lake_at(self.first, self.watermark);
        decide(&self.job, Some(&lake), Some(&index), &runs, self.now)
    }

    fn follow(&mut self, decision: &Decision) {
        for run in &decision.delete {
            self.runs.remove(&run.name);
        }
        let Some(start) = &decision.start else { return };
        assert!(start.name.len() <= 63 && start.windows <= MOST_WINDOWS);
        assert!(start.range.end <= self.watermark, "only complete windows are computed");
        // A name that is taken is success, as it is on the server.
        self.runs.entry(start.name.clone()).or_insert_with(|| RunSeen {
            kind: OwnedKind::Job,
            name: start.name.clone(),
            range: start.range,
            attempt: start.attempt,
            computation: self.job.computation_id.clone(),
            backfill: start.backfill,
            created: self.now,
            state: RunState::Active,
        });
        let active = self.runs.values().filter(|run| run.is_active()).count();
        let most =
            if self.job.spec.concurrency_policy() == ConcurrencyPolicy::Allow { MOST_ACTIVE } else { 1 };
        assert!(active <= most, "{active} runs are active");
    }

    fn end(&mut self, state: RunState, writes_index: bool) {
        let Some(run) = self.runs.values_mut().filter(|run| run.is_active()).min_by_key(|run| run.created)
        else {
            return;
        };
        run.state = state;
        let (range, answers) = (run.range, run.backfill.is_some());
        if !matches!(state, RunState::Succeeded(_)) {
            return;
        }
        for window in self.job.calendar.windows(range.start, range.end - 1) {
            if answers {
                *self.again.entry(window).or_default() += 1;
            }
            self.computed += usize::from(self.table.insert(window));
        }
        if writes_index {
            // As the worker does: the index is made from the tables.
            self.index = self.table.iter().copied().collect();
        }
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Pass { minutes, behind } => {
                self.now += SignedDuration::from_mins(minutes);
                let reached = self.now.as_millisecond() - behind * 60_000;
                self.watermark = self.watermark.max(reached);
            }
            Happens::Succeed => self.end(RunState::Succeeded(self.now), true),
            Happens::Fail => self.end(RunState::Failed(self.now, Failure::PodsFailed), false),
            Happens::ForgetIndex => self.end(RunState::Succeeded(self.now), false),
            Happens::MadeAnew => self.runs.clear(),
            Happens::TidiedByHand => self.runs.retain(|_, run| run.is_active()),
            Happens::LookTwice => {
                let (first, second) = (self.look(), self.look());
                assert_eq!(first, second);
                self.follow(&first);
                self.follow(&second);
            }
        }
    }

    /// Nothing bad happens any more; time goes from one look to the next.
    fn settle(&mut self) {
        for _ in 0..400 {
            let decision = self.look();
            assert!(decision.next > self.now, "the next look lies ahead");
            self.follow(&decision);
            let idle = !self.runs.values().any(RunSeen::is_active);
            if idle && decision.standing == Standing::UpToDate && decision.start.is_none() {
                return;
            }
            if idle && matches!(decision.standing, Standing::LakeBehind(_)) {
                return;
            }
            if idle {
                self.now = decision.next;
            } else {
                self.end(RunState::Succeeded(self.now), true);
            }
        }
        panic!("it did not settle: {:?}", self.look().standing);
    }
}

/// Days of the London calendar whose results are due, by civil dates alone.
fn due_days(first: Date, watermark: Timestamp, now: Timestamp) -> Vec<Window> {
    let midnight = |date: Date| date.in_tz("Europe/London").unwrap().timestamp();
    let mut days = Vec::new();
    let mut date = first;
    while midnight(date.tomorrow().unwrap()) <= watermark
        && midnight(date.tomorrow().unwrap()) + SignedDuration::from_mins(15) <= now
    {
        let end = midnight(date.tomorrow().unwrap());
        days.push(Window { start: midnight(date).as_millisecond(), end: end.as_millisecond() });
        date = date.tomorrow().unwrap();
    }
    days
}

fn settled(spec: &serde_json::Value, story: &[Happens]) -> Cluster {
    let mut cluster = Cluster::new(valid(spec));
    for &happens in story {
        cluster.happen(happens);
        let decision = cluster.look();
        cluster.follow(&decision);
    }
    cluster.settle();
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_due_day_is_computed_whatever_happens(
        story in vec(happening(), 0..60),
        policy in prop_oneof![Just("Forbid"), Just("Allow"), Just("Replace")],
        limit in 0_u32..3,
    ) {
        let spec = json!({
            "concurrencyPolicy": policy, "failedRunsHistoryLimit": limit, "successfulRunsHistoryLimit": limit,
        });
        let cluster = settled(&spec, &story);
        let watermark = Timestamp::from_millisecond(cluster.watermark).unwrap();
        let expected = due_days(Date::constant(2016, 10, 27), watermark, cluster.now);
        prop_assert_eq!(cluster.table.iter().copied().collect::<Vec<_>>(), expected);
        prop_assert_eq!(cluster.computed, cluster.table.len());
    }

    #[test]
    fn quarters_of_an_hour_come_in_runs_of_at_most_400_and_all_are_computed(
        story in vec(happening(), 0..40),
    ) {
        let cluster = settled(&json!({"window": "15m", "granularity": "15m", "schedule": "*/30 * * * *"}), &story);
        let quarter = 900_000;
        let first = cluster.first - cluster.first.rem_euclid(quarter);
        let fired = cluster.now.as_millisecond() - cluster.now.as_millisecond().rem_euclid(2 * quarter);
        let last = cluster.watermark.min(fired);
        let expected = (last - first).max(0) / quarter;
        prop_assert_eq!(i64::try_from(cluster.table.len()).unwrap(), expected);
        let starts: Vec<Millis> = cluster.table.iter().map(|window| window.start).collect();
        prop_assert_eq!(starts, (0..expected).map(|number| first + number * quarter).collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_due_day_is_computed_when_only_the_latest_is_caught_up(story in vec(happening(), 0..60)) {
        let cluster = settled(&json!({"missedRuns": "CatchUpLatest"}), &story);
        let watermark = Timestamp::from_millisecond(cluster.watermark).unwrap();
        let due = due_days(Date::constant(2016, 10, 27), watermark, cluster.now);
        prop_assert_eq!(cluster.table.last(), due.last());
        prop_assert!(cluster.table.iter().all(|window| due.contains(window)));
    }

    #[test]
    fn what_is_asked_for_once_more_is_computed_once_more_and_then_never_again(
        story in vec(happening(), 0..40),
        (first, days) in (0_i64..6, 1_i64..5),
        asked_after in 0_usize..20,
        policy in prop_oneof![Just("Forbid"), Just("Allow"), Just("Replace")],
        limit in 0_u32..3,
    ) {
        // Runs that are deleted by hand take with them that they were there, and old requests are forgotten.
        let lasting = |happens: &Happens| !matches!(happens, Happens::MadeAnew | Happens::TidiedByHand);
        let story: Vec<Happens> = story.into_iter().filter(lasting).collect();
        let spec = json!({
            "concurrencyPolicy": policy, "failedRunsHistoryLimit": limit, "successfulRunsHistoryLimit": limit,
        });
        let mut cluster = Cluster::new(valid(&spec));
        let day = |number: i64| at("2016-10-26T23:00:00Z").as_millisecond() + number * 86_400_000;
        let range = Window { start: day(first), end: day(first + days) };
        for (number, &happens) in story.iter().enumerate() {
            cluster.happen(happens);
            if number == asked_after {
                cluster.job.backfill = Some(Backfill { range, asked: cluster.now });
            }
            let decision = cluster.look();
            cluster.follow(&decision);
        }
        cluster.now += SignedDuration::from_mins(1);
        cluster.job.backfill = Some(Backfill { range, asked: cluster.now });
        cluster.again.clear();
        cluster.settle();
        let due = Timestamp::from_millisecond(cluster.watermark).unwrap();
        let due = due_days(Date::constant(2016, 10, 27), due, cluster.now);
        let asked: Vec<Window> =
            due.into_iter().filter(|day| day.start < range.end && range.start < day.end).collect();
        prop_assert_eq!(cluster.again.keys().copied().collect::<Vec<_>>(), asked);
        // A run for an earlier request may still have been under way.
        prop_assert!(cluster.again.values().all(|&times| times <= 2));
        cluster.again.clear();
        for _ in 0..20 {
            cluster.now += SignedDuration::from_hours(5);
            let decision = cluster.look();
            cluster.follow(&decision);
            cluster.end(RunState::Succeeded(cluster.now), true);
        }
        prop_assert!(cluster.again.is_empty(), "{:?}", cluster.again);
    }
}
