//! What is compared: pipelines with their rules and jobs, as files say and as the cluster has them.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, ResourceExt, api::ListParams, core::DynamicObject};
use parking_crds::{
    alert_rule::AlertRule, manifest::Manifest, pipeline::ParkingPipeline, stats_job::StatsJob,
    topology::PipelineId,
};
use serde_json::json;

use crate::{
    architecture::{Finding, orphans},
    offline::Placed,
    plugin::{Failure, Session},
};

/// A pipeline as it would be, with everything that refers to it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The pipeline as it would be.
    pub(super) pipeline: ParkingPipeline,
    /// The pipeline as it is, if there is one.
    pub(super) before: Option<ParkingPipeline>,
    /// Its rules as they would be.
    pub(super) rules: Vec<AlertRule>,
    /// Its jobs as they would be.
    pub(super) jobs: Vec<StatsJob>,
    /// Its jobs as they are.
    pub(super) jobs_before: Vec<StatsJob>,
}

/// What files hold, each object with its namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// Pipelines.
    pub(super) pipelines: Vec<ParkingPipeline>,
    /// Rules.
    pub(super) rules: Vec<AlertRule>,
    /// Statistics jobs.
    pub(super) jobs: Vec<StatsJob>,
    /// `ConfigMap`s.
    pub(super) config_maps: Vec<ConfigMap>,
    /// Secrets, their values as the server keeps them.
    pub(super) secrets: Vec<Secret>,
}

impl Files {
    /// Objects that name no namespace stand in the given one.
    pub(super) fn of(placed: Vec<Placed>, namespace: &str) -> Self {
        fn place<K: ResourceExt>(mut object: K, namespace: &str) -> K {
            object.meta_mut().namespace.get_or_insert_with(|| namespace.to_owned());
            object
        }
        let mut files = Self::default();
        for one in placed {
            match one.document.manifest {
                Manifest::Pipeline(it) => files.pipelines.push(place(*it, namespace)),
                Manifest::Rule(it) => files.rules.push(place(*it, namespace)),
                Manifest::StatsJob(it) => files.jobs.push(place(*it, namespace)),
                Manifest::ConfigMap(it) => files.config_maps.push(place(*it, namespace)),
                Manifest::Secret(it) => files.secrets.push(encoded(place(*it, namespace))),
            }
        }
        files
    }
}

fn encoded(mut secret: Secret) -> Secret {
    let texts = secret.string_data.take().unwrap_or_default();
    let data = secret.data.get_or_insert_default();
    data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    secret
}

/// The pipelines that the files are about; what files do not hold is read from the cluster.
pub(super) async fn of_files(session: &Session, files: &Files) -> Result<Vec<Subject>, Failure> {
    let named = |namespace: Option<String>, name: &str| (namespace.unwrap_or_default(), name.to_owned());
    let mut wanted: BTreeMap<(String, String), Option<ParkingPipeline>> = BTreeMap::new();
    for pipeline in &files.pipelines {
        wanted.insert(named(pipeline.namespace(), &pipeline.name_any()), Some(pipeline.clone()));
    }
    let rules = files.rules.iter().map(|rule| named(rule.namespace(), rule.spec.pipeline_ref.name.as_str()));
    let jobs = files.jobs.iter().map(|job| named(job.namespace(), job.spec.pipeline_ref.name.as_str()));
    let maps = files.config_maps.iter().filter_map(ResourceExt::namespace);
    for key in rules.chain(jobs) {
        wanted.entry(key).or_default();
    }
    if wanted.is_empty() && maps.count() == 0 && files.secrets.is_empty() {
        return Err(Failure::Refused("there is no object in these files".to_owned()));
    }
    let mut subjects = Vec::new();
    for ((namespace, name), file) in wanted {
        let session = Session { namespace: namespace.clone(), ..session.clone() };
        subjects.extend(Box::pin(subject(&session, &name, file, files)).await?);
    }
    let known: Vec<PipelineId> =
        subjects.iter().filter_map(|subject| PipelineId::of(&subject.pipeline).ok()).collect();
    let lost = orphans(&known, &files.rules, &files.jobs);
    if lost.is_empty() {
        return Ok(subjects);
    }
    let lines: Vec<String> = lost.iter().map(Finding::to_string).collect();
    Err(Failure::Refused(format!("{}, nor is it in the cluster", lines.join("\n"))))
}

/// A pipeline as the cluster has it.
pub(super) async fn of_cluster(session: &Session, name: &str) -> Result<Subject, Failure> {
    let pipeline: ParkingPipeline = session.find(name).await?;
    let found = Box::pin(subject(session, name, Some(pipeline), &Files::default())).await?;
    found.ok_or_else(|| Failure::Refused(format!("{name} was deleted just now")))
}

async fn subject(
    session: &Session,
    name: &str,
    file: Option<ParkingPipeline>,
    files: &Files,
) -> Result<Option<Subject>, Failure> {
    let doing = |what: &str| format!("reading {what} in namespace {}", session.namespace);
    let before = session.api::<ParkingPipeline>().get_opt(name).await;
    let before = before.map_err(Failure::request(doing("parkingpipelines")))?;
    let Some(pipeline) = with_spec(before.as_ref(), file) else { return Ok(None) };
    let rules = all(session.api::<AlertRule>()).await.map_err(Failure::request(doing("alertrules")))?;
    let jobs_before = all(session.api::<StatsJob>()).await.map_err(Failure::request(doing("statsjobs")))?;
    let mut rules = merged(rules, &files.rules, &session.namespace, |known, new| known.spec = new.spec);
    rules.retain(|rule| rule.spec.pipeline_ref.name.as_str() == name);
    let jobs = jobs_before.clone();
    let mut jobs = merged(jobs, &files.jobs, &session.namespace, |known, new| known.spec = new.spec);
    jobs.retain(|job| job.spec.pipeline_ref.name.as_str() == name);
    Ok(Some(Subject { pipeline, before, rules, jobs, jobs_before }))
}

async fn all<K>(api: Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    Ok(api.list(&ListParams::default()).await?.items)
}

/// The file's spec on the cluster's object, which keeps its identity, status and annotations of commands.
fn with_spec(before: Option<&ParkingPipeline>, file: Option<ParkingPipeline>) -> Option<ParkingPipeline> {
    match (before, file) {
        (Some(before), Some(file)) => Some(ParkingPipeline { spec: file.spec, ..before.clone() }),
        (None, file) => file,
        (Some(before), None) => Some(before.clone()),
    }
}

fn merged<K: ResourceExt + Clone>(
    cluster: Vec<K>,
    files: &[K],
    namespace: &str,
    take: impl Fn(&mut K, K),
) -> Vec<K> {
    let mut all = cluster;
    for file in files.iter().filter(|file| file.namespace().as_deref() == Some(namespace)) {
        match all.iter_mut().find(|known| known.name_any() == file.name_any()) {
            Some(known) => take(known, file.clone()),
            None => all.push(file.clone()),
        }
    }
    all
}

/// An object of the files as the API server takes it.
pub(super) fn dynamic<K: kube::Resource<DynamicType = ()> + serde::Serialize>(
    object: &K,
) -> Option<DynamicObject> {
    let mut value = serde_json::to_value(object).ok()?;
    let members = value.as_object_mut()?;
    members.insert("apiVersion".to_owned(), json!(K::api_version(&())));
    members.insert("kind".to_owned(), json!(K::kind(&())));
    members.remove("status");
    serde_json::from_value(value).ok()
}
