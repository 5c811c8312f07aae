//! The hot path alone, to count its instructions: verdict, occupancy and alert in one thread, nothing else.
//!
//! Must not touch disks, threads or clocks, so that two runs execute the same instructions.

use super::{BenchError, scenario::Scenario};
use crate::{
    domain::record::Reading,
    ports::event_log::Records,
    runtime::{alert::Alert, occupancy::Occupancy, outputs::Outputs, stage::Stage},
};

/// Records that are counted.
pub const EVENTS: u64 = 20_000;
/// Records that warm the stages up first: every device is known then.
const WARM_UP: u64 = 12_000;
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
    for (_, records) in feed.take(WARM_UP) {
        work.step(&records);
    }
    let counted = feed.take(EVENTS);
    let before = work.outputs.len();
    for (_, records) in &counted {
        count_instructions(&mut work, records);
    }
    Ok(work.outputs.len() - before)
}

struct Work {
    occupancy: Occupancy,
    alert: Alert,
    outputs: Outputs,
    offset: u64,
}

impl Work {
    fn step(&mut self, records: &Records) {
        for record in records.iter() {
            self.outputs.begin(self.offset);
            let reading = Reading::of(record);
            self.occupancy.step_read(self.offset, &reading, &mut self.outputs);
            self.alert.step_read(self.offset, &reading, &mut self.outputs);
            self.offset += 1;
        }
    }
}

/// What callgrind counts: it is told this name.
#[inline(never)]
fn count_instructions(work: &mut Work, records: &Records) {
    work.step(records);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_is_the_same_each_time_and_does_something() {
        let outputs = run().unwrap();
        assert!(outputs > 400, "{outputs}");
        assert_eq!(outputs, run().unwrap());
    }
}
