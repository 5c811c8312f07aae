//! A pipeline goes although something that it depends on is gone already, or says what it waits for.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace as Core, PersistentVolumeClaim, Pod, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use parking_e2e::kubernetes::{
    audit::{AuditEvent, Mark},
    strimzi::Mode,
    surroundings::{KAFKA, STORE_KEYS},
    wait::eventually,
};
use serde_json::{Value, json};

use crate::{
    bucket::Bucket,
    city::{City, LIMIT, PIPELINE},
    whole_suite,
};

const POLICIES: [&str; 2] = ["Delete", "Retain"];

/// A city whose pipeline is ready and follows one policy for all its data.
async fn ready_with_policy(policy: &str) -> City {
    let city = City::start().await;
    city.apply(|pipeline| {
        pipeline["spec"]["deletionPolicy"] = json!({"topics": policy, "bucket": policy, "redis": policy});
    })
    .await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    city
}

/// Waits until the pipeline says so while it goes.
async fn says(city: &City, text: &str) {
    let pipelines = city.pipelines();
    eventually(&format!("the pipeline says `{text}`"), LIMIT, async || {
        let found = pipelines.get_opt(PIPELINE).await.map_err(|error| error.to_string())?;
        let conditions = found.ok_or("it is gone")?.status.unwrap_or_default().conditions;
        let told: Vec<&String> = conditions.iter().map(|condition| &condition.message).collect();
        if told.iter().any(|message| message.contains(text)) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

fn beside_kafka(city: &City, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kafka.strimzi.io", "v1", kind));
    Api::namespaced_with(city.namespace.client(), city.namespace.name(), &resource)
}

#[tokio::test]
async fn a_retained_user_keeps_the_credentials_that_strimzi_made() {
    let city = ready_with_policy("Retain").await;
    let users = beside_kafka(&city, "KafkaUser").list(&ListParams::default()).await.unwrap();
    let secrets: Api<Secret> = city.namespace.api();
    let mut before = Vec::new();
    for user in &users.items {
        let secret = secrets.get(user.data["status"]["secret"].as_str().unwrap()).await.unwrap();
        before.push((secret.name_any(), secret.uid(), secret.data));
    }
    assert_eq!(before.len(), 5);
    city.delete().await;
    city.until_gone(PIPELINE).await;
    for (name, uid, data) in before {
        let after = secrets.get(&name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((after.uid(), after.data), (uid, data), "{name}");
    }
}

#[tokio::test]
async fn a_pipeline_goes_although_its_kafka_cluster_is_gone() {
    for policy in POLICIES {
        let city = ready_with_policy(policy).await;
        beside_kafka(&city, "Kafka").delete(KAFKA, &DeleteParams::default()).await.unwrap();
        city.until("TopicsReady", "False").await;
        city.delete().await;
        city.until_gone(PIPELINE).await;
        assert_eq!(city.strimzi.topics().is_empty(), policy == "Delete", "{policy}");
    }
}

#[tokio::test]
async fn a_pipeline_names_the_topics_that_nobody_lets_go_and_until_when_it_waits() {
    for policy in POLICIES {
        let city = ready_with_policy(policy).await;
        city.strimzi.set(Mode::Absent);
        city.delete().await;
        let topic = format!("KafkaTopic {0}/{0}.city.events", city.namespace.name());
        says(&city, &topic).await;
        says(&city, "at the latest until ").await;
        // The workers went first; what comes after the topics waits for them.
        let pods: Api<Pod> = city.namespace.api();
        assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 0);
        assert!(Bucket::of(&city).keys().await.is_some_and(|keys| !keys.is_empty()));

        city.strimzi.set(Mode::Prompt);
        city.until_gone(PIPELINE).await;
        assert_eq!(city.strimzi.topics().is_empty(), policy == "Delete", "{policy}");
    }
}

#[tokio::test]
async fn a_pipeline_goes_although_its_bucket_is_gone() {
    for policy in POLICIES {
        let city = ready_with_policy(policy).await;
        Bucket::of(&city).remove().await;
        city.delete().await;
        city.until_gone(PIPELINE).await;
        assert_eq!(Bucket::of(&city).keys().await, None, "nothing makes the bucket anew");
    }
}

#[tokio::test]
async fn a_bucket_without_its_keys_is_retained_at_once_and_emptied_when_the_keys_come_back() {
    for policy in POLICIES {
        let mut city = ready_with_policy(policy).await;
        let secrets: Api<Secret> = city.namespace.api();
        let keys = secrets.get(STORE_KEYS).await.unwrap();
        // An operator that runs on would still know the keys.
        city.operator.take().unwrap().terminate(Duration::from_secs(10)).unwrap();
        secrets.delete(STORE_KEYS, &DeleteParams::default()).await.unwrap();
        city.delete().await;
        city.start_operator().await;
        if policy == "Delete" {
            says(&city, "Secret ").await;
            says(&city, &format!("/{STORE_KEYS} does not exist")).await;
            let data = keys.data.clone().unwrap();
            let again =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": STORE_KEYS}, "data": data});
            city.namespace.apply(&again.to_string()).await.unwrap();
        }
        city.until_gone(PIPELINE).await;
        let left = Bucket::of(&city).keys().await.unwrap_or_default();
        assert_eq!(left.is_empty(), policy == "Delete", "{policy}: {left:?}");
    }
}

#[tokio::test]
async fn a_pipeline_goes_although_its_redis_does_not_answer() {
    for policy in POLICIES {
        let city = City::start().await;
        city.apply(|pipeline| {
            pipeline["spec"]["redis"] = json!({"managed": {"replicas": 3, "sentinels": 3, "storage": "1Gi"}});
            pipeline["spec"]["deletionPolicy"] = json!({"topics": policy, "bucket": policy, "redis": policy});
        })
        .await;
        city.until("TopicsReady", "True").await;
        city.until("RedisReady", "False").await;
        let claims: Api<PersistentVolumeClaim> = city.namespace.api();
        eventually("the claims of Redis", LIMIT, async || {
            let found = claims.list(&ListParams::default()).await;
            let count = found.map_err(|error| error.to_string())?.items.len();
            if count >= 4 { Ok(()) } else { Err(count.to_string()) }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
        city.delete().await;
        city.until_gone(PIPELINE).await;
        let left = claims.list(&ListParams::default()).await.unwrap().items;
        let left = left.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()).count();
        assert_eq!(left == 0, policy == "Delete", "{policy}: {left} claims");
    }
}

/// What the operator was allowed to make in the namespace after it had begun to go.
fn made_while_going(city: &City, since: Mark) -> Vec<String> {
    let Some(audit) = city.namespace.cluster().audit_log() else { return Vec::new() };
    let events = audit.since(since).unwrap();
    let name = city.namespace.name();
    let deletes = |event: &&AuditEvent| event.verb == "delete" && event.resource() == "namespaces";
    let begun = events.iter().filter(deletes).find(|event| event.name() == name).unwrap().stage_timestamp;
    let made = events.iter().filter(|event| {
        let mine = event.user() == city.identity.user() && event.namespace() == name;
        mine && event.code() == 201 && event.received > begun
    });
    made.map(|event| {
        let late = event.stage_timestamp.duration_since(begun);
        format!("{} {} {} {late} later", event.verb, event.resource_path(), event.name())
    })
    .collect()
}

#[tokio::test]
async fn a_namespace_that_is_deleted_ends_with_its_pipeline_and_nothing_is_made_in_it() {
    for scope in ["cluster", "namespaced"] {
        let city = City::with_operator_elsewhere(scope).await;
        city.apply(|pipeline| {
            pipeline["spec"]["deletionPolicy"] = json!({"topics": "Delete", "bucket": "Delete"});
        })
        .await;
        city.load_rules(0).await;
        city.until("Ready", "True").await;
        city.until("Progressing", "False").await;
        let namespaces = Api::<Core>::all(city.namespace.client());
        whole_suite::deprived(&city.identity);
        let mark = city.namespace.cluster().audit_log().map(|audit| audit.mark().unwrap());
        namespaces.delete(city.namespace.name(), &DeleteParams::background()).await.unwrap();
        eventually(&format!("the namespace is gone, scope {scope}"), 2 * LIMIT, async || {
            match namespaces.get_opt(city.namespace.name()).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(found) => {
                    let status = serde_json::to_value(found.status).unwrap_or(Value::Null);
                    Err(format!("{}", status["conditions"]))
                }
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
        if let Some(mark) = mark {
            assert_eq!(made_while_going(&city, mark), Vec::<String>::new(), "{scope}");
        }
        let operator = city.operator.unwrap();
        let ended = operator.terminate(Duration::from_secs(10)).unwrap();
        assert!(ended.status.success(), "{}", ended.stderr);
    }
}
