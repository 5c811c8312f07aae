//! The only reads of a pipeline's surroundings: its own objects, what its spec refers to, what it depends on.
//!
//! Must not: decide anything. Secrets are read by name; nothing here asks for the right to list them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream, try_join};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectList, VersionMatch},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use parking_crds::{
    pipeline::{Inventory, Kafka},
    topology::{PipelineId, Topology},
};

use crate::{
    apis::Apis,
    cluster,
    error::{Class, Classify},
    foreign::strimzi,
    labels,
    live::{Live, Observed, is_ours, typed},
    owned_kinds::{OwnedKind, Seen},
    plan::{credentials::own_secrets, secrets_of},
    validate::authority_secret,
    versions::Versions,
};

/// Reads of one pipeline that are under way at once: the API server lets the newest lists wait, and all of them together.
const CONCURRENCY: usize = 20;

/// A read failed.
#[derive(Debug, thiserror::Error)]
#[error("reading {what} failed: {source}")]
pub struct ObserveError {
    what: String,
    source: kube::Error,
}

impl ObserveError {
    /// The request's own error.
    pub const fn request(&self) -> &kube::Error {
        &self.source
    }
}

impl Classify for ObserveError {
    fn class(&self) -> Class {
        self.source.class()
    }
}

/// Which objects with a pipeline's labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// Those that are made for the pipeline itself: the others are its statistics jobs' to keep.
    Own,
    /// All, also those of its statistics jobs.
    All,
}

/// Reads everything that matters for a pipeline. Lists of its own objects may be as old as `oldest` says.
pub async fn observe(
    client: &Client,
    apis: &Apis,
    topology: &Topology,
    kafka: &Kafka,
    inventory: &Inventory,
    children: Children,
    oldest: &Versions,
) -> Result<Observed, ObserveError> {
    let id = &topology.pipeline;
    let kafka_namespace = kafka_namespace(id, kafka);
    let ((live, versions), kafka_cluster, inventory, pods) = try_join!(
        lists(client, apis, id, kafka_namespace, children, oldest),
        async {
            match &kafka.strimzi {
                Some(cluster) if apis.strimzi.is_some() => {
                    kafka_cluster(client, apis, kafka_namespace, cluster.cluster.as_str()).await
                }
                _ => Ok(None),
            }
        },
        inventory_map(client, id, inventory),
        pods(client, id),
    )?;
    let mut observed =
        Observed { live, kafka: kafka_cluster, inventory, pods, versions, ..Observed::default() };
    observed.secret_names = secret_names(topology, kafka, kafka_namespace, &observed.live);
    observed.secrets = secrets(client, &observed.secret_names).await?;
    let copies: Vec<Secret> =
        observed.secrets.values().filter(|secret| carries_owner(secret, id)).cloned().collect();
    for copy in copies {
        if let Ok(object) = serde_json::to_value(&copy).and_then(serde_json::from_value)
            && is_ours(&object)
        {
            observed.live.insert(OwnedKind::Secret, object);
        }
    }
    Ok(observed)
}

fn carries_owner(secret: &Secret, id: &PipelineId) -> bool {
    let label = |key| secret.labels().get(key).map(String::as_str);
    label(labels::PIPELINE) == Some(id.name.as_str())
        && label(labels::PIPELINE_NAMESPACE) == Some(id.namespace.as_str())
}

/// The namespace of the topics and users.
pub fn kafka_namespace<'a>(id: &'a PipelineId, kafka: &'a Kafka) -> &'a str {
    kafka.strimzi.as_ref().and_then(|cluster| cluster.namespace.as_ref()).unwrap_or(&id.namespace).as_str()
}

/// Labels by which a pipeline's objects are found.
pub fn owner_selector(id: &PipelineId) -> String {
    format!("{}={},{}={}", labels::PIPELINE, id.name, labels::PIPELINE_NAMESPACE, id.namespace)
}

