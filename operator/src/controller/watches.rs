//! Watches on everything that the operator made or depends on, each of which asks for a look at its owner.
//!
//! Only metadata is watched: what an object says is read when its owner is looked at.
//! Invariant: a kind whose API appears later is watched from then on, and every pipeline is looked at once more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, ResourceExt,
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use parking_crds::{pipeline::ParkingPipelineSpec, topology::PipelineId};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use crate::{
    apis::{Apis, StrimziVersion},
    cluster, discovery,
    foreign::strimzi,
    labels, monotonic,
    object::{ObjectId, ObjectKind},
    observe::kafka_namespace,
    owned_kinds::{OwnedKind, Seen},
};

use super::Context;

/// Pause between two looks at what the cluster serves.
const DISCOVERY: Duration = Duration::from_secs(20);

/// Keeps asking what the cluster serves, and tells when that changes.
pub async fn discover(context: Arc<Context>, apis: watch::Sender<Arc<Apis>>) {
    loop {
        monotonic::sleep(DISCOVERY).await;
        match discovery::apis(&context.client).await {
            Ok(found) => {
                report_missing(&found, &context);
                apis.send_if_modified(|known| {
                    let changed = **known != found;
                    if changed {
                        *known = Arc::new(found);
                    }
                    changed
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the cluster's APIs could not be listed; the last list stands");
            }
        }
    }
}

/// Counts the optional APIs that are missing.
pub fn report_missing(apis: &Apis, context: &Context) {
    let groups: BTreeSet<&str> =
        OwnedKind::all().filter(|kind| kind.row().optional).map(|kind| kind.row().group).collect();
    for group in groups {
        let served = apis.optional.iter().any(|kind| kind.row().group == group);
        context.metrics.api_missing(group, !served);
    }
}

/// Watches every kind that is served, and begins anew when that changes.
#[expect(clippy::disallowed_methods, reason = "each watch is a task of its own")]
pub async fn run(context: Arc<Context>) {
    let mut apis = context.apis.clone();
    let mut running: Option<(JoinSet<()>, AbortHandle)> = None;
    loop {
        let served = Arc::clone(&apis.borrow_and_update());
        let again = running.is_some();
        drop(running.take());
        let mut watches = JoinSet::new();
        let first = watches.spawn(std::future::pending());
        for kind in OwnedKind::all().filter(|kind| kind.row().seen == Seen::Watched && served.serve(*kind)) {
            for namespace in namespaces(&context, kind) {
                watches.spawn(children(Arc::clone(&context), Arc::clone(&served), kind, namespace));
            }
        }
        if let Some(version) = served.strimzi {
            for namespace in namespaces(&context, OwnedKind::KafkaTopic) {
                watches.spawn(clusters(Arc::clone(&context), version, namespace));
            }
        }
        if again {
            look_at_all(&context);
        }
        running = Some((watches, first));
        if apis.changed().await.is_err() {
            return;
        }
    }
}

/// Asks for a look at every pipeline and job.
fn look_at_all(context: &Context) {
    for pipeline in context.stores.pipelines.state() {
        let namespace = pipeline.namespace().unwrap_or_default();
        context.triggers.look(ObjectId::new(ObjectKind::Pipeline, &namespace, &pipeline.name_any()));
    }
    for job in context.stores.jobs.state() {
        let namespace = job.namespace().unwrap_or_default();
        context.triggers.look(ObjectId::new(ObjectKind::StatsJob, &namespace, &job.name_any()));
    }
}

/// Where objects of a kind stand; one entry of none means everywhere.
fn namespaces(context: &Context, kind: OwnedKind) -> Vec<Option<String>> {
    if context.settings.namespaces.is_empty() {
        return vec![None];
    }
    let mut namespaces: BTreeSet<String> =
        context.settings.namespaces.iter().map(ToString::to_string).collect();
    if matches!(kind, OwnedKind::KafkaTopic | OwnedKind::KafkaUser) {
        namespaces.extend(context.settings.kafka_namespaces.keys().map(ToString::to_string));
    }
    namespaces.into_iter().map(Some).collect()
}

fn metadata_of(
    context: &Context,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Api<PartialObjectMeta<DynamicObject>> {
    match namespace {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, resource),
        None => Api::all_with(context.client.clone(), resource),
    }
}

async fn children(context: Arc<Context>, apis: Arc<Apis>, kind: OwnedKind, namespace: Option<String>) {
    let api = metadata_of(&context, &cluster::resource(kind, &apis), namespace.as_deref());
    let selector = format!("{}={}", labels::MANAGED_BY, labels::MANAGER);
    watcher(api, watcher::Config::default().labels(&selector))
        .default_backoff()
        .touched_objects()
        .inspect_err(|error| {
            tracing::debug!(kind = kind.row().name, %error, "a watch broke off; it begins anew");
        })
        .for_each(|object| {
            if let Ok(object) = object {
                context.hear(kind, object.resource_version().as_deref().unwrap_or_default());
                for owner in owners(&object, &context) {
                    context.triggers.look(owner);
                }
            }
            std::future::ready(())
        })
        .await;
}

/// Whose child an object is. Where an edit took away what says so, everybody's who may have made it.
fn owners(object: &PartialObjectMeta<DynamicObject>, context: &Context) -> BTreeSet<ObjectId> {
    let mut owners: BTreeSet<ObjectId> = labelled(object).into_iter().chain(referenced(object)).collect();
    if owners.is_empty() {
        let namespace = object.namespace().unwrap_or_default();
        owners.extend(pipelines(context, |id, spec| {
            id.namespace.as_str() == namespace || kafka_namespace(id, &spec.kafka) == namespace
        }));
    }
    owners
}

fn labelled(object: &PartialObjectMeta<DynamicObject>) -> Option<ObjectId> {
    let label = |key| object.labels().get(key).map(String::as_str);
    let namespace = label(labels::PIPELINE_NAMESPACE)?;
    let job = label(labels::STATS_JOB).map(|job| (ObjectKind::StatsJob, job));
    let (kind, name) = job.or_else(|| Some((ObjectKind::Pipeline, label(labels::PIPELINE)?)))?;
    Some(ObjectId::new(kind, namespace, name))
}

fn referenced(object: &PartialObjectMeta<DynamicObject>) -> Vec<ObjectId> {
    let namespace = object.namespace().unwrap_or_default();
    let ours = |reference: &OwnerReference| reference.api_version.split('/').next() == Some(labels::GROUP);
    let kind = |reference: &OwnerReference| {
        ObjectKind::ALL.into_iter().find(|kind| kind.as_str() == reference.kind.as_str())
    };
    let references = object.owner_references().iter().filter(|reference| ours(reference));
    references
        .filter_map(|reference| Some(ObjectId::new(kind(reference)?, &namespace, &reference.name)))
        .collect()
}

/// The pipelines of which something holds.
fn pipelines(context: &Context, holds: impl Fn(&PipelineId, &ParkingPipelineSpec) -> bool) -> Vec<ObjectId> {
    let all = context.stores.pipelines.state();
    let decoded = all.iter().filter_map(|pipeline| pipeline.0.as_ref().ok());
    let named = decoded.filter_map(|pipeline| Some((PipelineId::of(pipeline).ok()?, &pipeline.spec)));
    named
        .filter(|(id, spec)| holds(id, spec))
        .map(|(id, _)| ObjectId::new(ObjectKind::Pipeline, id.namespace.as_str(), id.name.as_str()))
        .collect()
}

/// A `Kafka` resource that changes matters to every pipeline that names it.
async fn clusters(context: Arc<Context>, version: StrimziVersion, namespace: Option<String>) {
    let kind = GroupVersionKind::gvk(strimzi::GROUP, version.as_str(), "Kafka");
    let resource = ApiResource::from_gvk_with_plural(&kind, "kafkas");
    let api = metadata_of(&context, &resource, namespace.as_deref());
    watcher(api, watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .for_each(|object| {
            if let Ok(kafka) = object {
                let (namespace, name) = (kafka.namespace().unwrap_or_default(), kafka.name_any());
                let uses = |id: &PipelineId, spec: &ParkingPipelineSpec| {
                    let cluster = spec.kafka.strimzi.as_ref();
                    cluster.is_some_and(|cluster| cluster.cluster.as_str() == name)
                        && kafka_namespace(id, &spec.kafka) == namespace
                };
                for user in pipelines(&context, uses) {
                    context.triggers.look(user);
                }
            }
            std::future::ready(())
        })
        .await;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(labels: &Value, references: &Value) -> PartialObjectMeta<DynamicObject> {
        serde_json::from_value(json!({
            "metadata": {"name": "one", "namespace": "york", "labels": labels, "ownerReferences": references},
        }))
        .unwrap()
    }

    #[test]
    fn labels_name_the_job_before_the_pipeline_and_nobody_where_one_is_missing() {
        let none = json!([]);
        let of = |labels: &Value| labelled(&object(labels, &none)).map(|owner| owner.to_string());
        let (pipeline, namespace, job) = (labels::PIPELINE, labels::PIPELINE_NAMESPACE, labels::STATS_JOB);
        assert_eq!(
            of(&json!({pipeline: "city", namespace: "york"})).as_deref(),
            Some("ParkingPipeline york/city")
        );
        assert_eq!(
            of(&json!({pipeline: "city", namespace: "york", job: "hourly"})).as_deref(),
            Some("StatsJob york/hourly")
        );
        assert_eq!(of(&json!({pipeline: "city"})), None);
        assert_eq!(of(&json!({namespace: "york"})), None);
    }

    #[test]
    fn references_to_our_kinds_name_owners_and_others_do_not() {
        let reference = |group: &str, kind: &str| json!({"apiVersion": format!("{group}/v1"), "kind": kind, "name": "city", "uid": "1"});
        let references = json!([
            reference(labels::GROUP, "ParkingPipeline"),
            reference("apps", "ParkingPipeline"),
            reference(labels::GROUP, "Unknown"),
        ]);
        let owners = referenced(&object(&json!({}), &references));
        assert_eq!(owners, [ObjectId::new(ObjectKind::Pipeline, "york", "city")]);
    }
}
