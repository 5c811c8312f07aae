//! Stands for the kubelet, the scheduler and the volume provisioner, in one namespace.
//!
//! Contract: pods that the real controllers make are bound to the node `e2e`, get an address, and are reported
//! Running and Ready; pods of Jobs end; pods that are being deleted go; claims are bound. An image whose tag is
//! `bad` cannot be pulled. A pod of a worker answers `/status` through a [`WorkerDouble`] when a test wants it; the
//! pods of a managed Redis are run for real, and are ready when their probes say so (`machine`).
//!
//! Must not: make a pod, run a container of any other pod, or write a spec. Probes of other pods are not run: a test
//! says what is ready.

mod claims;
mod container;
mod machine;
mod report;
mod volumes;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _, stream::select};
use k8s_openapi::api::core::v1::{
    Binding, ConfigMap, Node, ObjectReference, PersistentVolumeClaim, Pod, Secret,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    background::Background,
    error::{Error, Result},
    namespace::Namespace,
    worker::{Behaviour, PORT, WorkerDouble},
};
use container::Standing;
use machine::Machine;
use volumes::{MountError, Sources};

/// Pause after which everything is looked at again, though nothing has told of a change.
const SYNC: Duration = Duration::from_secs(1);
/// The only node.
pub const NODE: &str = "e2e";

/// How a pod of a Job ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    #[default]
    Succeeds,
    /// Exit code 1.
    Fails,
    /// The exit code of a run that refuses what it was told.
    Refuses,
    /// It runs on.
    Never,
}

/// What a worker double of a pod answers; `None` for a pod that is no worker.
pub type WorkerOf = dyn Fn(&Pod) -> Option<Behaviour> + Send;

/// What happens to pods and claims.
pub struct Rules {
    /// Whether pods are bound to the node.
    pub schedules: bool,
    /// Whether claims are bound.
    pub binds_claims: bool,
    /// How pods of Jobs end.
    pub jobs: Outcome,
    /// Pods that run but are not ready.
    pub unready: Box<dyn Fn(&Pod) -> bool + Send>,
    /// Which pods answer `/status`, and how at first.
    pub workers: Box<WorkerOf>,
    /// Pods of a managed Redis whose node is lost: their containers are killed and do not start.
    pub lost: Box<dyn Fn(&Pod) -> bool + Send>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            schedules: true,
            binds_claims: true,
            jobs: Outcome::default(),
            unready: Box::new(|_| false),
            workers: Box::new(|_| None),
            lost: Box::new(|_| false),
        }
    }
}

/// Acts until it is dropped.
pub struct Kubelet {
    shared: Arc<Shared>,
    _work: Background,
}

struct Shared {
    state: Mutex<State>,
    machine: Machine,
    changed: Arc<Notify>,
}

struct State {
    rules: Rules,
    /// By uid, so that a pod of the same name gets another address.
    addresses: BTreeMap<String, IpAddr>,
    /// By pod name.
    workers: BTreeMap<String, WorkerDouble>,
    /// Restarts by uid.
    restarts: BTreeMap<String, i32>,
    /// Version by uid onto which something was written: until the watch tells of that, nothing is written again.
    written: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Kubelet {
    /// Begins to act in the namespace.
    ///
    /// # Errors
    /// When the cluster has a kubelet of its own, or the node cannot be made.
    pub async fn start(namespace: &Namespace, rules: Rules) -> Result<Self> {
        let plane = namespace.cluster().plane().ok_or_else(|| {
            Error::Unavailable("the cluster of KUBECONFIG has kubelets of its own".to_owned())
        })?;
        report::node(&namespace.client(), plane.address()).await?;
        claims::storage_class(&namespace.client()).await?;
        let state = State {
            rules,
            addresses: BTreeMap::new(),
            workers: BTreeMap::new(),
            restarts: BTreeMap::new(),
            written: BTreeMap::new(),
            problems: Vec::new(),
        };
        let changed = Arc::new(Notify::new());
        let machine = Machine::new(Arc::clone(&changed))?;
        let shared = Arc::new(Shared { state: Mutex::new(state), machine, changed });
        let (working, name) = (Arc::clone(&shared), namespace.name().to_owned());
        let node = plane.address().to_owned();
        let work = Background::start(namespace.cluster(), "kubelet double", move |client| async move {
            act(&client, &name, &node, &working).await
        })?;
        Ok(Self { shared, _work: work })
    }

    /// Changes the rules, and judges every pod anew.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.shared.state().rules);
        self.shared.changed.notify_one();
    }

