use parking_crds::manifest::{Manifest, parse};

use super::*;
use crate::plan::sample;

const FULL: &str = "condition: {threshold: {metric: occupancy_now, op: '>=', value: '0.98'}}";
const INVENTORY: &str = "revisions:\n- {validFrom: 2016-01-01T00:00:00Z, timeZone: Europe/London, zones: [\
    {id: 0b6b8b8e-95a8-4b46-8a3e-6a1a0f0a0001, userZoneId: a, capacity: 5, labels: {district: cbd}}]}\n";

fn rule(name: &str, pipeline: &str, members: &[&str]) -> AlertRule {
    let text = format!(
        "apiVersion: parking.tinyx.io/v1alpha1\nkind: AlertRule\nmetadata: {{name: {name}, namespace: parking}}\n\
         spec:\n  pipelineRef: {{name: {pipeline}}}\n  severity: warning\n  {}\n",
        members.join("\n  ")
    );
    match parse(&text).unwrap().remove(0).manifest {
        Manifest::Rule(rule) => *rule,
        other => panic!("{other:?}"),
    }
}

fn look(rules: &[AlertRule]) -> BTreeMap<String, Result<BundledRule, Problem>> {
    let pipeline = sample::pipeline("  routes: [{name: ops, console: {}}]\n");
    let inventory = Inventory::parse(INVENTORY).unwrap();
    let found = accept(rules, &pipeline.id, &pipeline.spec, Some(&inventory));
    found.into_iter().map(|(name, verdict)| (name.to_string(), verdict)).collect()
}

fn city(name: &str, members: &[&str]) -> AlertRule {
    rule(name, "city", members)
}

#[test]
fn good_rules_of_the_pipeline_are_bundled_and_others_left_out() {
    let good = city(
        "good",
        &[
            FULL,
            "scope: {zoneSelector: {matchLabels: {district: cbd}}}",
            "annotations: {summary: '{{ zone.name }} at {{ value }}'}",
            "notify: {routes: [ops], groupBy: [district, alertname, curb_zone_id]}",
        ],
    );
    let absent = "scope: {zoneSelector: {matchExpressions: [{key: closed, operator: DoesNotExist}]}}";
    let rules = [
        good,
        city("absent", &[FULL, absent]),
        rule("b", "town", &[FULL]),
        city("dormant", &[FULL, "enabled: false"]),
    ];
    let found = look(&rules);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["absent", "good"]);
    assert!(found.values().all(Result::is_ok), "{found:?}");
}

#[test]
fn a_wrong_rule_is_refused_with_its_field_and_harms_no_other() {
    for (members, reason, words) in [
        (&["condition: {cel: {expression: 'true'}}"][..], Reason::NotSupported, "spec.condition.cel"),
        (&[FULL, "instanceKey: [event_session_id]"], Reason::Invalid, "spec.instanceKey"),
        (&[FULL, "notify: {routes: [pager]}"], Reason::RefNotFound, "no route pager"),
        (&[FULL, "inhibitedBy: [{ruleRef: ghost}]"], Reason::RefNotFound, "no rule ghost"),
        (&[FULL, "annotations: {summary: '{{ zone.title }}'}"], Reason::Invalid, "`zone.title`"),
        (&[FULL, "annotations: {summary: '{{value}}'}"], Reason::Invalid, "spec.annotations.summary"),
        (
            &[FULL, "scope: {zoneSelector: {matchLabels: {quarter: cbd}}}"],
            Reason::RefNotFound,
            "the label quarter",
        ),
        (
            &[FULL, "scope: {zoneSelector: {matchExpressions: [{key: ward, operator: Exists}]}}"],
            Reason::RefNotFound,
            "spec.scope.zoneSelector: no zone of the inventory has the label ward",
        ),
        (
            &[FULL, "scope: {zoneSelector: {matchExpressions: [{key: ward, operator: Near}]}}"],
            Reason::Invalid,
            "spec.scope.zoneSelector.matchExpressions",
        ),
        (&[FULL, "notify: {routes: [ops], groupBy: [street]}"], Reason::RefNotFound, "spec.notify.groupBy"),
    ] {
        let found = look(&[city("bad", members), city("good", &[FULL])]);
        let problem = found["bad"].clone().unwrap_err();
        assert_eq!((problem.condition, problem.reason), (ConditionType::Accepted, reason), "{problem:?}");
        assert!(problem.message.contains(words), "{words}: {problem:?}");
        assert!(found["good"].is_ok());
    }
}

#[test]
fn rules_that_silence_each_other_in_a_circle_are_named_with_the_path() {
    let by = |name: &str, other: &str| city(name, &[FULL, &format!("inhibitedBy: [{{ruleRef: {other}}}]")]);
    let rules = [by("a", "b"), by("b", "c"), by("c", "a"), by("d", "a"), by("e", "f"), city("f", &[FULL])];
    let found = look(&rules);
    assert!(found["a"].clone().unwrap_err().message.contains("(a -> b -> c -> a)"));
    assert!(found["b"].clone().unwrap_err().message.contains("(b -> c -> a -> b)"));
    assert!(found["c"].is_err());
    assert!(["d", "e", "f"].iter().all(|name| found[*name].is_ok()), "{found:?}");
}

#[test]
fn the_order_of_the_rules_says_nothing() {
    let mut rules =
        vec![city("a", &[FULL, "inhibitedBy: [{ruleRef: b}]"]), city("b", &[FULL]), city("c", &[FULL])];
    let found = look(&rules);
    rules.reverse();
    assert_eq!(look(&rules), found);
}

#[test]
fn without_an_inventory_labels_are_not_judged() {
    let pipeline = sample::pipeline("");
    let rules = [city("a", &[FULL, "scope: {zoneSelector: {matchLabels: {quarter: cbd}}}"])];
    let found = accept(&rules, &pipeline.id, &pipeline.spec, None);
    assert!(found.values().all(Result::is_ok));
}

#[test]
fn rules_that_fit_into_no_shard_are_refused_and_the_rest_stays() {
    let long = format!("annotations: {{text: '{}'}}", "x".repeat(600_000));
    let rules: Vec<AlertRule> = (0..18).map(|n| city(&format!("r{n:02}"), &[FULL, &long])).collect();
    let found = look(&rules);
    let refused: Vec<&String> =
        found.iter().filter(|(_, rule)| rule.is_err()).map(|(name, _)| name).collect();
    assert_eq!(refused, ["r16", "r17"]);
    assert!(found["r17"].clone().unwrap_err().message.contains("finds no room"));
}
