//! `release`: lets go of an object whose deletion waits for an operator that is gone.
//!
//! Must not: delete anything. Invariant: only the operator's finalizer is removed, and only from the object that was
//! listed, as it was listed.

use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::{DynamicObject, NamespaceResourceScope},
};
use parking_crds::{
    alert_rule::AlertRule,
    pipeline::{ParkingPipeline, Retention},
    stats_job::StatsJob,
    topology::PipelineId,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Answer, Failure, MANAGER, Session, cli::ReleaseArguments};
use crate::{
    cluster, discovery, labels,
    live::{Key, Live},
    object::ObjectKind,
    observe::{self, Children, kafka_namespace},
    owned_kinds::{OwnedKind, Seen},
};

/// Lists what stays behind and, when told to, removes the finalizer.
pub async fn run(session: &Session, arguments: &ReleaseArguments) -> Result<Answer, Failure> {
    let name = arguments.target.name.as_str();
    match arguments.target.kind {
        ObjectKind::Pipeline => {
            let pipeline: ParkingPipeline = session.find(name).await?;
            let children = children(session, &pipeline).await?;
            let mut text = left_behind(&children, pipeline.uid().as_deref().unwrap_or_default());
            text.push_str(&data(&pipeline));
            release(session, &pipeline, text, arguments.yes).await
        }
        ObjectKind::AlertRule => {
            let rule: AlertRule = session.find(name).await?;
            release(session, &rule, "A rule has no objects of its own.\n".to_owned(), arguments.yes).await
        }
        ObjectKind::StatsJob => {
            let job: StatsJob = session.find(name).await?;
            let children = runs(session, name).await?;
            let text = left_behind(&children, job.uid().as_deref().unwrap_or_default());
            release(session, &job, text, arguments.yes).await
        }
    }
}

/// What carries the pipeline's labels, here and beside Kafka.
async fn children(session: &Session, pipeline: &ParkingPipeline) -> Result<Live, Failure> {
    let what =
        format!("listing the objects of ParkingPipeline {}/{}", session.namespace, pipeline.name_any());
    let id = PipelineId::of(pipeline).map_err(|error| Failure::Refused(error.to_string()))?;
    let apis = discovery::apis(&session.client).await.map_err(Failure::request(what.clone()))?;
    let beside = kafka_namespace(&id, &pipeline.spec.kafka);
    observe::live(&session.client, &apis, &id, beside, Children::All).await.map_err(Failure::observe(what))
}

async fn runs(session: &Session, job: &str) -> Result<Live, Failure> {
    let doing = || format!("listing the runs of StatsJob {}/{job}", session.namespace);
    let apis = discovery::apis(&session.client).await.map_err(Failure::request(doing()))?;
    let params = ListParams::default().labels(&format!("{}={job}", labels::STATS_JOB));
    let mut live = Live::default();
    for kind in OwnedKind::all().filter(|kind| kind.row().seen == Seen::Watched && apis.serve(*kind)) {
        let api: Api<DynamicObject> = cluster::objects(&session.client, kind, &apis, &session.namespace);
        for object in api.list(&params).await.map_err(Failure::request(doing()))? {
            live.insert(kind, object);
        }
    }
    Ok(live)
}

/// What stays, and what the garbage collector takes with the owner.
fn left_behind(children: &Live, owner: &str) -> String {
    let (collected, stay): (Vec<_>, Vec<_>) = children
        .iter()
        .partition(|(_, object)| object.owner_references().iter().any(|reference| reference.uid == owner));
    let list = |objects: Vec<(&Key, &DynamicObject)>| -> String {
        objects.iter().flat_map(|(key, _)| ["  ".to_owned(), key.to_string(), "\n".to_owned()]).collect()
    };
    let mut text = match stay.len() {
        0 => "Nothing stays behind.\n".to_owned(),
        count => format!("{count} objects stay behind; delete by hand what is not wanted any more:\n"),
    };
    text.push_str(&list(stay));
    if !collected.is_empty() {
        text.push_str("Deleted with it by the cluster itself:\n");
        text.push_str(&list(collected));
    }
    text
}

