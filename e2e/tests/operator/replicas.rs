//! Whoever decides a workload's number of replicas, it never falls when the decision changes hands.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams, WatchEvent, WatchParams},
};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::{Value, json};

use crate::city::{City, LIMIT};

/// Every number of replicas that a workload ever had, in order, as a watch tells it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<i64>>>);

impl Seen {
    /// Follows the object from now on, for as long as the test goes on.
    #[expect(clippy::disallowed_methods, reason = "a watch goes on beside the test")]
    async fn follow<K>(api: Api<K>, name: &str) -> Self
    where
        K: Resource<DynamicType = ()>
            + Clone
            + serde::de::DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let seen = Self::default();
        let first = api.get(name).await.unwrap();
        seen.add(&first);
        let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(290);
        let events = api.watch(&params, &first.resource_version().unwrap()).await.unwrap();
        let told = seen.clone();
        tokio::spawn(async move {
            let mut events = Box::pin(events);
            while let Some(event) = events.next().await {
                match event.unwrap() {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => told.add(&object),
                    other => panic!("the workload was not edited but: {other:?}"),
                }
            }
        });
        seen
    }

    fn add<K: serde::Serialize>(&self, object: &K) {
        let object = serde_json::to_value(object).unwrap();
        self.0.lock().unwrap().push(object["spec"]["replicas"].as_i64().expect("a number of replicas"));
    }

    async fn until_last(&self, wanted: i64) {
        eventually(&format!("{wanted} replicas"), LIMIT, async || {
            let seen = self.0.lock().unwrap().clone();
            if seen.last() == Some(&wanted) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
        .unwrap();
    }

    /// The numbers without repetitions.
    fn changes(&self) -> Vec<i64> {
        let mut seen = self.0.lock().unwrap().clone();
        seen.dedup();
        seen
    }
}

/// Waits until the autoscaler of that name exists, or does not.
async fn autoscaler(city: &City, kind: &str, name: &str, exists: bool) {
    let client = city.namespace.client();
    eventually(&format!("{kind} {name} exists: {exists}"), LIMIT, async || {
        let there = match kind {
            "ScaledObject" => scaled_objects(city).get_opt(name).await.map(|found| found.is_some()),
            _ => Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), city.namespace.name())
                .get_opt(name)
                .await
                .map(|found| found.is_some()),
        };
        match there {
            Ok(there) if there == exists => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

fn scaled_objects(city: &City) -> Api<kube::core::DynamicObject> {
    let kind = kube::core::GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
    let resource = kube::core::ApiResource::from_gvk(&kind);
    Api::namespaced_with(city.namespace.client(), city.namespace.name(), &resource)
}

/// Who holds the number of replicas.
fn holders<K: Resource>(object: &K) -> Vec<String> {
    let entries = object.managed_fields().iter().filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    entries.filter_map(|entry| entry.manager.clone()).collect()
}

/// What an autoscaler does: it asks for a number through the subresource.
async fn scale<K>(api: &Api<K>, name: &str, replicas: i64)
where
    K: Resource + Clone + serde::de::DeserializeOwned,
{
    let patch = json!({"spec": {"replicas": replicas}});
    let how = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    api.patch_scale(name, &how, &Patch::Merge(&patch)).await.unwrap();
}

async fn workers(city: &City, role: &str, worker: Value) {
    city.patch(json!({"spec": {"workers": {role: worker}}})).await;
    city.until("Ready", "True").await;
}

#[tokio::test]
async fn a_stage_goes_from_static_to_keda_and_back_without_a_dip() {
    let city = City::start().await;
    city.apply(|pipeline| pipeline["spec"]["workers"] = json!({"occupancy": {"replicas": 3}})).await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    let sets: Api<StatefulSet> = city.namespace.api();
    let seen = Seen::follow(sets.clone(), "city-occupancy").await;

    let scaled =
        json!({"replicas": null, "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "lagThreshold": 100}});
    workers(&city, "occupancy", scaled).await;
    autoscaler(&city, "ScaledObject", "city-occupancy", true).await;
    let handed = sets.get("city-occupancy").await.unwrap();
    assert!(!holders(&handed).contains(&"parking-operator".to_owned()), "{:?}", holders(&handed));
    assert_eq!(handed.spec.unwrap().replicas, Some(3), "the number stays until the autoscaler knows better");
    scale(&sets, "city-occupancy", 2).await;
    seen.until_last(2).await;
    workers(&city, "occupancy", json!({"nodeSelector": {"e2e": "yes"}})).await;
    assert_eq!(seen.changes(), [3, 2], "an edit of something else is no decision about the number");

    workers(&city, "occupancy", json!({"autoscaling": null, "replicas": 2})).await;
    autoscaler(&city, "ScaledObject", "city-occupancy", false).await;
    let back = sets.get("city-occupancy").await.unwrap();
    assert!(holders(&back).contains(&"parking-operator".to_owned()), "{:?}", holders(&back));
    assert_eq!(seen.changes(), [3, 2]);
}

#[tokio::test]
async fn ingest_goes_from_static_to_an_autoscaler_of_kubernetes_and_back_without_a_dip() {
    let city = City::start().await;
    city.apply(|pipeline| pipeline["spec"]["workers"] = json!({"ingest": {"replicas": 3}})).await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    let deployments: Api<Deployment> = city.namespace.api();
    let seen = Seen::follow(deployments.clone(), "city-ingest").await;

    let scaled =
        json!({"replicas": null, "autoscaling": {"minReplicas": 1, "maxReplicas": 5, "cpuUtilization": 60}});
    workers(&city, "ingest", scaled).await;
    autoscaler(&city, "HorizontalPodAutoscaler", "city-ingest", true).await;
    scale(&deployments, "city-ingest", 4).await;
    seen.until_last(4).await;

    workers(&city, "ingest", json!({"autoscaling": null, "replicas": 4})).await;
    autoscaler(&city, "HorizontalPodAutoscaler", "city-ingest", false).await;
    assert_eq!(seen.changes(), [3, 4]);
}
