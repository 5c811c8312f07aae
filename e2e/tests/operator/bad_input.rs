//! An object that cannot be planned says why, harms nothing else, and heals when the cause goes.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::DeleteParams};
use parking_crds::pipeline::ParkingPipeline;
use parking_e2e::kubernetes::surroundings::INVENTORY;
use serde_json::{Value, json};

use crate::city::City;

fn condition(pipeline: &ParkingPipeline, kind: &str) -> (String, String) {
    let conditions = &pipeline.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|found| found.type_ == kind).unwrap();
    (found.reason.clone(), found.message.clone())
}

/// Applies the pipeline with a fault, and returns reason and message of the condition that tells of it.
async fn told(city: &City, kind: &str, fault: impl FnOnce(&mut Value)) -> (String, String) {
    city.apply(fault).await;
    let pipeline = city.until(kind, "False").await;
    condition(&pipeline, kind)
}

#[tokio::test]
async fn a_kafka_cluster_that_does_not_exist_is_named_and_nothing_is_made_for_it() {
    let city = City::start().await;
    let (reason, message) =
        told(&city, "TopicsReady", |p| p["spec"]["kafka"] = json!({"strimzi": {"cluster": "absent"}})).await;
    assert_eq!(reason, "RefNotFound");
    assert!(message.contains("absent"), "{message}");
}

#[tokio::test]
async fn a_listener_that_does_not_exist_is_named_with_those_that_do() {
    let city = City::start().await;
    let fault = |p: &mut Value| p["spec"]["kafka"]["strimzi"]["listener"] = json!("plain");
    let (_, message) = told(&city, "UsersReady", fault).await;
    assert!(message.contains("plain") && message.contains("tls"), "{message}");
    city.ready().await;
}

#[tokio::test]
async fn a_missing_secret_is_named_and_heals_when_it_comes() {
    let city = City::start().await;
    let fault = |p: &mut Value| p["spec"]["objectStore"]["credentialsSecretRef"] = json!({"name": "later"});
    let (reason, message) = told(&city, "BucketReady", fault).await;
    assert_eq!(reason, "RefNotFound");
    assert!(message.contains("later"), "{message}");
    let (user, password) = parking_e2e::minio::KEYS;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"},
        "stringData": {"accessKey": user, "secretKey": password},
    });
    city.namespace.apply(&secret.to_string()).await.unwrap();
    city.until("BucketReady", "True").await;
}

#[tokio::test]
async fn wrong_credentials_are_told_from_a_missing_bucket() {
    let city = City::start().await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"},
        "stringData": {"accessKey": "nobody", "secretKey": "knows-this-one"},
    });
    city.namespace.apply(&secret.to_string()).await.unwrap();
    let fault = |p: &mut Value| p["spec"]["objectStore"]["credentialsSecretRef"] = json!({"name": "wrong"});
    let (reason, message) = told(&city, "BucketReady", fault).await;
    assert_eq!(reason, "CredentialsRefused", "{message}");
    assert!(!message.contains("knows-this-one"), "{message}");
}

#[tokio::test]
async fn an_inventory_that_does_not_parse_is_named_with_its_key_and_heals() {
    let city = City::start().await;
    let maps: Api<ConfigMap> = city.namespace.api();
    let good = maps.get(INVENTORY).await.unwrap();
    let bad = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INVENTORY},
        "data": {"inventory.yaml": "revisions: 7"},
    });
    city.namespace.apply(&bad.to_string()).await.unwrap();
    let (_, message) = told(&city, "WorkersAvailable", |_| ()).await;
    assert!(message.contains(INVENTORY) && message.contains("inventory.yaml"), "{message}");
    let again = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INVENTORY}, "data": good.data,
    });
    city.namespace.apply(&again.to_string()).await.unwrap();
    city.ready().await;
}

#[tokio::test]
async fn a_name_taken_by_a_foreign_object_is_told_and_left_alone_until_it_is_free() {
    let city = City::start().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "city-alert"}, "data": {"mine": "yes"},
    });
    city.namespace.apply(&foreign.to_string()).await.unwrap();
    let (reason, message) = told(&city, "WorkersAvailable", |_| ()).await;
    assert_eq!(reason, "NameTaken");
    assert!(message.contains("city-alert"), "{message}");
    let maps: Api<ConfigMap> = city.namespace.api();
    let untouched = maps.get("city-alert").await.unwrap();
    assert_eq!(untouched.data.unwrap()["mine"], "yes");
    assert!(untouched.metadata.labels.is_none());
    maps.delete("city-alert", &DeleteParams::default()).await.unwrap();
    city.ready().await;
}
