//! Thousands of seeds, none of which may find anything.

use std::{collections::BTreeMap, env, thread, time::Instant};

use parking_crds::event::DeadLetterReason;

use crate::{
    faults::FaultKind,
    planted::Plant,
    rules::RULES,
    run::{Outcome, run},
    trace::Trace,
};

/// As many as two processors run in a minute as tests are built; `make seeds` runs more.
const SEEDS: u64 = 800;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// What a share of the seeds came to.
#[derive(Default)]
struct Share {
    faults: BTreeMap<FaultKind, u64>,
    outputs: BTreeMap<String, u64>,
    seeds: u64,
    records: u64,
    steps: u64,
    worst: Vec<String>,
}

impl Share {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.records += outcome.records as u64;
        self.steps += outcome.steps;
        for (kind, times) in &outcome.faults {
            *self.faults.entry(*kind).or_default() += times;
        }
        for (kind, times) in &outcome.outputs {
            *self.outputs.entry(kind.clone()).or_default() += times;
        }
        let too_easy = outcome.records < 500 || outcome.partitions < 3 || outcome.faults_but_delays() < 5;
        if !outcome.wrong.is_empty() {
            self.worst.push(outcome.story());
        } else if too_easy {
            self.worst.push(format!("too easy: {outcome:?}"));
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.records += other.records;
        self.steps += other.steps;
        for (kind, times) in other.faults {
            *self.faults.entry(kind).or_default() += times;
        }
        for (kind, times) in other.outputs {
            *self.outputs.entry(kind).or_default() += times;
        }
        self.worst.extend(other.worst);
    }
}

/// Every `stride`-th seed from `first` on; each runs on this one thread.
fn share(first: u64, stride: u64, seeds: u64) -> Share {
    let mut share = Share::default();
    for seed in (first..seeds).step_by(usize::try_from(stride).unwrap()) {
        share.add(&run(seed, Plant::Nothing, &Trace::default()));
    }
    share
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time that it took is printed, nothing depends on it")]
fn every_seed_agrees_with_the_oracle() {
    let seeds = number("PARKING_SEEDS").unwrap_or(SEEDS);
    let workers = thread::available_parallelism().map_or(1, usize::from) as u64;
    let (mut all, began) = (Share::default(), Instant::now());
    thread::scope(|scope| {
        let shares: Vec<_> =
            (0..workers).map(|first| scope.spawn(move || share(first, workers, seeds))).collect();
        for share in shares {
            all.merge(share.join().unwrap());
        }
    });
    let took = began.elapsed().as_secs_f64();
    println!("{} seeds, {} records, {} steps in {took:.1} s", all.seeds, all.records, all.steps);
    for kind in FaultKind::ALL {
        println!("{kind:?}: {}", all.faults.get(&kind).copied().unwrap_or_default());
    }
    let found = all.worst.len();
    let first: Vec<_> = all.worst.into_iter().take(3).collect();
    assert!(found == 0, "{found} seeds found something\n{}", first.join("\n"));
    for kind in outputs_that_must_occur() {
        assert!(all.outputs.contains_key(&kind), "no seed made any `{kind}`: {:?}", all.outputs);
    }
    for kind in FaultKind::ALL {
        assert!(all.faults.get(&kind).is_some_and(|times| *times > 0), "{kind:?} never struck");
    }
}

/// Every reason for a dead letter, every rule in each of its states, every word on a session.
fn outputs_that_must_occur() -> Vec<String> {
    let letters = DeadLetterReason::ALL.map(|reason| format!("dead_letter {}", reason.as_str()));
    let states = ["firing", "resolved"];
    let alerts =
        RULES.iter().flat_map(|rule| states.map(|state| format!("alert parking/{} {state}", rule.name)));
    let others =
        ["alert parking/two-or-blind nodata", "session.started", "session.ended", "session.corrected"];
    letters.into_iter().chain(alerts).chain(others.map(str::to_owned)).collect()
}

/// The seed of `PARKING_SEED`, with all that happened.
#[test]
fn one_seed() {
    let trace = Trace::with_lines();
    let outcome = run(number("PARKING_SEED").unwrap_or(1), Plant::Nothing, &trace);
    if number("PARKING_SEED").is_some() {
        trace.lines().iter().for_each(|line| println!("{line}"));
        println!("{outcome:?}");
    }
    assert!(outcome.wrong.is_empty(), "{}", outcome.story());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    let hash = |seed| {
        let trace = Trace::with_hash();
        run(seed, Plant::Nothing, &trace);
        trace.hash()
    };
    for seed in 0..20 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(1), hash(2));
}
