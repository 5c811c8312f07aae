//! Whatever is changed by hand is as planned again within five seconds.

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::{Value, json};

use crate::city::City;

/// How long a repair may take; the machine does other things as well.
const REPAIR: Duration = Duration::from_secs(5);

/// A kind that the operator makes, an object of it and a change by hand.
struct Case {
    api_version: &'static str,
    kind: &'static str,
    name: String,
    patch: Value,
}

fn cases(namespace: &str) -> Vec<Case> {
    let case =
        |api_version, kind, name: &str, patch| Case { api_version, kind, name: name.to_owned(), patch };
    vec![
        case("v1", "ConfigMap", "city-occupancy", json!({"data": {"worker.yaml": "nonsense"}})),
        case("v1", "ConfigMap", "city-rules", json!({"data": {"manifest.json": "{}"}})),
        case("v1", "ServiceAccount", "city-alert", json!({"automountServiceAccountToken": true})),
        case("v1", "Service", "city-ingest", json!({"spec": {"selector": {"app": "other"}}})),
        case("v1", "Secret", "city-alert-kafka", json!({"data": {"user.key": "AAAA"}})),
        case("apps/v1", "StatefulSet", "city-occupancy", json!({"spec": {"replicas": 3}})),
        case("apps/v1", "Deployment", "city-ingest", json!({"spec": {"replicas": 4}})),
        case("policy/v1", "PodDisruptionBudget", "city-occupancy", json!({"spec": {"maxUnavailable": 2}})),
        case("networking.k8s.io/v1", "NetworkPolicy", "city-occupancy", json!({"spec": {"ingress": [{}]}})),
        case(
            "kafka.strimzi.io/v1",
            "KafkaTopic",
            &format!("{namespace}.city.events"),
            json!({"spec": {"config": {"retention.ms": "1"}}}),
        ),
        case(
            "monitoring.coreos.com/v1",
            "PodMonitor",
            "city-alert",
            json!({"spec": {"podMetricsEndpoints": []}}),
        ),
        case("monitoring.coreos.com/v1", "PrometheusRule", "city", json!({"spec": {"groups": []}})),
        case("keda.sh/v1alpha1", "ScaledObject", "city-archive", json!({"spec": {"maxReplicaCount": 99}})),
        case(
            "keda.sh/v1alpha1",
            "TriggerAuthentication",
            "city-archive",
            json!({"spec": {"secretTargetRef": []}}),
        ),
        case(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "city-notify",
            json!({"spec": {"maxReplicas": 99}}),
        ),
    ]
}

fn api(city: &City, case: &Case) -> Api<DynamicObject> {
    let (group, version) = case.api_version.rsplit_once('/').unwrap_or(("", case.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, case.kind));
    Api::namespaced_with(city.namespace.client(), city.namespace.name(), &resource)
}

/// What the operator planned of an object, without what changes by itself.
fn planned(object: &DynamicObject) -> Value {
    let labels: BTreeSet<_> = object
        .labels()
        .iter()
        .filter(|(key, _)| key.contains("tinyx") || key.contains("app.kubernetes"))
        .collect();
    json!({"labels": labels, "spec": object.data.get("spec"), "data": object.data.get("data"),
           "automount": object.data.get("automountServiceAccountToken")})
}

async fn autoscaled() -> City {
    let city = City::start().await;
    city.apply(|pipeline| {
        pipeline["spec"]["workers"] = json!({
            "archive": {"autoscaling": {"maxReplicas": 3, "lagThreshold": 100}},
            "notify": {"autoscaling": {"maxReplicas": 3, "cpuUtilization": 50}},
        });
        pipeline["spec"]["monitoring"] = json!({});
        pipeline["spec"]["networkPolicy"] = json!({"enabled": true});
    })
    .await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    city
}

async fn repaired(city: &City, case: &Case, before: &Value) {
    let objects = api(city, case);
    eventually(&format!("{} {} is as planned", case.kind, case.name), REPAIR, async || {
        let now = objects.get(&case.name).await.map_err(|error| error.to_string())?;
        if planned(&now) == *before { Ok(()) } else { Err(planned(&now).to_string()) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\nplanned: {before}\noperator:\n{}", city.log()));
}

#[tokio::test]
async fn an_object_of_each_kind_edited_by_hand_is_as_planned_again() {
    let city = autoscaled().await;
    for case in cases(city.namespace.name()) {
        let objects = api(&city, &case);
        let before = planned(
            &objects
                .get(&case.name)
                .await
                .unwrap_or_else(|error| panic!("{} {}: {error}", case.kind, case.name)),
        );
        objects.patch(&case.name, &PatchParams::default(), &Patch::Merge(&case.patch)).await.unwrap();
        repaired(&city, &case, &before).await;
    }
}

#[tokio::test]
async fn an_object_of_each_kind_deleted_by_hand_comes_back() {
    let city = autoscaled().await;
    for case in cases(city.namespace.name()) {
        let objects = api(&city, &case);
        let before = objects.get(&case.name).await.unwrap();
        objects.delete(&case.name, &DeleteParams::background()).await.unwrap();
        eventually(&format!("another {} {}", case.kind, case.name), REPAIR, async || {
            match objects.get_opt(&case.name).await.map_err(|error| error.to_string())? {
                Some(now) if now.uid() != before.uid() => Ok(()),
                other => Err(format!("{:?}", other.map(|object| object.metadata.deletion_timestamp))),
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    }
}

#[tokio::test]
async fn a_removed_owner_label_comes_back() {
    let city = autoscaled().await;
    for case in cases(city.namespace.name()) {
        let objects = api(&city, &case);
        let before = planned(&objects.get(&case.name).await.unwrap());
        let label = json!({"metadata": {"labels": {"parking.tinyx.io/pipeline": null}}});
        objects.patch(&case.name, &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
        repaired(&city, &case, &before).await;
    }
}
