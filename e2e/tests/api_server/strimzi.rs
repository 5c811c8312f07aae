//! The double of Strimzi's operators keeps its contract.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use parking_e2e::kubernetes::{
    cluster::Cluster,
    namespace::Namespace,
    strimzi::{FINALIZER, Listener, Mode, Strimzi, make_kafka},
    wait::eventually,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// A topic's condition `Ready` with reason, or the type of its only condition.
fn verdict(object: &DynamicObject) -> String {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let told: Vec<String> = conditions
        .iter()
        .map(|one| {
            format!("{}={} {}", text(one, "type"), text(one, "status"), text(one, "reason")).trim().to_owned()
        })
        .collect();
    told.join(", ")
}

fn strimzi(namespace: &Namespace, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kafka.strimzi.io", "v1", kind));
    Api::namespaced_with(namespace.client(), namespace.name(), &resource)
}

async fn judged(api: &Api<DynamicObject>, name: &str, wanted: &str) -> DynamicObject {
    eventually(&format!("{name}: {wanted}"), LIMIT, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
        if current && verdict(&object) == wanted {
            Ok(object)
        } else {
            Err(format!("{:?}", object.data["status"]))
        }
    })
    .await
    .unwrap()
}

fn topic(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic, metadata: {{name: {name}, labels: {{strimzi.io/cluster: events}}}}, spec: {spec}}}"
    )
}

async fn annotate(api: &Api<DynamicObject>, name: &str, annotation: &str, value: Value) {
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn topics_get_the_verdicts_of_the_topic_operator() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let double = Strimzi::start(&namespace, "events", Mode::Prompt).unwrap();
    let topics = strimzi(&namespace, "KafkaTopic");
    namespace.apply(&topic("one", "{topicName: a, partitions: 3, replicas: 1}")).await.unwrap();
    let first = judged(&topics, "one", "Ready=True").await;
    assert_eq!(first.finalizers(), [FINALIZER]);
    let id = first.data["status"]["topicId"].clone();
    assert_eq!(json!(double.topics()["a"].id), id);

    for (spec, refused) in [
        ("{topicName: a, partitions: 2, replicas: 1}", "Ready=False NotSupported"),
        ("{topicName: a, partitions: 3, replicas: 2}", "Ready=False NotSupported"),
        ("{topicName: b, partitions: 3, replicas: 1}", "Ready=False NotSupported"),
        ("{topicName: a, partitions: 4, replicas: 1}", "Ready=True"),
    ] {
        namespace.apply(&topic("one", spec)).await.unwrap();
        judged(&topics, "one", refused).await;
    }
    namespace.apply(&topic("two", "{topicName: a, partitions: 4, replicas: 1}")).await.unwrap();
    judged(&topics, "two", "Ready=False ResourceConflict").await;
    topics.delete("two", &DeleteParams::default()).await.unwrap();

    annotate(&topics, "one", "strimzi.io/pause-reconciliation", json!("true")).await;
    assert!(
        judged(&topics, "one", "ReconciliationPaused=True").await.data["status"].get("topicId").is_none()
    );
    annotate(&topics, "one", "strimzi.io/pause-reconciliation", Value::Null).await;
    judged(&topics, "one", "Ready=True").await;

    double.delete_in_kafka("a");
    eventually("another topicId", LIMIT, async || {
        let now = topics.get("one").await.unwrap().data["status"]["topicId"].clone();
        if now == id { Err(now.to_string()) } else { Ok(()) }
    })
    .await
    .unwrap();

    annotate(&topics, "one", "strimzi.io/managed", json!("false")).await;
    assert!(judged(&topics, "one", "Unmanaged=True").await.data["status"].get("topicId").is_none());
    topics.delete("one", &DeleteParams::default()).await.unwrap();
    eventually("the object is gone", LIMIT, async || match topics.get_opt("one").await.unwrap() {
        None => Ok(()),
        Some(left) => Err(format!("{left:?}")),
    })
    .await
    .unwrap();
    assert!(double.topics().contains_key("a"), "an unmanaged topic stays in Kafka");
    assert_eq!(double.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_topic_operator_that_is_gone_leaves_its_finalizer_and_one_that_is_absent_says_nothing() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let double = Strimzi::start(&namespace, "events", Mode::Slow(Duration::from_millis(300))).unwrap();
    let topics = strimzi(&namespace, "KafkaTopic");
    let made = namespace.apply(&topic("one", "{partitions: 1, replicas: 1}")).await.unwrap();
    assert_eq!(verdict(&made[0]), "");
    judged(&topics, "one", "Ready=True").await;
    double.set(Mode::Absent);
    namespace.apply(&topic("two", "{partitions: 1, replicas: 1}")).await.unwrap();
    topics.delete("one", &DeleteParams::default()).await.unwrap();
    let left = topics.get("one").await.unwrap();
    assert_eq!(
        (left.finalizers(), left.metadata.deletion_timestamp.is_some()),
        (&[FINALIZER.to_owned()][..], true)
    );
    assert_eq!(topics.get("two").await.unwrap().data.get("status"), None);
    double.set(Mode::Prompt);
    judged(&topics, "two", "Ready=True").await;
    topics.delete("two", &DeleteParams::default()).await.unwrap();
    eventually("both are gone from Kafka", LIMIT, async || {
        let left = double.topics();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn users_get_a_secret_by_their_authentication_and_another_one_on_demand() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let _double = Strimzi::start(&namespace, "events", Mode::Prompt).unwrap();
    let listener = Listener { name: "tls", port: 9093, tls: true, authentication: Some("tls") };
    make_kafka(&namespace, "events", &[listener], Some("simple")).await.unwrap();
    let kafka = strimzi(&namespace, "Kafka").get("events").await.unwrap();
    assert!(kafka.data["status"]["listeners"][0]["bootstrapServers"].as_str().unwrap().ends_with(":9093"));

    let users = strimzi(&namespace, "KafkaUser");
    let secrets = namespace.api::<Secret>();
    for (name, kind, username, keys) in [
        ("one", "tls", "CN=one", vec!["ca.crt", "user.crt", "user.key"]),
        ("two", "scram-sha-512", "two", vec!["password", "sasl.jaas.config"]),
    ] {
        let user = format!(
            "{{apiVersion: kafka.strimzi.io/v1, kind: KafkaUser, metadata: {{name: {name}, labels: {{strimzi.io/cluster: events}}}}, spec: {{authentication: {{type: {kind}}}}}}}"
        );
        namespace.apply(&user).await.unwrap();
        let ready = judged(&users, name, "Ready=True").await;
        assert_eq!(
            (&ready.data["status"]["username"], &ready.data["status"]["secret"]),
            (&json!(username), &json!(name))
        );
        let data = secrets.get(name).await.unwrap().data.unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), keys);
        annotate(&users, name, "strimzi.io/force-renew", json!("true")).await;
        eventually("renewed credentials", LIMIT, async || {
            let renewed = secrets.get(name).await.unwrap().data.unwrap() != data;
            if renewed { Ok(()) } else { Err("the same".to_owned()) }
        })
        .await
        .unwrap();
    }
}
