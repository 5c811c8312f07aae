//! Every rule of the custom resources refuses one mutation of a valid object, without a cluster.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;

use kube::core::cel::{ScopeContext, Validator, WarningKind, analyze_rule, compile_schema};
use parking_crds::{alert_rule::AlertRule, manifest, pipeline::ParkingPipeline, stats_job::StatsJob};
use serde_json::{Value, json};

mod cases;

use cases::{Case, EXTERNAL, PIPELINE, RULES, STATS, fixture, job_cases, pipeline_cases, rule_cases, schema};

fn mutated(case: &Case) -> Value {
    let mut object = case.object.clone();
    let (parent, key) = case.pointer.rsplit_once('/').unwrap();
    match (object.pointer_mut(parent).unwrap(), &case.to) {
        (Value::Object(map), Some(value)) => {
            map.insert(key.to_owned(), value.clone());
        }
        (Value::Object(map), None) => {
            map.remove(key).unwrap();
        }
        (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value.clone(),
        (parent, _) => panic!("{} leads to {parent}", case.pointer),
    }
    object
}

fn check(case: &Case) {
    let name = format!("{} = {:?}", case.pointer, case.to);
    let old = case.update.then_some(&case.object);
    assert!(
        Validator::new().validate(&case.schema, &case.object, old).is_ok(),
        "{name}: the fixture is valid"
    );
    let errors = Validator::new().validate(&case.schema, &mutated(case), old).expect_err(&name).into_vec();
    let found: Vec<(&str, &str)> =
        errors.iter().map(|e| (e.field_path.as_str(), e.message.as_str())).collect();
    assert!(
        found.iter().any(|(field, says)| *field == case.field && says.contains(case.says)),
        "{name}: {found:?}"
    );
}

#[test]
fn each_rule_of_a_pipeline_refuses_its_mutation() {
    pipeline_cases().iter().for_each(check);
}

#[test]
fn each_rule_of_an_alert_rule_refuses_its_mutation() {
    rule_cases().iter().for_each(check);
}

#[test]
fn each_rule_of_a_statistics_job_refuses_its_mutation() {
    job_cases().iter().for_each(check);
    let (mut job, schema) = fixture("hourly");
    let spec = job["spec"].as_object_mut().unwrap();
    for field in ["statistics", "queries"] {
        spec.remove(field);
    }
    let errors = Validator::new().validate(&schema, &job, None).unwrap_err();
    assert_eq!(errors[0].field_path, "spec.statistics");
}

#[test]
fn changes_that_harm_nothing_are_accepted() {
    for (name, pointer, to) in [
        ("city", "/spec/events/retention", json!("30d")),
        ("city", "/spec/events/replicationFactor", json!(5)),
        ("city", "/spec/workers/ingest/replicas", json!(5)),
        ("zone-full", "/spec/keepFiringFor", json!("24h")),
        ("zone-full", "/spec/condition/threshold/recover", json!("0.98")),
        ("hourly", "/spec/window", json!("7d")),
    ] {
        let (object, schema) = fixture(name);
        let case = Case { object, schema, pointer, to: Some(to), update: true, field: "", says: "" };
        let outcome = Validator::new().validate(&case.schema, &mutated(&case), Some(&case.object));
        assert!(outcome.is_ok(), "{pointer}: {outcome:?}");
    }
}

fn rules_below(schema: &Value, found: &mut Vec<(Value, String, String)>) {
    if let Some(rules) = schema.get("x-kubernetes-validations").and_then(Value::as_array) {
        for rule in rules {
            let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
            found.push((schema.clone(), text("rule"), text("message")));
        }
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| rules_below(value, found)),
        Value::Array(list) => list.iter().for_each(|value| rules_below(value, found)),
        _ => {}
    }
}

#[test]
fn no_rule_is_without_a_case() {
    let cases: Vec<Case> = pipeline_cases().into_iter().chain(rule_cases()).chain(job_cases()).collect();
    let seen: BTreeSet<String> = cases
        .iter()
        .flat_map(|case| {
            let old = case.update.then_some(&case.object);
            Validator::new().validate(&case.schema, &mutated(case), old).unwrap_err().into_vec()
        })
        .map(|error| error.message)
        .collect();
    let mut rules = Vec::new();
    for schema in [schema::<ParkingPipeline>(), schema::<AlertRule>(), schema::<StatsJob>()] {
        rules_below(&schema, &mut rules);
    }
    assert!(rules.len() > 40, "{}", rules.len());
    let unseen: BTreeSet<_> = rules
        .into_iter()
        .map(|(_, _, message)| message)
        .filter(|message| !seen.contains(message) && !message.contains("something to compute"))
        .collect();
    assert_eq!(unseen, BTreeSet::new());
}

#[test]
fn every_rule_touches_bounded_inputs_only() {
    let mut rules = Vec::new();
    for schema in [schema::<ParkingPipeline>(), schema::<AlertRule>(), schema::<StatsJob>()] {
        rules_below(&schema, &mut rules);
    }
    for (schema, rule, message) in rules {
        // The analysis mistakes the variable of a comprehension for one that is out of scope.
        let warnings: Vec<_> = analyze_rule(&rule, &compile_schema(&schema), ScopeContext::CrdValidation)
            .into_iter()
            .filter(|warning| warning.kind != WarningKind::WrongScope)
            .collect();
        assert!(warnings.is_empty(), "{message}: {warnings:?}");
    }
}

#[test]
fn the_fixtures_are_what_parking_up_accepts() {
    for text in [PIPELINE, EXTERNAL, RULES, STATS] {
        manifest::parse(text).unwrap();
    }
    let broken = PIPELINE.replace("sentinels: 3", "sentinels: 4");
    let problems = manifest::parse(&broken).unwrap_err().to_string();
    assert_eq!(
        problems,
        "line 8 (document 1), spec.redis.managed.sentinels: sentinels must be an odd number, so that a majority exists"
    );
}
