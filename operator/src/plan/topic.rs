//! A `KafkaTopic` for each stream, beside the Kafka cluster; and how it is let go without its data.
//!
//! Must not: refer to an owner, which stands in another namespace; labels and the finalizer of the pipeline
//! take that place.
//! Invariants: the resource has the name of the topic, which names namespace and pipeline and is valid for both.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use parking_crds::topology::StreamPlan;
use serde_json::{Value, json};

use super::{
    Plan,
    user::{add_strimzi, beside_kafka},
};
use crate::{
    foreign::strimzi::{KafkaTopic, KafkaTopicSpec, MANAGED, condition},
    owned_kinds::OwnedKind,
    validate::{StrimziCluster, ValidKafka, ValidPipeline},
};

/// Component of everything that belongs to the streams.
pub const COMPONENT: &str = "streams";
/// Annotation of a topic that is let go: since when.
pub const RELEASED_AT: &str = "parking.tinyx.io/released-at";
/// How long Strimzi may take to let a topic go before the resource is deleted regardless; the annotation
/// [`MANAGED`] stays on it, so that Strimzi keeps the topic also when it answers later.
pub const RELEASE_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Adds the topics of a pipeline whose Kafka is run by Strimzi.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    if let ValidKafka::Strimzi(cluster) = &pipeline.kafka {
        for stream in &pipeline.topology.streams {
            add_strimzi(plan, OwnedKind::KafkaTopic, cluster, &topic(pipeline, cluster, stream));
        }
    }
}

fn topic(pipeline: &ValidPipeline, cluster: &StrimziCluster, stream: &StreamPlan) -> KafkaTopic {
    KafkaTopic {
        metadata: beside_kafka(&pipeline.id, cluster, COMPONENT, stream.topic.as_str()),
        spec: KafkaTopicSpec {
            topic_name: Some(stream.topic.to_string()),
            partitions: Some(stream.partitions.into()),
            replicas: Some(stream.replication_factor.into()),
            config: stream.config.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect(),
        },
        status: None,
    }
}

/// The next step to remove the resource of a topic and leave the topic with its records in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStep {
    /// Patch the resource with [`release_patch`].
    Annotate,
    /// Strimzi has not said yet that it lets the topic go.
    Wait,
    /// Delete the resource.
    Delete,
}

/// What to do next to remove a topic's resource and leave the topic in Kafka.
pub fn release_step(topic: &KafkaTopic, now: Timestamp) -> ReleaseStep {
    if topic.annotations().get(MANAGED).is_none_or(|managed| managed != "false") {
        return ReleaseStep::Annotate;
    }
    let conditions = topic.status.iter().flat_map(|status| &status.conditions).cloned().collect::<Vec<_>>();
    let unmanaged = condition(&conditions, "Unmanaged").is_some_and(|condition| condition.status == "True");
    let since: Option<Timestamp> = topic.annotations().get(RELEASED_AT).and_then(|text| text.parse().ok());
    match since {
        _ if unmanaged => ReleaseStep::Delete,
        Some(since) if now.duration_since(since) >= RELEASE_PATIENCE => ReleaseStep::Delete,
        Some(_) => ReleaseStep::Wait,
        None => ReleaseStep::Annotate,
    }
}

/// Merge patch that tells Strimzi to let a topic go.
pub fn release_patch(now: Timestamp) -> Value {
    json!({"metadata": {"annotations": {(MANAGED): "false", (RELEASED_AT): now.to_string()}}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{apis::StrimziVersion, labels, plan::sample};

    fn planned(pipeline: &ValidPipeline) -> Plan {
        let mut plan = Plan::default();
        add(&mut plan, pipeline);
        plan
    }

    #[test]
    fn each_stream_becomes_a_topic_beside_its_cluster() {
        let plan = planned(&sample::pipeline(""));
        let names: Vec<&str> = plan.objects.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "parking.city.events",
                "parking.city.sessions",
                "parking.city.alerts",
                "parking.city.dead-letters"
            ]
        );
        insta::assert_yaml_snapshot!(plan.objects[0].manifest);
    }

    #[test]
    fn a_topic_in_another_namespace_has_no_owner_but_our_labels() {
        for object in planned(&sample::pipeline("")).objects {
            assert_eq!(object.namespace, "kafka");
            assert_eq!(object.manifest["metadata"]["ownerReferences"], Value::Null);
            assert_eq!(object.manifest["metadata"]["labels"][labels::PIPELINE_NAMESPACE], "parking");
        }
    }

    #[test]
    fn an_older_strimzi_gets_its_own_version() {
        let mut pipeline = sample::pipeline("");
        sample::strimzi(&mut pipeline).version = StrimziVersion::V1Beta2;
        assert!(
            planned(&pipeline).objects.iter().all(|o| o.manifest["apiVersion"] == "kafka.strimzi.io/v1beta2")
        );
    }

    #[test]
    fn a_kafka_that_somebody_else_runs_gets_no_topic_resources() {
        let mut pipeline = sample::pipeline("");
        pipeline.kafka = sample::external();
        assert!(planned(&pipeline).objects.is_empty());
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn topic_with(annotations: &Value, conditions: &Value) -> KafkaTopic {
        serde_json::from_value(json!({
            "metadata": {"name": "parking.city.events", "annotations": annotations},
            "spec": {"partitions": 1},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_topic_is_let_go_before_its_resource_is_deleted() {
        let released = release_patch(at(0))["metadata"]["annotations"].clone();
        let unmanaged = json!([{"type": "Unmanaged", "status": "True"}]);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let paused = json!([{"type": "ReconciliationPaused", "status": "True"}]);
        for (annotations, conditions, seconds, step) in [
            (json!({}), &ready, 0, ReleaseStep::Annotate),
            (json!({}), &unmanaged, 0, ReleaseStep::Annotate),
            (json!({(MANAGED): "true"}), &ready, 0, ReleaseStep::Annotate),
            (json!({(MANAGED): "false"}), &ready, 0, ReleaseStep::Annotate),
            (json!({(MANAGED): "false"}), &unmanaged, 0, ReleaseStep::Delete),
            (released.clone(), &ready, 59, ReleaseStep::Wait),
            (released.clone(), &unmanaged, 1, ReleaseStep::Delete),
            (released.clone(), &ready, 60, ReleaseStep::Delete),
            (released, &paused, 60, ReleaseStep::Delete),
        ] {
            let topic = topic_with(&annotations, conditions);
            assert_eq!(release_step(&topic, at(seconds)), step, "{annotations} {conditions} {seconds}");
        }
    }
}