    /// The containers of the pod start anew, as after a crash.
    pub fn restart(&self, pod: &Pod) {
        *self.shared.state().restarts.entry(uid(pod)).or_default() += 1;
        self.shared.changed.notify_one();
    }

    /// The double of a worker, by the name of its pod; `None` before the pod runs.
    pub fn worker<T>(&self, pod: &str, look: impl FnOnce(&WorkerDouble) -> T) -> Option<T> {
        self.shared.state().workers.get(pod).map(look)
    }

    /// The pods that answer `/status`.
    #[must_use]
    pub fn workers(&self) -> Vec<String> {
        self.shared.state().workers.keys().cloned().collect()
    }

    /// Kills the processes of a pod of a managed Redis, which start anew; false where none run.
    #[must_use]
    pub fn crash(&self, pod: &str) -> bool {
        self.shared.machine.crash(pod)
    }

    /// What the API server refused, in order; conflicts are tried again and not told.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.shared.state().problems.clone()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint!("{}", self.shared.machine.logs());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pod's address, the same for its whole life and for no other pod of this process.
    fn address(&self, pod: &Pod) -> IpAddr {
        static LAST: AtomicU16 = AtomicU16::new(0x0100);
        let next = || {
            let [high, low] = (LAST.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(10, 244, high, low))
        };
        *self.state().addresses.entry(uid(pod)).or_insert_with(next)
    }

    /// Whether the pod was written since it was seen so.
    fn is_outdated(&self, pod: &Pod) -> bool {
        self.state()
            .written
            .get(&uid(pod))
            .is_some_and(|version| pod.resource_version().as_ref() == Some(version))
    }

    fn wrote(&self, pod: &Pod) {
        self.state().written.insert(uid(pod), pod.resource_version().unwrap_or_default());
    }

    fn note(&self, what: &str, outcome: std::result::Result<(), kube::Error>) {
        match outcome {
            Ok(()) => {}
            // The object has changed or gone since it was seen: its next event is on the way.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => self.state().problems.push(format!("{what}: {error}")),
        }
    }
}

fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a kubelet looks again by itself at what was refused")]
async fn act(client: &Client, namespace: &str, node: &str, shared: &Shared) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let (seen_pods, pod_events) = watched(pods.clone());
    let (claims, claim_events) = watched(Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace));
    let (config_maps, map_events) = watched(Api::<ConfigMap>::namespaced(client.clone(), namespace));
    let (secrets, secret_events) = watched(Api::<Secret>::namespaced(client.clone(), namespace));
    let sources = Sources { config_maps, secrets, claims };
    let files = select(map_events, secret_events);
    let mut events = std::pin::pin!(select(select(pod_events, claim_events), files));
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() { return Ok(()) },
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(SYNC) => {}
        }
        // What has come meanwhile is seen in the same round: a round looks at every pod.
        while let Some(Some(())) = events.next().now_or_never() {}
        let present: Vec<Arc<Pod>> = seen_pods.state();
        forget(&present, shared);
        let real = present.iter().filter(|pod| machine::is_real(pod) && is_bound(pod));
        shared.machine.name(real.map(|pod| (&**pod, shared.address(pod))))?;
        for pod in present.into_iter().filter(|pod| !shared.is_outdated(pod)) {
            let outcome = attend(&pods, &pod, node, &sources, shared).await;
            shared.note(&format!("pod {}", pod.name_any()), outcome);
        }
        if shared.state().rules.binds_claims {
            for claim in sources.claims.state() {
                shared.note(&format!("claim {}", claim.name_any()), claims::bind(client, &claim).await);
            }
        }
    }
}

/// What exists of a kind, and a sign each time that something of it changes.
fn watched<K>(api: Api<K>) -> (reflector::Store<K>, impl Stream<Item = ()>)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (seen, writer) = reflector::store();
    let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
    (seen, events.map(|_| ()))
}

