//! The workers' own `/status`, asked through the pipeline's `EndpointSlices`, those not ready included.
//!
//! Must not: contact anything but pods; follow a redirect; use a proxy; read more than `LONGEST_ANSWER` bytes.
//! Invariants: a pipeline's round ends within `ROUND`; at most `CONCURRENCY` pods are asked at once in all; an answer
//! that is not understood is a failure, and never a zero; a round in which more pods are silent than before is repeated
//! before it counts.

mod summary;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream, stream::FuturesUnordered};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, api::ListParams};
use parking_crds::{role::Role, topology::PipelineId, worker_status::WorkerStatus};
use rand::Rng;
use reqwest::redirect;
use tokio::sync::{Notify, Semaphore, mpsc};

pub use self::summary::{PartitionSeen, PodAnswer, RuleSeen, Summary, WorkersSeen};
use crate::{
    labels,
    metrics::Metrics,
    monotonic::{self, Instant},
    object::{ObjectId, ObjectKind},
};

/// The workers' port for `/status`.
pub const PORT: u16 = 8080;
/// How long a round may take.
const ROUND: Duration = Duration::from_secs(5);
/// How long a pod may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause before a round is repeated that lost answers.
const DOUBT: Duration = Duration::from_secs(2);
/// Pods asked at once, over all pipelines.
const CONCURRENCY: usize = 32;
/// Pods asked at once for one pipeline.
const PIPELINE_CONCURRENCY: usize = 8;
/// Rounds under way at once.
const ROUNDS: usize = 8;
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Why a pod's status is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollFailure {
    /// No answer within its time.
    #[error("the worker did not answer in time")]
    TimedOut,
    /// No connection.
    #[error("the worker cannot be reached: check the NetworkPolicy that lets the operator read /status")]
    Refused,
    /// Another code than 200.
    #[error("the worker answered {0}")]
    Code(u16),
    /// Too many bytes, or not the status of a worker of this pipeline and role.
    #[error("the worker's answer is not a status that this operator understands")]
    Garbled,
    /// The `EndpointSlices` cannot be listed.
    #[error("the EndpointSlices of the pipeline cannot be listed")]
    NotListed,
}

impl PollFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timeout",
            Self::Refused => "refused",
            Self::Code(_) => "code",
            Self::Garbled => "garbled",
            Self::NotListed => "not_listed",
        }
    }
}

/// What was seen of one pipeline last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRound {
    /// Why some pods are not listed at all, if so.
    pub incomplete: Option<PollFailure>,
    /// The answers put together.
    pub summary: Summary,
}

impl LastRound {
    /// Whether pods fell silent since then that answered, or came and say nothing.
    fn lost_answers_since(&self, before: Option<&Self>) -> bool {
        let listed = |round: Option<&Self>| round.is_none_or(|round| round.incomplete.is_none());
        let silent = |round: Option<&Self>| round.map_or(0, |round| round.summary.silent());
        (listed(before) && !listed(Some(self))) || silent(Some(self)) > silent(before)
    }
}

/// What is known of one pipeline's workers.
#[derive(Default)]
struct Known {
    last: Option<Arc<LastRound>>,
    /// Whether the newest round lost answers and is being repeated.
    doubted: bool,
}

#[derive(Default)]
struct Rounds {
    of: BTreeMap<PipelineId, Known>,
    queue: BTreeSet<(Instant, PipelineId)>,
}

impl Rounds {
    fn take_due(&mut self, now: Instant) -> Option<PipelineId> {
        if self.queue.first()?.0 > now {
            return None;
        }
        let (_, pipeline) = self.queue.pop_first()?;
        self.of.contains_key(&pipeline).then_some(pipeline)
    }
}

/// Asks the workers of every registered pipeline. Clones share what was seen.
#[derive(Clone)]
pub struct WorkerPolls {
    rounds: Arc<Mutex<Rounds>>,
    registered: Arc<Notify>,
    turns: Arc<Semaphore>,
    pause: Duration,
    http: reqwest::Client,
    metrics: Metrics,
}

