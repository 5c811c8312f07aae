use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    alert::{InstanceCounts, instance::State},
    block_key::BlockKey,
};

/// What a store would hold.
#[derive(Default)]
struct Blocks(BTreeMap<BlockKey, Bytes>);

impl Blocks {
    fn commit(&mut self, engine: &mut AlertState) {
        for (key, block) in engine.dirty_blocks() {
            match block {
                Some(block) => self.0.insert(key, block),
                None => self.0.remove(&key),
            };
        }
    }

    fn load(&self, rules: &Arc<RuleSet>) -> AlertState {
        let mut engine = engine_of(Arc::clone(rules));
        engine.restore(self.0.iter().map(|(key, block)| (*key, block.as_ref()))).unwrap();
        engine
    }
}

fn rules() -> Vec<AlertRule> {
    let almost = "condition: {threshold: {metric: occupancy_now, op: '>=', value: '0.90', recover: '0.85'}}";
    vec![
        rule("full", &[FULL]),
        rule(
            "almost",
            &[almost, "for: 7m", "keepFiringFor: 9m", "noData: Ok", "inhibitedBy: [{ruleRef: full}]"],
        ),
        rule("nodata", &[almost, "noData: Alerting", "for: 3m"]),
        rule("over", &[OVERSTAY, "for: 3m", "limits: {maxActive: 2}"]),
        rule("silent", &[SILENT, "keepFiringFor: 4m"]),
    ]
}

fn seen() -> impl Strategy<Value = Seen> {
    let body = prop_oneof![
        3 => (80_u32..105).prop_map(|occupied| Seen::count(0, occupied)),
        1 => Just(Seen::view(0, ZoneView { occupied: 5, unknown: 90, capacity: 100, stale_at: None })),
        1 => (0_i64..600).prop_map(|minute| {
            let stale_at = Some(START + minute * MINUTE);
            Seen::view(0, ZoneView { occupied: 95, unknown: 0, capacity: 100, stale_at })
        }),
        2 => (0_i64..600, 1_u128..6).prop_map(|(minute, session)| Seen::started(minute, session)),
        1 => (1_u128..6).prop_map(|session| Seen::ended(0, session)),
        1 => Just(Seen::heard(0, SENSOR)),
        1 => Just(Seen::signal(0, SENSOR, DeviceState::Decommissioned)),
        1 => Just(Seen::tick(0)),
    ];
    (body, prop::bool::weighted(0.1), any::<bool>()).prop_map(|(seen, late, replayed)| Seen {
        late,
        replayed,
        ..seen
    })
}

fn log() -> impl Strategy<Value = Vec<Seen>> {
    prop::collection::vec((seen(), 0_i64..25), 1..40).prop_map(|steps| {
        let mut now = 0;
        let at = |(seen, wait): (Seen, i64)| {
            now += wait;
            Seen { minute: if seen.late { now - 30 } else { now }, ..seen }
        };
        steps.into_iter().map(at).collect()
    })
}

/// How the rules stand, by a look at every instance of every zone.
fn looked_at(engine: &AlertState) -> BTreeMap<String, InstanceCounts> {
    let of_zones = &engine.zones[..engine.plans.len()];
    let rules = engine.rules.rules().iter().zip(0..).map(|(rule, number)| {
        let states: Vec<State> = of_zones
            .iter()
            .flat_map(|zone| zone.instances.iter().filter(|(id, _)| id.rule == number))
            .map(|(_, instance)| instance.state)
            .collect();
        let count =
            |is: fn(&State) -> bool| u32::try_from(states.iter().filter(|one| is(one)).count()).unwrap();
        let counts = InstanceCounts {
            pending: count(|state| matches!(state, State::Pending { .. })),
            firing: count(|state| matches!(state, State::Firing { no_data: false, .. })),
            recovering: count(|state| matches!(state, State::Recovering { .. })),
            no_data: count(|state| matches!(state, State::Firing { no_data: true, .. })),
        };
        (bare_name(rule.id()).to_owned(), counts)
    });
    rules.collect()
}

