//! Reads what belongs to pipelines. What its user may not read is named and left out.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use parking_crds::{
    alert_rule::AlertRule, pipeline::ParkingPipeline, role::Role, stats_job::StatsJob, topology::PipelineId,
    worker_status::WorkerStatus,
};

use super::super::{Failure, Session};
use crate::{
    apis::Apis,
    cluster, discovery, labels,
    live::Live,
    monotonic,
    observe::{kafka_namespace, owner_selector},
    owned_kinds::OwnedKind,
    plan::network::WORKER_PORT,
    poll::workers::{PollFailure, Summary, WorkersSeen},
};

/// Kinds that say how a pipeline stands.
const KINDS: [OwnedKind; 4] =
    [OwnedKind::KafkaTopic, OwnedKind::KafkaUser, OwnedKind::StatefulSet, OwnedKind::Deployment];
/// Workers that are asked at once.
const CONCURRENCY: usize = 8;
/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A pipeline and what belongs to it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The pipeline.
    pub pipeline: ParkingPipeline,
    /// Its rules.
    pub rules: Vec<AlertRule>,
    /// Its statistics jobs.
    pub jobs: Vec<StatsJob>,
    /// Its topics, users and workloads.
    pub live: Live,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Records that a role has not processed yet, as far as its workers answer.
    pub lag: BTreeMap<Role, u64>,
    /// What could not be read, in words.
    pub unreadable: Vec<String>,
}

/// Every pipeline of the namespace, or of all.
pub(super) async fn pipelines(session: &Session, everywhere: bool) -> Result<Vec<ParkingPipeline>, Failure> {
    let api: Api<ParkingPipeline> = if everywhere { Api::all(session.client.clone()) } else { session.api() };
    let listed = api.list(&ListParams::default()).await;
    let mut pipelines = listed.map_err(Failure::request("listing parkingpipelines"))?.items;
    pipelines.sort_by_key(|pipeline| (pipeline.namespace(), pipeline.name_any()));
    Ok(pipelines)
}

/// Everything that belongs to the pipelines.
pub(super) async fn surroundings(
    session: &Session,
    pipelines: Vec<ParkingPipeline>,
) -> Result<Vec<Seen>, Failure> {
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    let apis = discovery::apis(&session.client).await;
    let apis = apis.map_err(Failure::request("asking which APIs the cluster serves"))?;
    let mut all = Vec::new();
    for pipeline in pipelines {
        all.push(surroundings_of(&session.client, &apis, pipeline).await?);
    }
    Ok(all)
}

async fn surroundings_of(client: &Client, apis: &Apis, pipeline: ParkingPipeline) -> Result<Seen, Failure> {
    let id = PipelineId::of(&pipeline).map_err(|error| Failure::Refused(error.to_string()))?;
    let mut reader = Reader { client, unreadable: Vec::new() };
    let namespace = id.namespace.as_str();
    let mut live = Live::default();
    for kind in KINDS.into_iter().filter(|kind| apis.serve(*kind)) {
        let beside = kafka_namespace(&id, &pipeline.spec.kafka);
        let is_stream = matches!(kind, OwnedKind::KafkaTopic | OwnedKind::KafkaUser);
        let api = cluster::objects(client, kind, apis, if is_stream { beside } else { namespace });
        for object in reader.list(kind.row().plural, api, &owner_selector(&id)).await? {
            live.insert(kind, object);
        }
    }
    let rules =
        reader.list("alertrules", Api::<AlertRule>::namespaced(client.clone(), namespace), "").await?;
    let jobs = reader.list("statsjobs", Api::<StatsJob>::namespaced(client.clone(), namespace), "").await?;
    let selector = format!("{}={}", labels::PIPELINE, id.name);
    let pods = reader.list("pods", Api::<Pod>::namespaced(client.clone(), namespace), &selector).await?;
    let lag = reader.lag(namespace, &pods).await;
    let name = id.name.as_str();
    Ok(Seen {
        rules: rules.into_iter().filter(|rule| rule.spec.pipeline_ref.name.as_str() == name).collect(),
        jobs: jobs.into_iter().filter(|job| job.spec.pipeline_ref.name.as_str() == name).collect(),
        pipeline,
        live,
        pods,
        lag,
        unreadable: reader.unreadable,
    })
}

struct Reader<'a> {
    client: &'a Client,
    unreadable: Vec<String>,
}

impl Reader<'_> {
    async fn list<K>(&mut self, what: &str, api: Api<K>, selector: &str) -> Result<Vec<K>, Failure>
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        match api.list(&ListParams::default().labels(selector)).await {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                self.unreadable.push(format!("you may not list {what}: {}", status.message));
                Ok(Vec::new())
            }
            Err(error) => Err(Failure::request(format!("listing {what}"))(error)),
        }
    }

    /// Asks the workers through the API server; one that does not answer counts for nothing.
    async fn lag(&mut self, namespace: &str, pods: &[Pod]) -> BTreeMap<Role, u64> {
        let asked: Vec<_> = pods
            .iter()
            .filter_map(|pod| {
                let component = pod.labels().get(labels::COMPONENT)?;
                let role = Role::ALL.into_iter().find(|role| role.as_str() == component)?;
                (role.owns_partitions() && is_ready(pod)).then(|| (role, pod.name_any()))
            })
            .map(|(role, pod)| ask(self.client.clone(), namespace.to_owned(), role, pod))
            .collect();
        let mut seen = WorkersSeen::default();
        let mut refused = None;
        let mut answers = stream::iter(asked).buffer_unordered(CONCURRENCY);
        while let Some((role, pod, answer)) = answers.next().await {
            if let Some(Err(kube::Error::Api(status))) = &answer
                && status.code == 403
            {
                refused = Some(format!("you may not ask workers for their lag: {}", status.message));
            }
            let answer = answer.map_or(Err(PollFailure::TimedOut), |it| it.map_err(|_| PollFailure::Refused));
            seen.roles.entry(role).or_default().push((pod, answer));
        }
        self.unreadable.extend(refused);
        Summary::of(&seen).lag_by_role()
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What a worker answers in time.
async fn ask(
    client: Client,
    namespace: String,
    role: Role,
    pod: String,
) -> (Role, String, Option<Result<WorkerStatus, kube::Error>>) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{WORKER_PORT}/proxy/status");
    let answer = match http::Request::get(path).body(Vec::new()) {
        Ok(request) => monotonic::within(PATIENCE, client.request::<WorkerStatus>(request)).await,
        Err(error) => Some(Err(kube::Error::HttpError(error))),
    };
    (role, pod, answer)
}
