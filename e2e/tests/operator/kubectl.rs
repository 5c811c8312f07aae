//! What people see through `kubectl` alone.

use std::process::{Command, Output};

use crate::city::{City, PIPELINE};

const OBJECTS: &str = r#"
apiVersion: parking.tinyx.io/v1alpha1
kind: AlertRule
metadata: {name: full}
spec:
  pipelineRef: {name: city}
  severity: critical
  condition: {threshold: {metric: occupancy_now, op: ">=", value: "0.98"}}
---
apiVersion: parking.tinyx.io/v1alpha1
kind: StatsJob
metadata: {name: hourly}
spec:
  pipelineRef: {name: city}
  schedule: "15 * * * *"
  timeZone: Europe/London
  statistics: [occupancy]
  sinks: [{lake: {table: hourly}}]
"#;

fn run(city: &City, arguments: &[&str]) -> Output {
    let mut kubectl: Command = city.namespace.cluster().kubectl().unwrap();
    kubectl.args(["-n", city.namespace.name()]).args(arguments).output().unwrap()
}

#[track_caller]
fn fine(city: &City, arguments: &[&str]) -> String {
    let output = run(city, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kubectl {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines of `kubectl get` under each heading, as `NAME COLUMN…` in one text.
fn headings(table: &str) -> Vec<String> {
    let headings = table.lines().filter(|line| line.starts_with("NAME"));
    headings.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn cells<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("{name} is not in\n{table}")).split_whitespace().collect()
}

#[tokio::test]
async fn kubectl_waits_lists_and_explains() {
    let city = City::start().await;
    city.namespace.apply(OBJECTS).await.unwrap();
    city.ready_with(1).await;
    fine(&city, &["wait", "--for=condition=Ready", &format!("pp/{PIPELINE}"), "--timeout=10s"]);
    fine(&city, &["wait", "--for=condition=Active", "ar/full", "--timeout=20s"]);

    let table = fine(&city, &["get", "pp,ar,stj"]);
    assert_eq!(
        headings(&table),
        [
            "NAME PHASE READY WORKERS LAG FIRING AGE",
            "NAME PIPELINE SEVERITY ACCEPTED LOADED FIRING PENDING AGE",
            "NAME SCHEDULE SUSPENDED LASTWINDOW LASTRESULT NEXTRUN AGE",
        ]
    );
    let pipeline = cells(&table, "parkingpipeline.parking.tinyx.io/city");
    assert_eq!(pipeline[1..3], ["Running", "True"], "{table}");
    let rule = cells(&table, "alertrule.parking.tinyx.io/full");
    assert_eq!(rule[1..5], ["city", "critical", "True", "1/1"], "{table}");
    assert!(table.contains("statsjob.parking.tinyx.io/hourly"), "{table}");

    let explained = fine(&city, &["explain", "parkingpipeline.spec.events"]);
    for wanted in ["partitions", "retention", "allowedLateness", "-required-"] {
        assert!(explained.contains(wanted), "{wanted} is missing in\n{explained}");
    }
    let undescribed: Vec<&str> = explained.lines().filter(|line| line.contains("<no description>")).collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
}
