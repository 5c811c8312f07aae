use super::*;

fn refusal(members: &[&str]) -> String {
    Rule::compile(&rule("bad", members)).unwrap_err().to_string()
}

#[test]
fn a_rule_that_cannot_run_is_named_and_harms_no_other() {
    let rate =
        rule("rate", &["condition: {rate: {match: {eventTypes: [park_start]}, count: 6, window: 10m}}"]);
    let (set, refused) = RuleSet::compile(&[rate, rule("full", &[FULL])]);
    assert_eq!(set.rules().len(), 1);
    assert_eq!(refused[0].0, "rate");
    assert_eq!(refused[0].1, RuleError::UnsupportedCondition { kind: "rate" });
    assert_eq!(refused[0].1.reason(), "UnsupportedCondition");
}

#[test]
fn each_refusal_begins_with_the_field() {
    let mean = "condition: {threshold: {metric: free, op: '<', value: '5', aggregate: mean}}";
    let selector = "scope: {zoneSelector: {matchExpressions: [{key: a, operator: Near}]}}";
    for (members, field) in [
        (&["condition: {}"][..], "spec.condition:"),
        (&[mean], "spec.condition.threshold.aggregate:"),
        (&[FULL, "instanceKey: [event_session_id]"], "spec.instanceKey:"),
        (&[FULL, "instanceKey: [curb_zone_id, event_id]"], "spec.instanceKey:"),
        (&[FULL, selector], "spec.scope.zoneSelector.matchExpressions:"),
    ] {
        assert!(refusal(members).starts_with(field), "{field} {}", refusal(members));
    }
}

#[test]
fn a_disabled_rule_is_not_run() {
    assert!(run(&[rule("full", &[FULL, "enabled: false"])], &[Seen::count(0, 99)]).is_empty());
}

#[test]
fn the_scope_selects_zones_by_labels_and_classes() {
    for (scope, fires) in [
        ("scope: {zoneSelector: {matchLabels: {district: cbd}}}", true),
        ("scope: {zoneSelector: {matchLabels: {district: docks}}}", false),
        ("scope: {zoneSelector: {matchExpressions: [{key: district, operator: Exists}]}}", true),
        (
            "scope: {zoneSelector: {matchExpressions: [{key: district, operator: NotIn, values: [cbd]}]}}",
            false,
        ),
        ("scope: {spaceClasses: [general]}", true),
        ("scope: {spaceClasses: [loading]}", false),
    ] {
        assert_eq!(!run(&[rule("full", &[FULL, scope])], &[Seen::count(0, 99)]).is_empty(), fires, "{scope}");
    }
}

#[test]
fn active_windows_are_local_time_and_may_pass_midnight() {
    // START is Sunday, 9 October 2016, 09:00 in London.
    for (window, fires) in [
        ("{days_of_week: [sun], time_of_day_start: '09:00', time_of_day_end: '10:00'}", true),
        ("{days_of_week: [sun], time_of_day_start: '08:00', time_of_day_end: '09:00'}", false),
        ("{days_of_week: [mon], time_of_day_start: '09:00', time_of_day_end: '10:00'}", false),
        ("{days_of_week: [sat], time_of_day_start: '22:00', time_of_day_end: '09:30'}", true),
    ] {
        let windows = format!("activeWindows: [{window}]");
        assert_eq!(
            !run(&[rule("full", &[FULL, &windows])], &[Seen::count(0, 99)]).is_empty(),
            fires,
            "{window}"
        );
    }
}

#[test]
fn an_alert_is_not_told_while_another_silences_it() {
    let almost = "condition: {threshold: {metric: occupancy_now, op: '>=', value: '0.90'}}";
    let silenced = "inhibitedBy: [{ruleRef: full, equal: [curb_zone_id]}]";
    let rules = [rule("almost", &[almost, silenced]), rule("full", &[FULL])];
    let records = run(&rules, &[Seen::count(0, 99), Seen::count(1, 92), Seen::count(2, 10)]);
    let told: Vec<_> = records.iter().map(|record| (record.rule.as_str(), record.state)).collect();
    let (almost, full) = ("city/almost", "city/full");
    assert_eq!(told, [(full, FIRING), (full, RESOLVED), (almost, FIRING), (almost, RESOLVED)]);
}

#[test]
fn a_changed_rule_resolves_its_alerts_once_and_starts_anew_with_the_next_record() {
    let old = engine(&[rule("full", &[FULL])]);
    let edited = rule_set(&[rule("full", &[FULL, "labels: {team: ops}"])]);
    let log = [Seen::count(0, 99), Seen::count(1, 99), Seen::count(2, 99)];
    let mut engine = old;
    feed(&mut engine, &log[..1], 0);
    let mut engine = engine.with_rules(edited).unwrap();
    let records = feed(&mut engine, &log, 1);
    assert_eq!(told(&records), [(RESOLVED, 1), (FIRING, 1)]);
    assert_eq!(records[0].reason, Some(ResolvedReason::RuleChanged));
    assert_ne!(records[0].alert_id, records[1].alert_id);
    assert_ne!(records[0].rule_hash, records[1].rule_hash);
}

#[test]
fn a_deleted_rule_resolves_its_alerts_once() {
    let mut engine = engine(&[rule("full", &[FULL])]);
    let log = [Seen::count(0, 99), Seen::tick(1), Seen::count(2, 99)];
    feed(&mut engine, &log[..1], 0);
    let mut engine = engine.with_rules(rule_set(&[])).unwrap();
    assert_eq!(told(&feed(&mut engine, &log, 1)), [(RESOLVED, 1)]);
}
