//! Watches on everything that the operator made or depends on, each of which asks for a look at its owner.
//!
//! Only metadata is watched: what an object says is read when its owner is looked at.
//! Invariant: a kind whose API appears later is watched from then on, and every pipeline is looked at once more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, ResourceExt,
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
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
                for owner in owners(&object) {
                    context.triggers.look(owner);
                }
            }
            std::future::ready(())
        })
        .await;
}

/// Whose child an object is, by its labels.
fn owners(object: &PartialObjectMeta<DynamicObject>) -> Vec<ObjectId> {
    let label = |key| object.labels().get(key).map(String::as_str);
    let Some(namespace) = label(labels::PIPELINE_NAMESPACE) else { return Vec::new() };
    let job = label(labels::STATS_JOB).map(|job| ObjectId::new(ObjectKind::StatsJob, namespace, job));
    let pipeline = label(labels::PIPELINE)
        .filter(|_| job.is_none())
        .map(|pipeline| ObjectId::new(ObjectKind::Pipeline, namespace, pipeline));
    job.into_iter().chain(pipeline).collect()
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
                for user in users_of(&kafka, &context) {
                    context.triggers.look(user);
                }
            }
            std::future::ready(())
        })
        .await;
}

fn users_of(kafka: &PartialObjectMeta<DynamicObject>, context: &Context) -> Vec<ObjectId> {
    let (namespace, name) = (kafka.namespace().unwrap_or_default(), kafka.name_any());
    let pipelines = context.stores.pipelines.state();
    let decoded = pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok());
    decoded
        .filter_map(|pipeline| {
            let cluster = pipeline.spec.kafka.strimzi.as_ref()?;
            let own = pipeline.namespace().unwrap_or_default();
            let there = cluster.namespace.as_ref().map_or(own.as_str(), |namespace| namespace.as_str());
            let uses = there == namespace && cluster.cluster.as_str() == name;
            uses.then(|| ObjectId::new(ObjectKind::Pipeline, &own, &pipeline.name_any()))
        })
        .collect()
}
