//! Verdicts of the Topic Operator.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use rand::Rng as _;
use serde_json::{Value, json};

use super::{FINALIZER, Shared, annotated, condition, report};
use crate::kubernetes::error::Result;

/// A topic in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Changes when the topic is made anew.
    pub id: String,
    /// Number of partitions.
    pub partitions: u64,
    /// Replication factor.
    pub replicas: u64,
    /// Its configuration, as the object gave it last.
    pub config: Value,
}

/// What becomes of one object.
enum Verdict {
    Ready(Topic),
    Refused { reason: &'static str, message: String },
}

pub(super) async fn attend(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    all: &[std::sync::Arc<DynamicObject>],
    shared: &Shared,
) -> Result<()> {
    let topic = topic_name(object);
    let managed = !annotated(object, "strimzi.io/managed", "false");
    if object.metadata.deletion_timestamp.is_some() {
        if managed && older_claim(object, all, shared).is_none() {
            shared.state().topics.remove(&topic);
        }
        return hold(api, object, false, shared).await;
    }
    if annotated(object, "strimzi.io/pause-reconciliation", "true") {
        let paused = condition("ReconciliationPaused", "True", None);
        return report(api, object, json!({"conditions": [paused], "topicName": told_name(object)}), shared)
            .await;
    }
    if !managed {
        hold(api, object, false, shared).await?;
        return report(api, object, json!({"conditions": [condition("Unmanaged", "True", None)]}), shared)
            .await;
    }
    hold(api, object, true, shared).await?;
    match judge(object, &topic, all, shared) {
        Verdict::Ready(known) => {
            let ready = condition("Ready", "True", None);
            report(
                api,
                object,
                json!({"conditions": [ready], "topicName": topic, "topicId": known.id}),
                shared,
            )
            .await
        }
        Verdict::Refused { reason, message } => {
            let refused = condition("Ready", "False", Some((reason, &message)));
            let id = object.data.pointer("/status/topicId").cloned().unwrap_or_default();
            let name = told_name(object);
            report(api, object, json!({"conditions": [refused], "topicName": name, "topicId": id}), shared)
                .await
        }
    }
}

fn judge(
    object: &DynamicObject,
    topic: &str,
    all: &[std::sync::Arc<DynamicObject>],
    shared: &Shared,
) -> Verdict {
    let refused = |reason, message: String| Verdict::Refused { reason, message };
    if told_name(object).as_str().is_some_and(|told| told != topic) {
        return refused("NotSupported", "Changing spec.topicName is not supported".to_owned());
    }
    if let Some(winner) = older_claim(object, all, shared) {
        return refused("ResourceConflict", format!("Managed by {winner}"));
    }
    let wanted = |field: &str| object.data.pointer(&format!("/spec/{field}")).and_then(Value::as_u64);
    let config = object.data.pointer("/spec/config").cloned().unwrap_or_default();
    let mut state = shared.state();
    let known = state.topics.entry(topic.to_owned()).or_insert_with(|| Topic {
        id: format!("{:022x}", rand::rng().random::<u128>() >> 40),
        partitions: wanted("partitions").unwrap_or(1),
        replicas: wanted("replicas").unwrap_or(1),
        config: Value::Null,
    });
    if wanted("partitions").is_some_and(|partitions| partitions < known.partitions) {
        return refused("NotSupported", "Decreasing partitions not supported".to_owned());
    }
    if wanted("replicas").is_some_and(|replicas| replicas != known.replicas) {
        let partitions: Vec<u64> = (0..known.partitions).collect();
        let message =
            format!("Replication factor change not supported, but required for partitions {partitions:?}");
        return refused("NotSupported", message);
    }
    known.partitions = wanted("partitions").unwrap_or(known.partitions);
    known.config = config;
    Verdict::Ready(known.clone())
}

fn topic_name(object: &DynamicObject) -> String {
    let named = object.data.pointer("/spec/topicName").and_then(Value::as_str);
    named.or(object.metadata.name.as_deref()).unwrap_or_default().to_owned()
}

fn told_name(object: &DynamicObject) -> Value {
    object.data.pointer("/status/topicName").cloned().unwrap_or_default()
}

/// The object that has the topic already, as `NAMESPACE/NAME`.
fn older_claim(
    object: &DynamicObject,
    all: &[std::sync::Arc<DynamicObject>],
    shared: &Shared,
) -> Option<String> {
    let topic = topic_name(object);
    // Timestamps are whole seconds: of two in one second, the one that has the topic is the older.
    let age = |object: &DynamicObject| {
        let made = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, object.data.pointer("/status/topicId").is_none(), object.metadata.uid.clone())
    };
    let rivals = all.iter().filter(|other| {
        shared.is_mine(other)
            && other.metadata.uid != object.metadata.uid
            && topic_name(other) == topic
            && !annotated(other, "strimzi.io/managed", "false")
            && age(other) < age(object)
    });
    rivals.min_by_key(|other| age(other)).map(|other| {
        format!("{}/{}", text(other.metadata.namespace.as_ref()), text(other.metadata.name.as_ref()))
    })
}

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

/// Sets or takes away the finalizer.
async fn hold(api: &Api<DynamicObject>, object: &DynamicObject, wanted: bool, shared: &Shared) -> Result<()> {
    let held = object.metadata.finalizers.clone().unwrap_or_default();
    if held.iter().any(|finalizer| finalizer == FINALIZER) == wanted {
        return Ok(());
    }
    let mut finalizers: Vec<String> = held.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    // The version makes a patch of an object that has changed since fail, so that nobody's finalizer is lost.
    let version = &object.metadata.resource_version;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    shared.wrote(object);
    Ok(())
}