proptest! {
    #[test]
    fn rules_stand_as_a_look_at_every_alert_says(log in log(), every in 1_usize..6) {
        let rules = rule_set(&rules());
        let (mut engine, mut store, mut told) = (engine_of(Arc::clone(&rules)), Blocks::default(), BTreeMap::new());
        for index in 0..log.len() {
            feed(&mut engine, &log[..=index], index);
            if index % every == 0 {
                store.commit(&mut engine);
                engine = store.load(&rules);
                told.clear();
            }
            told.extend(engine.take_changed_rules().into_iter().map(|(name, standing)| (name, standing.counts)));
            prop_assert_eq!(&told, &looked_at(&engine));
        }
    }

    #[test]
    fn raised_are_the_alerts_that_were_told_and_are_not_over(log in log(), every in 1_usize..6) {
        let rules = rule_set(&rules());
        let (mut engine, mut store, mut open) = (engine_of(Arc::clone(&rules)), Blocks::default(), BTreeMap::new());
        for index in 0..log.len() {
            for record in feed(&mut engine, &log[..=index], index) {
                open.insert(record.alert_id, record);
            }
            open.retain(|_, record| record.state != AlertStatus::Resolved);
            if index % every == 0 {
                store.commit(&mut engine);
                engine = store.load(&rules);
            }
            let raised = engine.raised().map(|record| (record.alert_id, record.clone()));
            prop_assert_eq!(&raised.collect::<BTreeMap<_, _>>(), &open);
        }
    }

    #[test]
    fn a_restart_at_any_point_changes_nothing(log in log(), every in 1_usize..6) {
        let rules = rule_set(&rules());
        let undisturbed = feed(&mut engine_of(Arc::clone(&rules)), &log, 0);
        for offset in 0..every {
            let (mut engine, mut store, mut records) = (engine_of(Arc::clone(&rules)), Blocks::default(), Vec::new());
            for index in 0..log.len() {
                records.extend(feed(&mut engine, &log[..=index], index));
                if index % every == offset {
                    store.commit(&mut engine);
                    engine = store.load(&rules);
                }
            }
            prop_assert_eq!(&records, &undisturbed);
        }
    }

    #[test]
    fn a_crash_that_loses_uncommitted_state_repeats_the_same_records(log in log(), crash in 0_usize..40) {
        let rules = rule_set(&rules());
        let undisturbed = feed(&mut engine_of(Arc::clone(&rules)), &log, 0);
        let crash = crash.min(log.len() - 1);
        let committed = crash / 2;
        let (mut engine, mut store) = (engine_of(Arc::clone(&rules)), Blocks::default());
        let mut records = feed(&mut engine, &log[..committed], 0);
        store.commit(&mut engine);
        feed(&mut engine, &log[..crash], committed);
        records.extend(feed(&mut store.load(&rules), &log, committed));
        prop_assert_eq!(records, undisturbed);
    }

    #[test]
    fn rules_that_change_between_records_resolve_the_same_across_a_restart(log in log(), cut in 0_usize..40) {
        let (before, after) = (rule_set(&rules()), rule_set(&[
            rule("full", &[FULL, "labels: {team: ops}"]),
            rule("over", &["condition: {dwell: {limit: 30m}}"]),
        ]));
        let cut = cut.min(log.len());
        let (mut engine, mut store) = (engine_of(before), Blocks::default());
        let raised = feed(&mut engine, &log[..cut], 0);
        store.commit(&mut engine);
        let reloaded = feed(&mut store.load(&after), &log, cut);
        let swapped = feed(&mut engine.with_rules(after).unwrap(), &log, cut);
        prop_assert_eq!(&reloaded, &swapped);
        let mut open = std::collections::BTreeSet::new();
        for record in raised.iter().chain(&reloaded) {
            match record.state {
                AlertStatus::Resolved => prop_assert!(open.remove(&record.alert_id)),
                AlertStatus::Firing | AlertStatus::NoData => {
                    let fresh = open.insert(record.alert_id);
                    prop_assert_eq!(fresh, record.generation == 1);
                }
            }
        }
        let changed = |record: &&AlertRecord| record.reason == Some(ResolvedReason::RuleChanged);
        let expected: std::collections::BTreeSet<_> = raised.iter().map(|record| record.alert_id).collect();
        prop_assert!(reloaded.iter().filter(changed).all(|record| expected.contains(&record.alert_id)));
    }
}
