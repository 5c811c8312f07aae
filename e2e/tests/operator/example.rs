//! One full example: a pipeline with autoscaling, monitoring and network policies, rules and a statistics job.

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::{Value, json};
use std::time::Duration;

use crate::city::{City, LIMIT, PIPELINE};

/// How many rules there are.
pub(crate) const RULES: usize = 2;

/// Changes the plain manifest into the example's.
pub(crate) fn enrich(pipeline: &mut Value) {
    pipeline["spec"]["workers"] = json!({
        "archive": {"autoscaling": {"maxReplicas": 3, "lagThreshold": 100}},
        "notify": {"autoscaling": {"maxReplicas": 3, "cpuUtilization": 50}},
    });
    pipeline["spec"]["monitoring"] = json!({});
    pipeline["spec"]["networkPolicy"] = json!({"enabled": true});
    pipeline["spec"]["deletionPolicy"] = json!({"topics": "Delete", "bucket": "Delete", "redis": "Delete"});
}

fn rule(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule", "metadata": {"name": name},
        "spec": {
            "pipelineRef": {"name": PIPELINE}, "severity": "warning",
            "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": value}},
        },
    })
}

fn job() -> Value {
    json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob", "metadata": {"name": "hourly"},
        "spec": {
            "pipelineRef": {"name": PIPELINE}, "schedule": "15 * * * *", "timeZone": "Europe/London",
            "window": "1d", "granularity": "1h", "groupBy": ["zone"], "statistics": ["occupancy"],
            "sinks": [{"lake": {"table": "hourly"}}], "missedRuns": "CatchUpAll",
            "concurrencyPolicy": "Forbid", "engine": {"datafusion": {}},
        },
    })
}

/// Applies all of it, as a user does with one folder.
pub(crate) async fn apply(city: &City) {
    let manifests = [rule("full", "0.98"), rule("nearly-full", "0.9"), job()];
    for manifest in manifests {
        city.namespace.apply(&manifest.to_string()).await.unwrap();
    }
    city.apply(enrich).await;
}

/// Applies it, and waits until it stands.
pub(crate) async fn ready(city: &City) {
    apply(city).await;
    city.load_rules(RULES).await;
    city.until("Ready", "True").await;
}

/// Objects that are watched in different ways, and a change by hand to each.
const DRIFTS: [(&str, &str, &str, &str, &str); 3] = [
    ("", "v1", "ConfigMap", "city-occupancy", r#"{"data": {"worker.yaml": "by hand"}}"#),
    ("apps", "v1", "StatefulSet", "city-occupancy", r#"{"spec": {"replicas": 3}}"#),
    ("monitoring.coreos.com", "v1", "PrometheusRule", "city", r#"{"spec": {"groups": []}}"#),
];

/// Changes objects by hand, and waits until each is as it was.
pub(crate) async fn is_repaired(city: &City, limit: Duration) {
    let mut changed = Vec::new();
    for (group, version, kind, name, patch) in DRIFTS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> =
            Api::namespaced_with(city.namespace.client(), city.namespace.name(), &resource);
        let before = api.get(name).await.unwrap().data;
        let patch: Value = serde_json::from_str(patch).unwrap();
        let after = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        assert_ne!(planned(&before), planned(&after.data), "{kind}");
        changed.push((kind, api, name, before));
    }
    for (kind, api, name, before) in changed {
        eventually(&format!("{kind} {name} is as planned"), limit, async || {
            let now = api.get(name).await.map_err(|error| error.to_string())?;
            if planned(&now.data) == planned(&before) {
                Ok(())
            } else {
                Err(format!("{} {}", now.name_any(), now.data))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    }
}

fn planned(data: &Value) -> Value {
    json!({"spec": data.get("spec"), "data": data.get("data")})
}

/// Waits for a line of the operator's log that holds each of the words.
pub(crate) async fn until_logged(city: &City, words: &[&str]) {
    eventually(&format!("a line of the log with {words:?}"), LIMIT, async || {
        let log = city.log();
        if log.lines().any(|line| words.iter().all(|word| line.contains(word))) { Ok(()) } else { Err(log) }
    })
    .await
    .unwrap();
}
