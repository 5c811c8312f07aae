use super::*;

#[test]
fn a_stay_beyond_limit_and_grace_fires_and_its_end_resolves() {
    let records =
        run(&[rule("over", &[OVERSTAY])], &[Seen::started(0, 7), Seen::tick(140), Seen::ended(150, 7)]);
    assert_eq!(told(&records), [(FIRING, 130), (RESOLVED, 150)]);
    assert_eq!((records[0].active_at, records[0].value.as_str()), (START + 120 * MINUTE, "2h10m"));
    assert_eq!(records[0].labels["event_session_id"], Uuid::from_u128(7).to_string());
    assert_eq!(records[0].cause_event_ids, [1_000, 1_001].map(Uuid::from_u128));
}

#[test]
fn a_stay_that_ends_within_the_grace_is_never_told() {
    let log = [Seen::started(0, 7), Seen::tick(125), Seen::ended(129, 7), Seen::tick(500)];
    assert!(run(&[rule("over", &[OVERSTAY])], &log).is_empty());
}

#[test]
fn a_missed_departure_is_assumed_once() {
    let log = [Seen::started(0, 7), Seen::tick(24 * 60), Seen::tick(30 * 60), Seen::ended(40 * 60, 7)];
    let records = run(&[rule("over", &[OVERSTAY])], &log);
    assert_eq!(told(&records), [(FIRING, 130), (RESOLVED, 24 * 60)]);
}

#[test]
fn a_late_end_cancels_what_waits_and_resolves_with_the_next_record_on_time() {
    let rules = [rule("over", &[OVERSTAY])];
    let waits = [Seen::started(0, 7), Seen::tick(125), Seen::ended(60, 7).late(), Seen::tick(500)];
    assert!(run(&rules, &waits).is_empty());
    let raised = [Seen::started(0, 7), Seen::tick(140), Seen::ended(60, 7).late(), Seen::count(200, 0)];
    assert_eq!(told(&run(&rules, &raised[..3])), [(FIRING, 130)]);
    assert_eq!(told(&run(&rules, &raised)), [(FIRING, 130), (RESOLVED, 200)]);
}

#[test]
fn a_corrected_start_moves_the_limit() {
    let rules = [rule("over", &[OVERSTAY])];
    let mut moved = Seen::started(20, 7);
    moved.minute = 30;
    let log = [Seen::started(0, 7), moved, Seen::tick(135), Seen::tick(160)];
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 150)]);
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    let log = [Seen::started(5, 8), Seen::started(6, 7), Seen::tick(300)];
    let records = run(&[rule("over", &[OVERSTAY])], &log);
    assert_eq!(told(&records), [(FIRING, 135), (FIRING, 136)]);
    assert_eq!(records.iter().map(|record| record.origin.ordinal).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn above_max_active_one_alert_stands_for_all_and_room_lets_the_next_in() {
    let rules = [rule("over", &[OVERSTAY, "limits: {maxActive: 1}"])];
    let log = [Seen::started(0, 7), Seen::started(0, 8), Seen::tick(140), Seen::ended(150, 7)];
    let records = run(&rules, &log);
    let saturated = |record: &&AlertRecord| record.labels.contains_key("saturated");
    assert_eq!(
        records.iter().filter(saturated).map(|record| record.state).collect::<Vec<_>>(),
        [FIRING, RESOLVED]
    );
    let own: Vec<_> = records.into_iter().filter(|record| !saturated(&record)).collect();
    assert_eq!(told(&own), [(FIRING, 130), (RESOLVED, 150), (FIRING, 150)]);
}
