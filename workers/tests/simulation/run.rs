//! One seed from its input to its judgement.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use parking_workers::ports::event_log::Stream;
use serde::Deserialize;

use crate::{faults::FaultKind, oracle, planted::Plant, schedule::Schedule, trace::Trace, world::World};

/// What a run was, and everything that is wrong with it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) records: usize,
    pub(crate) partitions: u32,
    pub(crate) steps: u64,
    pub(crate) faults: BTreeMap<FaultKind, u64>,
    /// What came out, by its kind.
    pub(crate) outputs: BTreeMap<String, u64>,
    pub(crate) wrong: Vec<String>,
}

impl Outcome {
    /// Faults but for delays, which every call may meet.
    pub(crate) fn faults_but_delays(&self) -> u64 {
        self.faults.iter().filter(|(kind, _)| **kind != FaultKind::Delay).map(|(_, times)| times).sum()
    }

    /// What a failed test says, with the way to see it again.
    pub(crate) fn story(&self) -> String {
        format!(
            "seed {}: {}\nrun it again: PARKING_SEED={} cargo test -p parking-workers --test simulation one_seed -- --nocapture",
            self.seed,
            self.wrong.join("\n  "),
            self.seed
        )
    }
}

/// Runs a seed. A panic of what runs is a finding like any other.
pub(crate) fn run(seed: u64, plant: Plant, trace: &Trace) -> Outcome {
    let world = World::new(seed, plant, trace.clone());
    let mut steps = 0;
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut schedule = Schedule::new(&world, seed);
        steps = schedule.run();
        schedule.settle();
        oracle::check(&world)
    }));
    world.count_faults();
    for partition in 0..world.script.partitions {
        for (offset, record) in world.records(Stream::Events, partition).iter().enumerate() {
            trace.explain(|| format!("events/{partition} {offset}: {}", String::from_utf8_lossy(record)));
        }
    }
    let mut wrong = trace.take_wrong();
    match done {
        Ok(found) => wrong.extend(found),
        Err(panic) => wrong.push(format!("panicked: {:?}", panic.downcast_ref::<String>())),
    }
    Outcome {
        seed,
        records: world.script.records(),
        partitions: world.script.partitions,
        steps,
        faults: trace.faults(),
        outputs: outputs(&world),
        wrong,
    }
}

/// The words that tell kinds of outputs apart.
#[derive(Default, Deserialize)]
struct Words<'a> {
    record_type: Option<&'a str>,
    reason: Option<&'a str>,
    rule: Option<&'a str>,
    state: Option<&'a str>,
}

/// Counts dead letters by reason, alerts by rule and state, sessions by what is told of them.
fn outputs(world: &World) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for stream in [Stream::DeadLetters, Stream::Alerts, Stream::Sessions] {
        let all = (0..world.script.partitions).flat_map(|partition| world.records(stream, partition));
        // Published again is not told again.
        for bytes in all.collect::<BTreeSet<_>>() {
            let Words { record_type, reason, rule, state } =
                serde_json::from_slice(&bytes).unwrap_or_default();
            let words: Vec<_> = [record_type, reason, rule, state].into_iter().flatten().collect();
            *counts.entry(words.join(" ")).or_default() += 1;
        }
    }
    counts
}
