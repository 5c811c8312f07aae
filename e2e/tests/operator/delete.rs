//! A pipeline goes in order, and leaves what its policy retains.

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PropagationPolicy},
};
use serde_json::{Value, json};

use crate::city::{City, PIPELINE};

async fn deleted(city: &City, how: PropagationPolicy) {
    let params = DeleteParams { propagation_policy: Some(how), ..DeleteParams::default() };
    city.pipelines().delete(PIPELINE, &params).await.unwrap();
    city.until_gone(PIPELINE).await;
}

/// Names of the pipeline's objects that exist, by kind; pods and what controllers derive left out.
async fn left(city: &City) -> Vec<String> {
    let derived =
        ["EndpointSlice", "Endpoints", "ControllerRevision", "Event", "Pod", "ReplicaSet", "PodMetrics"];
    let content = city.namespace.content().await.unwrap();
    let ours = content.iter().filter(|object| {
        object.pointer("/metadata/labels/parking.tinyx.io~1pipeline").is_some()
            && !derived.iter().any(|kind| object["kind"] == *kind)
            && object.pointer("/metadata/labels/strimzi.io~1kind").is_none()
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ours.map(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

#[tokio::test]
async fn a_deleted_pipeline_retains_topics_and_users_and_nothing_else() {
    let city = City::start().await;
    city.ready().await;
    deleted(&city, PropagationPolicy::Background).await;
    assert_eq!(city.strimzi.topics().len(), 4, "the topics stay in Kafka");
    let left = left(&city).await;
    assert!(left.iter().all(|object| object.starts_with("KafkaUser ")), "{left:?}");
    assert_eq!(left.len(), 5, "users outlive the pipeline as topics do");
}

#[tokio::test]
async fn every_propagation_ends_in_the_same() {
    for how in [PropagationPolicy::Foreground, PropagationPolicy::Orphan] {
        let city = City::start().await;
        city.apply(|pipeline| {
            pipeline["spec"]["deletionPolicy"] =
                json!({"topics": "Delete", "bucket": "Delete", "redis": "Delete"});
        })
        .await;
        city.load_rules(0).await;
        city.until("Ready", "True").await;
        deleted(&city, how.clone()).await;
        assert_eq!(left(&city).await, Vec::<String>::new(), "{how:?}");
        assert_eq!(city.strimzi.topics().len(), 0, "{how:?}");
    }
}

#[tokio::test]
async fn a_pipeline_made_anew_after_retain_goes_on_with_its_topics() {
    let city = City::start().await;
    city.ready().await;
    let before = city.strimzi.topics();
    deleted(&city, PropagationPolicy::Background).await;
    let pipeline = city.ready().await;
    assert_eq!(city.strimzi.topics(), before);
    assert!(pipeline.finalizers().iter().any(|name| name == "parking.tinyx.io/cleanup"));
    let pods: Api<k8s_openapi::api::core::v1::Pod> = city.namespace.api();
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 5);
}