/// The objects that carry the pipeline's labels, of all kinds that the cluster serves, as they are now.
pub async fn live(
    client: &Client,
    apis: &Apis,
    id: &PipelineId,
    kafka_namespace: &str,
    children: Children,
) -> Result<Live, ObserveError> {
    lists(client, apis, id, kafka_namespace, children, &Versions::default()).await.map(|(live, _)| live)
}

async fn lists(
    client: &Client,
    apis: &Apis,
    id: &PipelineId,
    kafka_namespace: &str,
    children: Children,
    oldest: &Versions,
) -> Result<(Live, Versions), ObserveError> {
    let selector = match children {
        Children::Own => format!("{},!{}", owner_selector(id), labels::STATS_JOB),
        Children::All => owner_selector(id),
    };
    let kinds = OwnedKind::all().filter(|kind| kind.row().seen == Seen::Watched && apis.serve(*kind));
    let lists: Vec<_> = kinds
        .map(|kind| {
            let namespace = match kind {
                OwnedKind::KafkaTopic | OwnedKind::KafkaUser => kafka_namespace,
                _ => id.namespace.as_str(),
            };
            let params = ListParams {
                version_match: oldest.of(kind).map(|_| VersionMatch::NotOlderThan),
                resource_version: oldest.of(kind),
                ..ListParams::default().labels(&selector)
            };
            list(cluster::objects(client, kind, apis, namespace), kind, params)
        })
        .collect();
    let lists: Vec<(OwnedKind, ObjectList<DynamicObject>)> =
        stream::iter(lists).buffer_unordered(CONCURRENCY).try_collect().await?;
    let (mut live, mut versions) = (Live::default(), Versions::default());
    for (kind, list) in lists {
        versions.note(kind, list.metadata.resource_version.as_deref().unwrap_or_default());
        for object in list.items {
            live.insert(kind, object);
        }
    }
    Ok((live, versions))
}

async fn list(
    objects: Api<DynamicObject>,
    kind: OwnedKind,
    params: ListParams,
) -> Result<(OwnedKind, ObjectList<DynamicObject>), ObserveError> {
    objects.list(&params).await.map(|list| (kind, list)).map_err(|source| ObserveError {
        what: format!("{} with {}", kind.row().plural, params.label_selector.unwrap_or_default()),
        source,
    })
}

async fn kafka_cluster(
    client: &Client,
    apis: &Apis,
    namespace: &str,
    name: &str,
) -> Result<Option<strimzi::Kafka>, ObserveError> {
    let version = apis.strimzi.map_or("v1", crate::apis::StrimziVersion::as_str);
    let kind = GroupVersionKind::gvk(strimzi::GROUP, version, "Kafka");
    let resource = ApiResource::from_gvk_with_plural(&kind, "kafkas");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let found = api
        .get_opt(name)
        .await
        .map_err(|source| ObserveError { what: format!("Kafka {namespace}/{name}"), source })?;
    Ok(found.as_ref().and_then(typed))
}

async fn inventory_map(
    client: &Client,
    id: &PipelineId,
    inventory: &Inventory,
) -> Result<Option<ConfigMap>, ObserveError> {
    let Some(reference) = &inventory.config_map_ref else { return Ok(None) };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), id.namespace.as_str());
    api.get_opt(reference.name.as_str()).await.map_err(|source| ObserveError {
        what: format!("ConfigMap {}/{}", id.namespace, reference.name),
        source,
    })
}

async fn pods(client: &Client, id: &PipelineId) -> Result<Vec<Pod>, ObserveError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), id.namespace.as_str());
    let params = ListParams::default().labels(&format!("{}={}", labels::PIPELINE, id.name));
    let list = api.list(&params).await;
    list.map(|list| list.items)
        .map_err(|source| ObserveError { what: format!("pods of pipeline {id}"), source })
}

