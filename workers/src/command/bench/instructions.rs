//! The hot path alone, to count its instructions: verdict, occupancy and alert in one thread, nothing else.
//!
//! Must not touch disks, threads or clocks, so that two runs execute the same instructions.

use super::{BenchError, scenario::Scenario};
use crate::{
    domain::record::Reading,
    ports::event_log::{Offset, Records},
    runtime::{
        outputs::Outputs,
        role::{RoleStage, Together},
        stage::GROUP,
    },
};

/// Records in all: the first of them make every device known.
pub const EVENTS: u64 = 32_000;
const ZONES: u32 = 50;
const SPACES: u32 = 200;

/// Runs the workload; answers how many outputs it made, so that nothing is optimised away.
pub fn run() -> Result<usize, BenchError> {
    let scenario = Scenario::new(ZONES, SPACES)?;
    let mut feed = scenario.feed()?;
    let (inventory, rules) = (&scenario.inventory, &scenario.rules);
    let mut work = Work {
        stage: RoleStage::together(scenario.limits, inventory, rules, Scenario::settings(0)),
        outputs: Outputs::new(0),
    };
    let mut offset = 0;
    let counted = feed.take(EVENTS);
    for (_, records) in &counted {
        step_counted(&mut work, &read_counted(offset, records));
        offset += records.len() as u64;
    }
    Ok(work.outputs.len())
}

struct Work {
    stage: RoleStage<Together>,
    outputs: Outputs,
}

/// Reading alone; callgrind is told this name.
#[inline(never)]
fn read_counted(first: Offset, records: &Records) -> Vec<(Offset, Reading<'_>)> {
    (first..).zip(records.iter().map(Reading::of)).collect()
}

/// Verdict, occupancy and alert of what was read; callgrind is told this name.
#[inline(never)]
fn step_counted(work: &mut Work, readings: &[(Offset, Reading<'_>)]) {
    for group in readings.chunks(GROUP) {
        work.stage.step_readings(group, &mut work.outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_is_the_same_each_time_and_does_something() {
        let outputs = run().unwrap();
        assert!(outputs > 1_000, "{outputs}");
        assert_eq!(outputs, run().unwrap());
    }
}