impl WorkerPolls {
    /// No pipelines; `pause` lies between two rounds of one.
    pub fn new(pause: Duration, metrics: Metrics) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(ANSWER)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self {
            rounds: Arc::default(),
            registered: Arc::default(),
            turns: Arc::new(Semaphore::new(CONCURRENCY)),
            pause,
            http,
            metrics,
        })
    }

    /// Begins to ask the pipeline's workers; nothing changes where that was begun before.
    pub fn register(&self, pipeline: &PipelineId) {
        let mut rounds = self.rounds();
        if !rounds.of.contains_key(pipeline) {
            rounds.of.insert(pipeline.clone(), Known::default());
            rounds.queue.insert((monotonic::now(), pipeline.clone()));
            self.registered.notify_one();
        }
    }

    /// The pipeline is gone, or its workers are.
    pub fn forget(&self, pipeline: &PipelineId) {
        let mut rounds = self.rounds();
        rounds.of.remove(pipeline);
        rounds.queue.retain(|(_, queued)| queued != pipeline);
    }

    /// What the newest round of the pipeline that counts brought, if there was one.
    pub fn last(&self, pipeline: &PipelineId) -> Option<Arc<LastRound>> {
        self.rounds().of.get(pipeline)?.last.clone()
    }

    fn rounds(&self) -> std::sync::MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for ever, and sends the pipelines and rules whose workers say something new. Ends when nobody receives
    /// any more.
    pub async fn run(self, client: Client, objects: mpsc::UnboundedSender<ObjectId>) {
        let mut asked = FuturesUnordered::new();
        while !objects.is_closed() {
            while asked.len() < ROUNDS
                && let Some(pipeline) = self.rounds().take_due(monotonic::now())
            {
                asked.push(self.round(client.clone(), pipeline));
            }
            let next = self.rounds().queue.first().map(|(due, _)| *due).filter(|_| asked.len() < ROUNDS);
            tokio::select! {
                Some((pipeline, seen)) = asked.next() => {
                    for object in self.note(&pipeline, &seen) {
                        // A closed channel ends the loop.
                        let _ = objects.send(object);
                    }
                }
                () = async {
                    match next {
                        Some(due) => monotonic::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.registered.notified() => {}
                () = objects.closed() => {}
            }
        }
    }

    /// Notes a round; returns what it concerns.
    fn note(&self, pipeline: &PipelineId, seen: &WorkersSeen) -> Vec<ObjectId> {
        let new = Arc::new(LastRound { incomplete: seen.incomplete, summary: Summary::of(seen) });
        let mut rounds = self.rounds();
        let Some(known) = rounds.of.get_mut(pipeline) else { return Vec::new() };
        known.doubted = !known.doubted && new.lost_answers_since(known.last.as_deref());
        let doubted = known.doubted;
        let before = if doubted { None } else { known.last.replace(Arc::clone(&new)) };
        if !rounds.queue.iter().any(|(_, queued)| queued == pipeline) {
            let pause = if doubted { DOUBT.min(self.pause) } else { self.pause };
            let jitter = rand::rng().random_range(0.9..1.1);
            rounds.queue.insert((monotonic::now() + pause.mul_f64(jitter), pipeline.clone()));
        }
        drop(rounds);
        if doubted { Vec::new() } else { concerned(pipeline, before.as_deref(), &new) }
    }

    async fn round(&self, client: Client, pipeline: PipelineId) -> (PipelineId, WorkersSeen) {
        let end = monotonic::now() + ROUND;
        let Some(Ok(pods)) = monotonic::before(end, pods(client, &pipeline)).await else {
            self.metrics.polled("worker", PollFailure::NotListed.as_str());
            let incomplete = Some(PollFailure::NotListed);
            return (pipeline, WorkersSeen { roles: BTreeMap::new(), incomplete });
        };
        let mut answers = stream::iter(pods)
            .map(|pod| async {
                let answer = match monotonic::before(end, self.ask(&pipeline, &pod)).await {
                    Some(answer) => answer,
                    None => Err(PollFailure::TimedOut),
                };
                (pod, answer)
            })
            .buffer_unordered(PIPELINE_CONCURRENCY);
        let mut seen = WorkersSeen::default();
        while let Some((pod, answer)) = answers.next().await {
            self.metrics.polled("worker", answer.as_ref().err().map_or("answered", |error| error.as_str()));
            seen.roles.entry(pod.role).or_default().push((pod.name, answer));
        }
        drop(answers);
        for pods in seen.roles.values_mut() {
            pods.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
        (pipeline, seen)
    }

    async fn ask(&self, pipeline: &PipelineId, pod: &Pod) -> PodAnswer {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.map_err(|_| PollFailure::TimedOut)?;
        let url = format!("http://{}/status", SocketAddr::new(pod.address, PORT));
        let mut response = self.http.get(url).send().await.map_err(|error| failure(&error))?;
        if response.status() != http::StatusCode::OK {
            return Err(PollFailure::Code(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(PollFailure::Garbled);
            }
            body.extend_from_slice(&chunk);
        }
        understand(&body, pipeline, pod.role)
    }
}

fn failure(error: &reqwest::Error) -> PollFailure {
    if error.is_timeout() { PollFailure::TimedOut } else { PollFailure::Refused }
}

fn understand(body: &[u8], pipeline: &PipelineId, role: Role) -> PodAnswer {
    serde_json::from_slice::<WorkerStatus>(body)
        .ok()
        .filter(|status| status.pipeline == *pipeline && status.role == role)
        .ok_or(PollFailure::Garbled)
}

/// The pipeline and those of its rules whose state differs.
fn concerned(pipeline: &PipelineId, before: Option<&LastRound>, new: &LastRound) -> Vec<ObjectId> {
    let namespace = pipeline.namespace.as_str();
    let unknown = Summary::default();
    let known = before.map_or(&unknown, |before| &before.summary);
    let mut objects: Vec<ObjectId> = known
        .changed_rules(&new.summary)
        .into_iter()
        .map(|rule| ObjectId::new(ObjectKind::AlertRule, namespace, rule.as_str()))
        .collect();
    let same = before
        .is_some_and(|before| before.incomplete == new.incomplete && before.summary.looks_like(&new.summary));
    if !same {
        objects.push(ObjectId::new(ObjectKind::Pipeline, namespace, pipeline.name.as_str()));
    }
    objects
}

/// A worker's pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pod {
    role: Role,
    name: String,
    address: IpAddr,
}

async fn pods(client: Client, pipeline: &PipelineId) -> Result<Vec<Pod>, kube::Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client, pipeline.namespace.as_str());
    let of = format!("{}={}", labels::PIPELINE, pipeline.name);
    let slices = api.list(&ListParams::default().labels(&of).match_any()).await?;
    Ok(workers(&slices.items))
}