/// What no list of objects shows.
fn data(pipeline: &ParkingPipeline) -> String {
    let store = &pipeline.spec.object_store;
    let policy = pipeline.spec.deletion_policy.clone().unwrap_or_default();
    let wish = match policy.bucket() {
        Retention::Retain => "as its deletionPolicy says",
        Retention::Delete => "although its deletionPolicy says Delete, as only the operator deletes them",
    };
    let prefix = PipelineId::of(pipeline).map(|id| id.lake_prefix().to_string()).unwrap_or_default();
    format!(
        "The objects below {prefix} of the bucket {} stay, {wish}, and so do Secrets with the label {}={}.\n",
        store.bucket,
        labels::PIPELINE,
        pipeline.name_any()
    )
}

async fn release<K>(session: &Session, object: &K, mut text: String, yes: bool) -> Result<Answer, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let name = object.name_any();
    let which = format!("{} {}/{name}", K::kind(&()), session.namespace);
    let Some(patch) = patch(object) else {
        return Ok(Answer::fine(format!("{which} is held by no finalizer of the operator: nothing to do\n")));
    };
    if object.meta().deletion_timestamp.is_none() {
        return Err(Failure::Refused(format!(
            "{which} is not being deleted, so nothing holds it back: delete it first with `kubectl delete {} {name}`",
            K::plural(&())
        )));
    }
    if !yes {
        text.push_str(
            "\nNothing was done yet: add --yes to release it. Do so only where no operator runs any more.\n",
        );
        return Ok(Answer { code: 1, ..Answer::fine(text) });
    }
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patched = session.api::<K>().patch(&name, &params, &Patch::Json::<()>(patch)).await;
    match patched {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => return Err(Failure::request(format!("releasing {which}"))(error)),
    }
    text.extend(["\n", &which, " is released.\n"]);
    Ok(Answer::fine(text))
}

/// Removes our finalizer, provided that the object and the finalizer's place are those that were read.
fn patch<K: Resource>(object: &K) -> Option<json_patch::Patch> {
    let place = object.finalizers().iter().position(|finalizer| finalizer == labels::FINALIZER)?;
    let path = format!("/metadata/finalizers/{place}");
    serde_json::from_value(json!([
        {"op": "test", "path": "/metadata/uid", "value": object.uid()},
        {"op": "test", "path": path, "value": labels::FINALIZER},
        {"op": "remove", "path": path},
    ]))
    .ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::Value;

    use super::*;

    fn object(kind: &str, name: &str, owner: Option<&str>) -> DynamicObject {
        let owners: Vec<Value> = owner
            .map(|uid| json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid}))
            .into_iter()
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "parking", "ownerReferences": owners},
        }))
        .unwrap()
    }

    #[test]
    fn what_the_cluster_collects_is_told_apart_from_what_stays() {
        let mut live = Live::default();
        live.insert(OwnedKind::ConfigMap, object("ConfigMap", "city-ingest", Some("u")));
        live.insert(OwnedKind::ServiceAccount, object("ServiceAccount", "city-ingest", None));
        live.insert(OwnedKind::KafkaTopic, object("KafkaTopic", "parking.city.events", Some("other")));
        insta::assert_snapshot!(left_behind(&live, "u"), @r"
        2 objects stay behind; delete by hand what is not wanted any more:
          ServiceAccount parking/city-ingest
          KafkaTopic parking/parking.city.events
        Deleted with it by the cluster itself:
          ConfigMap parking/city-ingest
        ");
        assert_eq!(left_behind(&Live::default(), "u"), "Nothing stays behind.\n");
    }

    #[test]
    fn only_the_operators_finalizer_of_the_object_that_was_read_is_removed() {
        let mut map = ConfigMap::default();
        assert!(patch(&map).is_none());
        map.metadata.uid = Some("u".to_owned());
        map.metadata.finalizers = Some(vec!["other".to_owned(), labels::FINALIZER.to_owned()]);
        assert_eq!(
            serde_json::to_value(patch(&map)).unwrap(),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/metadata/finalizers/1", "value": "parking.tinyx.io/cleanup"},
                {"op": "remove", "path": "/metadata/finalizers/1"},
            ])
        );
    }
}
