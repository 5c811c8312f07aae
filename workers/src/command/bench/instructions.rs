//! The hot path alone, to count its instructions: verdict, occupancy and alert in one thread, nothing else.
//!
//! Must not touch disks, threads or clocks, so that two runs execute the same instructions.

use super::{BenchError, scenario::Scenario};
use crate::{
    domain::record::Reading,
    ports::event_log::Records,
    runtime::{alert::Alert, occupancy::Occupancy, outputs::Outputs, stage::Stage},
};

/// Records in all: the first of them make every device known.
pub const EVENTS: u64 = 32_000;
const ZONES: u32 = 50;
const SPACES: u32 = 200;

/// Runs the workload; answers how many outputs it made, so that nothing is optimised away.
pub fn run() -> Result<usize, BenchError> {
    let scenario = Scenario::new(ZONES, SPACES)?;
    let mut feed = scenario.feed()?;
    let mut work = Work {
        occupancy: Occupancy::new(scenario.limits, &scenario.inventory),
        alert: Alert::new(scenario.limits, &scenario.inventory, &scenario.rules, Scenario::settings(0)),
        outputs: Outputs::new(0),
        offset: 0,
    };
    let counted = feed.take(EVENTS);
    for (_, records) in &counted {
        step_counted(&mut work, &read_counted(records));
    }
    Ok(work.outputs.len())
}

struct Work {
    occupancy: Occupancy,
    alert: Alert,
    outputs: Outputs,
    offset: u64,
}

/// Reading alone; callgrind is told this name.
#[inline(never)]
fn read_counted(records: &Records) -> Vec<Reading<'_>> {
    records.iter().map(Reading::of).collect()
}

/// Verdict, occupancy and alert of what was read; callgrind is told this name.
#[inline(never)]
fn step_counted(work: &mut Work, readings: &[Reading<'_>]) {
    for reading in readings {
        work.outputs.begin(work.offset);
        work.occupancy.step_read(work.offset, reading, &mut work.outputs);
        work.alert.step_read(work.offset, reading, &mut work.outputs);
        work.offset += 1;
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
