//! The dashboard and the warnings ask for metrics that there are, by labels that they have.
//!
//! What workers tell stands in `workers/metrics.md`, which is made from what they register; the operator is asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

#[path = "../metrics_told/mod.rs"]
mod metrics_told;
mod queries;
mod references;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

use self::{
    queries::{check, metrics_of},
    references::{Families, known},
};

fn file(name: &str) -> String {
    let path = PathBuf::from("../charts/parking-operator/monitoring").join(name);
    fs::read_to_string(path).unwrap()
}

/// An expression, and where it stands.
#[derive(Clone)]
struct Query {
    place: String,
    text: String,
    /// What is written with the labels of its result.
    legends: Vec<String>,
}

fn queries_of_the_dashboard() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().unwrap();
            let labels = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().to_owned());
            queries.push(Query {
                place: format!("panel {}", panel["title"]),
                // Grafana puts the length in.
                text: target["expr"].as_str().unwrap().replace("$__rate_interval", "5m"),
                legends: labels.collect(),
            });
        }
    }
    queries
}

const RULES: [&str; 2] = ["operator-rules.yaml", "pipeline-rules.yaml"];

fn alerts() -> Vec<Value> {
    let groups = |name| -> Vec<Value> {
        let rules: Value = serde_saphyr::from_str(&file(name)).unwrap();
        rules["groups"].as_array().unwrap().clone()
    };
    RULES.into_iter().flat_map(groups).flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn queries_of_the_rules() -> Vec<Query> {
    let query = |alert: Value| {
        let texts = [&alert["annotations"]["summary"], &alert["annotations"]["description"]];
        let labels = texts.into_iter().flat_map(|text| text.as_str().unwrap().split("$labels.").skip(1));
        let name = |rest: &str| -> String {
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        Query {
            place: format!("alert {}", alert["alert"]),
            text: alert["expr"].as_str().unwrap().to_owned(),
            legends: labels.map(name).collect(),
        }
    };
    alerts().into_iter().map(query).collect()
}

fn faults_in(queries: &[Query], known: &Families) -> Vec<String> {
    let faults = |query: &Query| -> Vec<String> {
        let faults = check(&query.text, &query.legends, known);
        faults.into_iter().map(|fault| format!("{}: {fault}", query.place)).collect()
    };
    queries.iter().flat_map(faults).collect()
}

#[test]
fn every_panel_and_every_warning_asks_for_what_is_told() {
    let queries = [queries_of_the_dashboard(), queries_of_the_rules()].concat();
    let faults = faults_in(&queries, &known());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_metric_is_shown_or_warned_about() {
    let queries = [queries_of_the_dashboard(), queries_of_the_rules()].concat();
    let known = known();
    let used: BTreeSet<_> = queries.iter().flat_map(|query| metrics_of(&query.text, &known)).collect();
    let idle: Vec<_> = known.keys().filter(|name| !used.contains(*name)).collect();
    assert!(idle.is_empty(), "no panel and no warning uses {idle:?}");
}

#[test]
fn every_warning_says_how_bad_it_is_what_it_is_and_what_to_do() {
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 20, "{name} has no {annotation}");
        }
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}

#[test]
fn a_query_for_what_nobody_tells_is_found() {
    let known = known();
    let planted = [
        ("parking_no_such_metric > 0", "parking_no_such_metric is told by nobody"),
        ("sum by (colour) (parking_stage_lag)", "no series has the label colour"),
        ("parking_stage_lag{colour=\"red\"}", "parking_stage_lag has no label colour"),
        ("parking_dead_letters_total > 5", "parking_dead_letters_total only grows"),
        ("rate(parking_stage_lag[5m])", "parking_stage_lag is no counter"),
        (
            "rate(parking_state_commit_duration_seconds[5m])",
            "parking_state_commit_duration_seconds is a histogram",
        ),
        ("sum by (role (parking_stage_lag)", "is no PromQL"),
    ];
    for (query, fault) in planted {
        let found = check(query, &[], &known);
        assert!(found.iter().any(|found| found.contains(fault)), "{query}: {found:?}");
    }
    let legend = check("sum by (role) (parking_stage_lag)", &["partition".to_owned()], &known);
    assert_eq!(legend, ["its text names the label partition, which its result lacks"]);
}
