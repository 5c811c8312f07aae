use proptest::prelude::*;

use super::*;

#[test]
fn hysteresis_fires_at_the_value_and_resolves_below_the_recover_value() {
    let log = [(0, 97), (1, 98), (2, 95), (3, 94), (4, 97), (5, 120)];
    let log = log.map(|(minute, occupied)| Seen::count(minute, occupied));
    let records = run(&[rule("full", &[FULL])], &log);
    assert_eq!(told(&records), [(FIRING, 1), (RESOLVED, 3), (FIRING, 5)]);
    assert_eq!(records[0].alert_id, records[1].alert_id);
    assert_ne!(records[0].alert_id, records[2].alert_id);
    assert_eq!(records[0].fingerprint, records[2].fingerprint);
    assert_eq!(records[2].value, "1.2000");
}

#[test]
fn a_condition_that_goes_on_is_told_once() {
    let log: Vec<_> = (0..50).map(|minute| Seen::count(minute, 99)).collect();
    assert_eq!(told(&run(&[rule("full", &[FULL])], &log)), [(FIRING, 0)]);
}

#[test]
fn for_waits_and_the_watermark_fires_it() {
    let rules = [rule("full", &[FULL, "for: 10m"])];
    let log = [Seen::count(0, 99), Seen::count(9, 99), Seen::tick(12)];
    let records = run(&rules, &log);
    assert_eq!(told(&records), [(FIRING, 10)]);
    assert_eq!((records[0].active_at, records[0].fired_at), (START, START + 12 * MINUTE));
    let brief = [Seen::count(0, 99), Seen::count(9, 10), Seen::tick(60)];
    assert!(run(&rules, &brief).is_empty());
}

#[test]
fn keep_firing_for_damps_a_flap() {
    let rules = [rule("full", &[FULL, "keepFiringFor: 5m"])];
    let log = [(0, 99), (1, 10), (3, 99), (4, 10)].map(|(minute, occupied)| Seen::count(minute, occupied));
    let mut log = log.to_vec();
    log.push(Seen::tick(30));
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 0), (RESOLVED, 9)]);
}

#[test]
fn a_late_record_neither_raises_nor_resolves() {
    let rules = [rule("full", &[FULL])];
    assert!(run(&rules, &[Seen::count(10, 1), Seen::count(5, 99).late()]).is_empty());
    let log = [Seen::count(10, 99), Seen::count(5, 1).late()];
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 10)]);
}

#[test]
fn the_end_of_the_input_fires_no_timer() {
    let mut engine = engine(&[rule("full", &[FULL, "for: 10m"])]);
    feed(&mut engine, &[Seen::count(0, 99)], 0);
    let mut out = Vec::new();
    let ended = Observed {
        offset: 1,
        watermark: Millis::MAX,
        event_time: Millis::MAX,
        late: false,
        replayed: false,
        event_id: Uuid::nil(),
        subject: Subject::InputEnded,
    };
    engine.step(&ended, &mut Hints::default(), &mut out);
    assert!(out.is_empty());
}

#[test]
fn what_replayed_records_raise_is_marked_to_its_end() {
    let log = [Seen::count(0, 99).replayed(), Seen::count(1, 1), Seen::count(2, 99)];
    let replayed: Vec<_> = run(&[rule("full", &[FULL])], &log).iter().map(|record| record.replayed).collect();
    assert_eq!(replayed, [true, true, false]);
}

#[test]
fn lost_coverage_does_what_no_data_says() {
    let unknown = ZoneView { occupied: 0, unknown: 80, capacity: 100, stale_at: None };
    let log = [Seen::count(0, 99), Seen::view(1, unknown), Seen::view(2, unknown), Seen::count(3, 99)];
    let told_with = |no_data| told(&run(&[rule("full", &[FULL, no_data])], &log));
    assert_eq!(told_with("noData: KeepState"), [(FIRING, 0)]);
    assert_eq!(told_with("noData: Ok"), [(FIRING, 0), (RESOLVED, 1), (FIRING, 3)]);
    assert_eq!(told_with("noData: Alerting"), [(FIRING, 0), (AlertStatus::NoData, 0), (FIRING, 0)]);
}

#[test]
fn a_count_that_goes_stale_is_lost_coverage_at_that_time() {
    let stale = ZoneView { occupied: 99, unknown: 0, capacity: 100, stale_at: Some(START + 60 * MINUTE) };
    let log = [Seen::view(0, stale), Seen::tick(90)];
    let records = run(&[rule("full", &[FULL, "noData: Ok"])], &log);
    assert_eq!(told(&records), [(FIRING, 0), (RESOLVED, 60)]);
    let pending = run(&[rule("full", &[FULL, "for: 80m"])], &log);
    assert!(pending.is_empty(), "silence must not fire what waits");
}

#[test]
fn labels_annotations_and_origin_say_where_it_came_from() {
    let members = [FULL, "labels: {team: ops}", "annotations: {summary: '{{ zone.name }} at {{ value }}'}"];
    let records = run(&[rule("full", &members)], &[Seen::count(0, 1), Seen::count(1, 99)]);
    let record = records.first().unwrap();
    assert_eq!(record.annotations["summary"], "Alpha at 0.9900");
    let label = |name: &str| record.labels[name].as_str();
    assert_eq!((label("team"), label("district"), label("alertname")), ("ops", "cbd", "full"));
    assert_eq!(label("curb_zone_id"), ZONE.to_string());
    assert_eq!(record.origin, Origin { partition: 3, offset: 1, ordinal: 0 });
    assert_eq!(record.cause_event_ids, [Uuid::from_u128(1_001)]);
    assert_eq!(record.rule, "city/full");
}

proptest! {
    #[test]
    fn alerts_are_those_of_a_naive_fold(counts in prop::collection::vec(80_u32..110, 0..200)) {
        let log: Vec<_> = (0..).zip(&counts).map(|(minute, count)| Seen::count(minute, *count)).collect();
        let (mut open, mut expected) = (false, Vec::new());
        for (minute, count) in (0..).zip(counts) {
            if !open && count >= 98 {
                expected.push((FIRING, minute));
                open = true;
            } else if open && count < 95 {
                expected.push((RESOLVED, minute));
                open = false;
            }
        }
        prop_assert_eq!(told(&run(&[rule("full", &[FULL])], &log)), expected);
    }
}
