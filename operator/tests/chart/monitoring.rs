//! What the chart brings for Prometheus and Grafana: its plain files, unchanged but for where they look.

use std::fs;

use serde_json::Value;

use crate::rendering::{MONITORING, charts, of_kind, rendered};

fn file(name: &str) -> String {
    fs::read_to_string(charts().join("parking-operator/monitoring").join(name)).unwrap()
}

fn groups(name: &str) -> Value {
    serde_saphyr::from_str::<Value>(&file(name)).unwrap()["groups"].clone()
}

#[test]
fn the_dashboard_is_there_where_it_is_asked_for() {
    assert!(of_kind(&rendered(&[], &[]), "ConfigMap").is_empty());
    let objects = rendered(&["dashboard.enabled=true", "dashboard.annotations.folder=City"], &[]);
    let dashboard = of_kind(&objects, "ConfigMap")[0];
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(dashboard["metadata"]["annotations"]["folder"], "City");
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(dashboard["data"]["parking.json"].as_str().unwrap()), json(&file("dashboard.json")));
}

#[test]
fn warnings_about_the_operator_look_at_its_own_pods_alone() {
    let objects = rendered(&["prometheusRule.stuckFor=7m"], MONITORING);
    let rules = of_kind(&objects, "PrometheusRule");
    assert_eq!(rules.len(), 1, "those about pipelines were not asked for");
    let own = r#"namespace="parking-system",pod=~"parking-operator-[a-z0-9]+-[a-z0-9]+""#;
    let text = groups("operator-rules.yaml").to_string();
    let wanted = text.replace(r#"pod=~\".+\""#, &own.replace('"', "\\\""));
    let mut wanted: Value = serde_json::from_str(&wanted).unwrap();
    wanted[0]["rules"][0]["for"] = "7m".into();
    assert_eq!(rules[0]["spec"]["groups"], wanted);
}

#[test]
fn warnings_about_every_pipeline_are_the_plain_file() {
    let objects = rendered(&["prometheusRule.pipelines=true"], MONITORING);
    let rules = of_kind(&objects, "PrometheusRule");
    assert_eq!(rules[1]["spec"]["groups"], groups("pipeline-rules.yaml"));
}
