use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::live::Live;

const NOW: &str = "2026-01-02T00:00:00Z";
const THEN: &str = "2026-01-01T23:00:00Z";

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "observedGeneration": 2, "lastTransitionTime": THEN})
}

fn object(kind: &str, name: &str, component: &str, more: &Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": if kind == "StatefulSet" { "apps/v1" } else { "v1" }, "kind": kind,
        "metadata": {"name": name, "namespace": "parking", "generation": 1, "creationTimestamp": THEN,
                     "labels": {labels::COMPONENT: component}},
    });
    for (key, value) in more.as_object().unwrap() {
        object[key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn pod(name: &str, component: &str, ready: bool) -> Pod {
    let status = if ready { "True" } else { "False" };
    let more = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}});
    typed(&object("Pod", name, component, &more)).unwrap()
}

fn rule(name: &str, status: &Value) -> AlertRule {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "parking", "creationTimestamp": THEN},
        "spec": {"pipelineRef": {"name": "city"}, "severity": "warning",
                 "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.9"}}},
        "status": status,
    }))
    .unwrap()
}

fn city() -> Seen {
    let pipeline = json!({
        "metadata": {"name": "city", "namespace": "parking", "generation": 2, "creationTimestamp": THEN},
        "spec": {
            "kafka": {"strimzi": {"cluster": "events", "namespace": "kafka"}}, "redis": {"managed": {}},
            "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake"},
            "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
        },
        "status": {"phase": "Starting", "conditions": [
            condition("Ready", "False", "Waiting", "alert has 1 of 2 workers ready"),
            condition("Degraded", "False", "AsSpecified", "nothing is broken"),
            condition("RedisReady", "True", "AsSpecified", "Redis answers"),
            condition("BucketReady", "False", "MissingRight", "grant s3:PutObject"),
        ]},
    });
    let mut live = Live::default();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let taken = json!({"type": "Ready", "status": "False", "reason": "ResourceConflict", "message": "managed by another"});
    let (taken, set) = (
        json!({"status": {"conditions": [taken]}}),
        json!({"spec": {"replicas": 2, "selector": {}, "serviceName": "x", "template": {}},
               "status": {"replicas": 2, "readyReplicas": 1, "observedGeneration": 1, "updatedReplicas": 2}}),
    );
    live.insert(OwnedKind::KafkaTopic, object("KafkaTopic", "parking.city.events", "streams", &ready));
    live.insert(OwnedKind::KafkaTopic, object("KafkaTopic", "parking.city.sessions", "streams", &taken));
    live.insert(OwnedKind::KafkaUser, object("KafkaUser", "city-alert-1", "alert", &json!({})));
    live.insert(OwnedKind::StatefulSet, object("StatefulSet", "city-alert", "alert", &set));
    let job = json!({
        "metadata": {"name": "hourly", "namespace": "parking", "creationTimestamp": THEN},
        "spec": {"pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "statistics": ["occupancy"],
                 "sinks": [{"lake": {"table": "hourly"}}]},
        "status": {"lastResult": "Succeeded", "lastWindow": "a/b", "nextRun": "2026-01-02T00:15:00Z",
                   "active": ["hourly-1"]},
    });
    let accepted = condition("Accepted", "True", "Compiled", "it compiled");
    let refused = condition("Accepted", "False", "Invalid", "spec.scope names the unknown label x");
    Seen {
        pipeline: serde_json::from_value(pipeline).unwrap(),
        rules: vec![
            rule(
                "full",
                &json!({"conditions": [accepted], "loaded": "1/2", "engines": {"desired": 2, "loaded": 1},
                "instances": {"pending": 1, "firing": 2, "recovering": 0, "noData": 0}}),
            ),
            rule("odd", &json!({"conditions": [refused]})),
        ],
        jobs: vec![serde_json::from_value(job).unwrap()],
        live,
        pods: vec![
            pod("city-redis-0", "redis", true),
            pod("city-redis-1", "redis", false),
            pod("city-alert-1", "alert", false),
        ],
        lag: BTreeMap::from([(Role::Alert, 17)]),
        unreadable: vec!["you may not list pods".to_owned()],
    }
}

#[test]
fn a_pipeline_is_shown_with_all_that_belongs_to_it() {
    insta::assert_snapshot!(standing(&city(), NOW.parse().unwrap()).print(false));
}

#[test]
fn what_nobody_looked_at_is_not_known() {
    let mut seen = city();
    seen.pipeline.status = None;
    seen.lag.clear();
    let text = standing(&seen, NOW.parse().unwrap()).print(false);
    assert!(text.starts_with("ParkingPipeline parking/city  not looked at yet"), "{text}");
    assert!(text.contains("bucket city-lake  not looked at yet"), "{text}");
    assert!(text.contains("alert  1/2  records to read not known"), "{text}");
}

#[test]
fn a_command_that_was_given_is_shown() {
    let mut seen = city();
    seen.pipeline.metadata.annotations = Some([(labels::PHASE.to_owned(), "Paused".to_owned())].into());
    let text = standing(&seen, NOW.parse().unwrap()).print(false);
    assert!(text.lines().next().unwrap().contains("told to be Paused by kubectl parking"), "{text}");
}

#[test]
fn an_edit_that_nobody_looked_at_is_told() {
    let mut seen = city();
    seen.pipeline.metadata.generation = Some(3);
    let text = standing(&seen, NOW.parse().unwrap()).print(false);
    assert!(text.contains("the newest edit was not looked at yet"), "{text}");
}