/// The operator's own Secrets, their sources beside Kafka, and those that the spec names.
fn secret_names(
    topology: &Topology,
    kafka: &Kafka,
    kafka_namespace: &str,
    live: &Live,
) -> BTreeSet<(String, String)> {
    let id = &topology.pipeline;
    let here = |name: &str| (id.namespace.to_string(), name.to_owned());
    let mut names: BTreeSet<(String, String)> =
        own_secrets(id).iter().map(|name| here(name.as_str())).collect();
    for worker in &topology.workers {
        names.extend(secrets_of(worker).keys().map(|name| here(name.as_str())));
    }
    if let Some(cluster) = &kafka.strimzi {
        let beside = |name: String| (kafka_namespace.to_owned(), name);
        names.insert(beside(authority_secret(cluster)));
        for user in live.of_kind(OwnedKind::KafkaUser) {
            let secret = user.data.pointer("/status/secret").and_then(serde_json::Value::as_str);
            names.extend(secret.map(|secret| beside(secret.to_owned())));
        }
    }
    names
}

async fn secrets(
    client: &Client,
    names: &BTreeSet<(String, String)>,
) -> Result<BTreeMap<(String, String), Secret>, ObserveError> {
    let reads: Vec<_> = names.iter().cloned().map(|name| secret(client.clone(), name)).collect();
    let found: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

type Named<T> = ((String, String), T);

async fn secret(client: Client, name: (String, String)) -> Result<Option<Named<Secret>>, ObserveError> {
    let api: Api<Secret> = Api::namespaced(client, &name.0);
    match api.get_opt(&name.1).await {
        Ok(found) => Ok(found.map(|secret| (name, secret))),
        Err(source) => Err(ObserveError { what: format!("Secret {}/{}", name.0, name.1), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// The query of each list, as the API server reads it.
    async fn asked_for(children: Children, oldest: &Versions) -> BTreeSet<String> {
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let server = {
            let asked = Arc::clone(&asked);
            tower::service_fn(move |request: Request<Body>| {
                let query = request.uri().query().unwrap_or_default();
                let query =
                    query.replace("%2F", "/").replace("%3D", "=").replace("%2C", ",").replace("%21", "!");
                asked.lock().unwrap().insert(query);
                let list = r#"{"apiVersion":"v1","kind":"List","metadata":{},"items":[]}"#;
                std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from(
                    list.as_bytes().to_vec(),
                ))))
            })
        };
        let id = PipelineId { namespace: "parking".parse().unwrap(), name: "city".parse().unwrap() };
        let client = Client::new(server, "default");
        lists(&client, &Apis::default(), &id, "kafka", children, oldest).await.unwrap();
        let asked = asked.lock().unwrap();
        asked.clone()
    }

    #[tokio::test]
    async fn what_belongs_to_statistics_jobs_is_seen_only_when_all_is_asked_for() {
        let owner =
            "labelSelector=parking.tinyx.io/pipeline=city,parking.tinyx.io/pipeline-namespace=parking";
        let all = asked_for(Children::All, &Versions::default()).await;
        assert!(!all.is_empty() && all.iter().all(|query| query.ends_with(owner)), "{all:?}");
        let own = asked_for(Children::Own, &Versions::default()).await;
        let without = format!("{owner},!parking.tinyx.io/stats-job");
        assert!(!own.is_empty() && own.iter().all(|query| query.ends_with(&without)), "{own:?}");
    }

    #[tokio::test]
    async fn a_list_may_be_as_old_as_what_was_seen_and_is_the_newest_otherwise() {
        let mut oldest = Versions::default();
        oldest.note(OwnedKind::Service, "7");
        let asked = asked_for(Children::All, &oldest).await;
        let old = |query: &&String| query.ends_with("&resourceVersion=7&resourceVersionMatch=NotOlderThan");
        let not_old = |query: &&String| !query.contains("resourceVersion");
        assert_eq!(
            (asked.iter().filter(old).count(), asked.iter().filter(not_old).count()),
            (1, 1),
            "{asked:?}"
        );
    }
}
