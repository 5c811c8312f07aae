use parking_crds::{stats_run::StatsRunConfig, time::Window};
use serde_json::{Value, json};

use super::*;
use crate::stats_job::{
    runs::{RunSeen, RunState},
    schedule::fixture::valid,
};

fn run(job: &ValidJob) -> RunPlan {
    let range = Window { start: 1_475_535_600_000, end: 1_475_622_000_000 };
    RunPlan::new(&job.namespace, &job.name, &job.computation_id, (range, 1), 2)
}

fn with_redis() -> ValidJob {
    valid(&json!({"sinks": [{"lake": {"table": "hourly"}}, {"redis": {}}]}))
}

/// Members that a server would drop or add, which would look like a difference for ever.
fn has_nothing_empty(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty() && list.iter().all(has_nothing_empty),
        Value::Object(map) => map.values().all(has_nothing_empty),
        _ => true,
    }
}

#[test]
fn the_job_of_a_run_is_as_approved() {
    let job = with_redis();
    let planned = stats_run(&job, &run(&job));
    assert_eq!((planned.kind, planned.namespace.as_str()), (OwnedKind::Job, "parking"));
    assert!(has_nothing_empty(&planned.manifest));
    insta::assert_yaml_snapshot!(planned.manifest);
}

#[test]
fn the_application_of_a_run_is_as_approved() {
    let spark =
        json!({"image": "registry/spark:1", "executors": 4, "config": {"spark.sql.ansi.enabled": "true"}});
    let job = valid(&json!({"engine": {"spark": spark}}));
    let planned = stats_run(&job, &run(&job));
    assert_eq!(planned.kind, OwnedKind::SparkApplication);
    assert!(has_nothing_empty(&planned.manifest));
    insta::assert_yaml_snapshot!(planned.manifest);
}

#[test]
fn a_planned_run_is_recognised_when_it_is_seen() {
    let job = with_redis();
    let plan = run(&job);
    let seen = RunSeen::of_job(&serde_json::from_value(stats_run(&job, &plan).manifest).unwrap()).unwrap();
    assert_eq!((seen.name, seen.range, seen.attempt), (plan.name.clone(), plan.range, 2));
    assert_eq!((seen.computation, seen.state), (job.computation_id.clone(), RunState::Active));
    let spark = valid(&json!({"engine": {"spark": {"image": "spark:1"}}}));
    let manifest = stats_run(&spark, &run(&spark)).manifest;
    let seen = RunSeen::of_spark(&serde_json::from_value(manifest).unwrap()).unwrap();
    assert_eq!((seen.range, seen.computation), (plan.range, spark.computation_id));
}

#[test]
fn the_file_reads_back_and_holds_what_the_sinks_need() {
    let job = with_redis();
    let plan = stats_objects(&job);
    let kinds: Vec<OwnedKind> = plan.objects.iter().map(|object| object.kind).collect();
    assert_eq!(kinds, [OwnedKind::ConfigMap, OwnedKind::ServiceAccount]);
    let text = plan.objects[0].manifest["data"][CONFIG_KEY].as_str().unwrap();
    let config = StatsRunConfig::parse(text).unwrap();
    assert_eq!(config.computation.id(), job.computation_id);
    assert!(config.redis.is_some() && config.kafka.is_none());
}

#[test]
fn the_file_of_another_computation_has_another_name() {
    let name = |fields: &Value| stats_objects(&valid(fields)).objects[0].name.clone();
    let plain = name(&json!({}));
    assert!(plain.starts_with("hourly-stats-") && plain.len() <= 63, "{plain}");
    assert_eq!(plain, name(&json!({"schedule": "0 3 * * *"})), "all runs share it");
    assert_ne!(plain, name(&json!({"granularity": "2h"})));
}

#[test]
fn planned_offline_nothing_refers_to_an_owner() {
    let mut job = with_redis();
    job.owner.uid = String::new();
    assert!(stats_run(&job, &run(&job)).manifest["metadata"].get("ownerReferences").is_none());
}
