//! The oracle itself: small logs whose answer is plain.

use super::*;
use crate::{
    command::bench::scenario::Scenario,
    runtime::{
        outputs::Outputs,
        role::RoleStage,
        stage::{GROUP, Stage},
    },
};

fn scenario() -> Scenario {
    Scenario::new(6, 3).unwrap()
}

fn log(scenario: &Scenario, count: u64) -> Vec<Vec<u8>> {
    let parts = scenario.feed().unwrap().take(count);
    parts.iter().flat_map(|(_, records)| records.iter().map(<[u8]>::to_vec)).collect()
}

fn answer(scenario: &Scenario, log: &[Vec<u8>]) -> Answer {
    let mut oracle = Oracle::new(&scenario.inventory);
    for record in log {
        oracle.read(record);
    }
    oracle.finish()
}

#[test]
fn every_record_is_accepted_repeated_or_refused() {
    let scenario = scenario();
    let mut log = log(&scenario, 3_000);
    log.push(b"{".to_vec());
    log.push(log[0].clone());
    let answer = answer(&scenario, &log);
    let dead: u64 = answer.dead_letters.values().sum();
    assert_eq!(answer.accepted + answer.duplicates + dead, 3_002);
    assert!(answer.duplicates > 0 && answer.dead_letters["malformed"] > 0);
}

#[test]
fn a_difference_is_found_wherever_it_is() {
    let scenario = scenario();
    let right = answer(&scenario, &log(&scenario, 20_000));
    assert_eq!(right.difference(&right), None);
    assert!(!right.alerts.is_empty());
    let wrong = |change: fn(&mut Answer)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        wrong.difference(&right)
    };
    for change in [
        (|one: &mut Answer| one.accepted += 1) as fn(&mut Answer),
        |one| one.dead_letters = [("late".to_owned(), 1)].into(),
        |one| one.zones.values_mut().for_each(|view| view.occupied += 1),
        |one| _ = one.zones.pop_first(),
        |one| one.alerts[0].starts += 1,
        |one| _ = one.alerts.pop(),
    ] {
        assert!(wrong(change).is_some());
    }
}

#[test]
fn the_stages_agree_over_days_of_faults() {
    let scenario = scenario();
    let log = log(&scenario, 40_000);
    let expected = answer(&scenario, &log);
    let (inventory, rules) = (&scenario.inventory, &scenario.rules);
    let mut stage = RoleStage::together(scenario.limits, inventory, rules, Scenario::settings(0));
    let mut outputs = Outputs::new(0);
    let log: Vec<_> = (0..).zip(log.iter().map(Vec::as_slice)).collect();
    for group in log.chunks(GROUP) {
        stage.step(group, &mut outputs);
    }
    let totals = stage.duty().0.totals();
    assert_eq!(
        (totals.accepted, totals.duplicates, totals.late, totals.sessions),
        (expected.accepted, expected.duplicates, expected.late, expected.sessions)
    );
    let mark = stage.watermark().unwrap();
    for (zone, view) in &expected.zones {
        let found = stage.tracker().view(*zone, mark).unwrap();
        let found = (i64::from(found.occupied), i64::from(found.unknown), i64::from(found.capacity));
        assert_eq!(found, (view.occupied, view.unknown, view.capacity), "{zone}");
    }
}