/// Ends the doubles and the containers of pods that are gone.
fn forget(present: &[Arc<Pod>], shared: &Shared) {
    shared.machine.keep_only(|uid| {
        let pod = present.iter().find(|pod| pod.metadata.uid.as_deref() == Some(uid));
        pod.is_some_and(|pod| !(shared.state().rules.lost)(pod))
    });
    let gone = |name: &String| !present.iter().any(|pod| pod.name_any() == *name && !is_leaving(pod));
    let mut state = shared.state();
    let names: Vec<String> = state.workers.keys().filter(|name| gone(name)).cloned().collect();
    let ended: Vec<WorkerDouble> = names.iter().filter_map(|name| state.workers.remove(name)).collect();
    drop(state);
    drop(ended);
}

fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

async fn attend(
    pods: &Api<Pod>,
    pod: &Pod,
    node: &str,
    sources: &Sources,
    shared: &Shared,
) -> std::result::Result<(), kube::Error> {
    let name = pod.name_any();
    if is_leaving(pod) {
        if !shared.machine.end(pod) {
            return Ok(());
        }
        let uid = pod.uid();
        let gone_now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        return pods.delete(&name, &gone_now).await.map(|_| ());
    }
    if !is_bound(pod) {
        let schedules = shared.state().rules.schedules;
        return if schedules { bind(pods, pod).await.inspect(|()| shared.wrote(pod)) } else { Ok(()) };
    }
    let address = shared.address(pod);
    let standing = machine::is_real(pod).then(|| run(pod, address, sources, shared));
    let wanted = {
        let state = shared.state();
        let restarts = standing.map_or_else(
            || state.restarts.get(&uid(pod)).copied().unwrap_or_default(),
            |standing| standing.restarts,
        );
        report::status(pod, &state.rules, standing.map(|standing| standing.ready), node, address, restarts)
    };
    serve(pod, address, shared);
    match wanted {
        Some(status) => {
            let patch = Patch::Merge(json!({ "status": status }));
            pods.patch_status(&name, &PatchParams::default(), &patch).await.map(|_| shared.wrote(pod))
        }
        None => Ok(()),
    }
}

fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// Runs the pod's container unless its image or its node is missing; how it stands.
fn run(pod: &Pod, address: IpAddr, sources: &Sources, shared: &Shared) -> Standing {
    if (shared.state().rules.lost)(pod) || !report::has_image(pod) {
        return Standing::default();
    }
    match shared.machine.run(pod, address, sources) {
        Ok(standing) => standing,
        // What is missing tells when it comes.
        Err(MountError::Missing(_)) => Standing::default(),
        Err(error) => {
            shared.state().problems.push(format!("pod {}: {error}", pod.name_any()));
            Standing::default()
        }
    }
}

async fn bind(pods: &Api<Pod>, pod: &Pod) -> std::result::Result<(), kube::Error> {
    let target = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(NODE.to_owned()),
        ..ObjectReference::default()
    };
    let metadata =
        kube::api::ObjectMeta { name: pod.metadata.name.clone(), ..kube::api::ObjectMeta::default() };
    let binding = Binding { metadata, target };
    let how = PostParams::default();
    let answer: std::result::Result<serde_json::Value, _> =
        pods.create_subresource("binding", &pod.name_any(), &how, &binding).await;
    answer.map(|_| ())
}

/// Starts the double of a worker once.
fn serve(pod: &Pod, address: IpAddr, shared: &Shared) {
    let name = pod.name_any();
    let mut state = shared.state();
    let listens = state.workers.get(&name).is_some_and(|worker| worker.address().ip() == address);
    let Some(behaviour) = (!listens).then(|| (state.rules.workers)(pod)).flatten() else {
        return;
    };
    match WorkerDouble::start(address, PORT, behaviour) {
        Ok(worker) => drop(state.workers.insert(name, worker)),
        Err(error) => state.problems.push(format!("worker double of {name}: {error}")),
    }
}

/// The node, as others read it.
pub async fn node(client: &Client) -> Result<Node> {
    Ok(Api::<Node>::all(client.clone()).get(NODE).await?)
}