/// The worker pods that `EndpointSlices` name: each once, and none that is not a pod or has no address of its own.
fn workers(slices: &[EndpointSlice]) -> Vec<Pod> {
    let mut pods = BTreeMap::new();
    for slice in slices {
        let component = slice.metadata.labels.as_ref().and_then(|labels| labels.get(labels::COMPONENT));
        let Some(role) =
            Role::ALL.into_iter().find(|role| component.is_some_and(|name| name == role.as_str()))
        else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let name = pod.and_then(|pod| pod.name.clone());
            let address = endpoint.addresses.iter().find_map(|address| pod_address(address));
            if let (Some(name), Some(address)) = (name, address) {
                pods.entry((role, name)).or_insert(address);
            }
        }
    }
    pods.into_iter().map(|((role, name), address)| Pod { role, name, address }).collect()
}

/// The address, if it can be a pod's.
fn pod_address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok()?.to_canonical();
    let odd = ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
    (!odd).then_some(ip)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn city() -> PipelineId {
        serde_json::from_value(json!({"namespace": "parking", "name": "city"})).unwrap()
    }

    fn slice(component: &str, endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "addressType": "IPv4",
            "metadata": {"labels": {"app.kubernetes.io/component": component}},
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn endpoint(address: &str, kind: &str, name: &str) -> serde_json::Value {
        json!({"addresses": [address], "conditions": {"ready": false}, "targetRef": {"kind": kind, "name": name}})
    }

    #[test]
    fn only_pods_of_workers_with_an_address_of_their_own_are_asked() {
        let slices = [
            slice(
                "alert",
                &json!([
                    endpoint("10.0.0.1", "Pod", "a-0"),
                    endpoint("127.0.0.1", "Pod", "a-1"),
                    endpoint("169.254.169.254", "Pod", "a-2"),
                    endpoint("::ffff:127.0.0.1", "Pod", "a-3"),
                    endpoint("10.0.0.2", "Node", "n"),
                    {"addresses": ["10.0.0.3"]},
                ]),
            ),
            slice("alert", &json!([endpoint("10.0.0.1", "Pod", "a-0")])),
            slice("redis", &json!([endpoint("10.0.0.9", "Pod", "r-0")])),
        ];
        let found = workers(&slices);
        assert_eq!(found.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["a-0"]);
    }

    #[test]
    fn a_status_of_another_pipeline_or_role_is_not_understood() {
        let status = |name: &str, role: &str| {
            json!({"pipeline": {"namespace": "parking", "name": name}, "role": role, "version": "1", "phase": "Running"})
                .to_string()
        };
        assert!(understand(status("city", "alert").as_bytes(), &city(), Role::Alert).is_ok());
        for body in [status("town", "alert"), status("city", "archive"), "<html>".to_owned()] {
            assert_eq!(understand(body.as_bytes(), &city(), Role::Alert), Err(PollFailure::Garbled));
        }
    }

    fn pipeline() -> ObjectId {
        ObjectId::new(ObjectKind::Pipeline, "parking", "city")
    }

    fn answer() -> PodAnswer {
        let status = json!({
            "pipeline": {"namespace": "parking", "name": "city"}, "role": "alert", "version": "1",
            "phase": "Running",
        });
        understand(status.to_string().as_bytes(), &city(), Role::Alert)
    }

    fn round_of<const N: usize>(answers: [PodAnswer; N]) -> WorkersSeen {
        let pods = answers.into_iter().enumerate().map(|(n, answer)| (format!("a-{n}"), answer)).collect();
        WorkersSeen { roles: [(Role::Alert, pods)].into(), incomplete: None }
    }

    #[tokio::test]
    async fn a_worker_that_falls_silent_is_asked_again_before_that_counts() {
        let polls = WorkerPolls::new(Duration::from_secs(15), Metrics::new().unwrap()).unwrap();
        polls.register(&city());
        let silent = || Err(PollFailure::TimedOut);
        let (whole, half) = (round_of([answer(), answer()]), round_of([answer(), silent()]));
        let last = || polls.last(&city()).unwrap().summary.clone();
        assert_eq!(polls.note(&city(), &whole), [pipeline()]);
        assert_eq!(polls.note(&city(), &half), [], "once may be chance");
        assert_eq!(last(), Summary::of(&whole));
        assert_eq!(polls.note(&city(), &whole), []);
        assert_eq!(polls.note(&city(), &half), []);
        assert_eq!(polls.note(&city(), &half), [pipeline()]);
        assert_eq!(last(), Summary::of(&half));
        assert_eq!(polls.note(&city(), &half), [], "it is no news, and no doubt, that it stays silent");
        assert_eq!(polls.note(&city(), &round_of([answer()])), [pipeline()], "its pod is gone");
    }

    #[tokio::test]
    async fn pods_that_cannot_be_listed_once_are_listed_again_before_that_counts() {
        let polls = WorkerPolls::new(Duration::from_secs(15), Metrics::new().unwrap()).unwrap();
        polls.register(&city());
        let unlisted = WorkersSeen { roles: BTreeMap::new(), incomplete: Some(PollFailure::NotListed) };
        assert_eq!(polls.note(&city(), &unlisted), []);
        assert_eq!(polls.last(&city()), None);
        assert_eq!(polls.note(&city(), &unlisted), [pipeline()]);
    }

    #[tokio::test]
    async fn a_round_that_shows_nothing_new_concerns_nobody() {
        let polls = WorkerPolls::new(Duration::from_secs(15), Metrics::new().unwrap()).unwrap();
        polls.register(&city());
        let seen = round_of([answer()]);
        assert_eq!(polls.note(&city(), &seen), [pipeline()]);
        assert_eq!(polls.note(&city(), &seen), []);
        assert_eq!(polls.last(&city()).unwrap().summary, Summary::of(&seen));
        polls.forget(&city());
        assert_eq!(polls.note(&city(), &seen), []);
    }

    #[tokio::test]
    async fn a_pipeline_that_went_and_came_back_is_asked_no_more_often() {
        let polls = WorkerPolls::new(Duration::from_secs(15), Metrics::new().unwrap()).unwrap();
        polls.register(&city());
        polls.forget(&city());
        polls.register(&city());
        assert_eq!(polls.rounds().queue.len(), 1);
        // A round that was under way meanwhile.
        polls.note(&city(), &WorkersSeen::default());
        assert_eq!(polls.rounds().queue.len(), 1);
    }
}
