//! Stands for Strimzi's Topic Operator and User Operator beside one Kafka cluster, with a Kafka of its own in memory.
//!
//! Contract, by the verdicts of Strimzi 1.2 on objects that carry the label `strimzi.io/cluster`:
//! - a topic that can be had is Ready, with its name and `topicId`; it carries the finalizer
//!   `strimzi.io/topic-operator`, and is deleted from Kafka with its object;
//! - fewer partitions, another `topicName` or another replication factor are `NotSupported`;
//! - of two objects for one topic the older wins, the other is a `ResourceConflict`;
//! - `strimzi.io/managed: "false"` gives `Unmanaged` and no `topicId`, and deleting the object keeps the topic;
//! - `strimzi.io/pause-reconciliation: "true"` gives `ReconciliationPaused` and no `topicId`;
//! - a topic that was deleted in Kafka is made again, with another `topicId`;
//! - a user gets a Secret by its authentication, named in `status.secret`; `strimzi.io/force-renew` renews it.
//!
//! Kafka's own configuration errors, quotas and access lists are not judged. Certificates are random text.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON made here: an unknown key reads as null and is made when written"
)]

mod kafka;
mod topics;
mod users;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream::select};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{background::Background, error::Result, namespace::Namespace, wait::eventually};

pub use kafka::{Listener, make_kafka};
pub use topics::Topic;

const GROUP: &str = "kafka.strimzi.io";
/// Marks the objects of a Kafka cluster.
pub const CLUSTER_LABEL: &str = "strimzi.io/cluster";
/// Holds topics until the Topic Operator has seen their deletion.
pub const FINALIZER: &str = "strimzi.io/topic-operator";

/// How the double works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    #[default]
    Prompt,
    /// An object is looked at when it is at least this old.
    Slow(Duration),
    /// Not at all, as an operator that was never deployed: no status, no finalizer.
    Absent,
}

/// Acts until it is dropped; then finalizers stay, as those of an operator that is gone.
pub struct Strimzi {
    shared: Arc<Shared>,
    _work: Background,
}

struct Shared {
    cluster: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    mode: Mode,
    topics: BTreeMap<String, Topic>,
    problems: Vec<String>,
    first_seen: BTreeMap<String, Instant>,
    /// Version of each user with which nothing was left to do, its Secret included.
    settled: BTreeMap<String, String>,
    /// Version of each object, by its uid, onto which something was written: until the watch tells of that, nothing is
    /// written again, or two servers that lag would make each other work for ever.
    written: BTreeMap<String, String>,
}

impl Strimzi {
    /// Begins to act on the topics and users of the Kafka cluster of this name in the namespace.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(namespace: &Namespace, cluster: &str, mode: Mode) -> Result<Self> {
        let state = Mutex::new(State { mode, ..State::default() });
        let shared = Arc::new(Shared { cluster: cluster.to_owned(), state, changed: Notify::new() });
        let (working, name) = (Arc::clone(&shared), namespace.name().to_owned());
        let work = Background::start(namespace.cluster(), "Strimzi double", move |client| async move {
            act(&client, &name, &working).await
        })?;
        Ok(Self { shared, _work: work })
    }

    /// Works differently from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.state().mode = mode;
        self.shared.changed.notify_one();
    }

    /// The topics that Kafka has, by name.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<String, Topic> {
        self.shared.state().topics.clone()
    }

    /// Deletes a topic in Kafka, behind the back of its object.
    pub fn delete_in_kafka(&self, topic: &str) {
        self.shared.state().topics.remove(topic);
        self.shared.changed.notify_one();
    }

    /// What the API server refused, in order; conflicts are tried again and not told.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.shared.state().problems.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_mine(&self, object: &DynamicObject) -> bool {
        let labels = object.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(CLUSTER_LABEL)) == Some(&self.cluster)
    }

    /// How long the object must still wait; `None` when nothing acts on it.
    #[expect(
        clippy::disallowed_methods,
        reason = "outside the system under test the real clock is the only one"
    )]
    fn delay(&self, object: &DynamicObject) -> Option<Duration> {
        let mut state = self.state();
        match state.mode {
            Mode::Prompt => Some(Duration::ZERO),
            Mode::Absent => None,
            Mode::Slow(by) => {
                let uid = object.metadata.uid.clone().unwrap_or_default();
                let seen = state.first_seen.entry(uid).or_insert_with(Instant::now);
                Some(by.saturating_sub(seen.elapsed()))
            }
        }
    }

    /// Whether the object was written since it was seen so.
    fn is_outdated(&self, object: &DynamicObject) -> bool {
        let uid = object.uid().unwrap_or_default();
        self.state()
            .written
            .get(&uid)
            .is_some_and(|version| object.resource_version().as_ref() == Some(version))
    }

    fn wrote(&self, object: &DynamicObject) {
        let (uid, version) =
            (object.uid().unwrap_or_default(), object.resource_version().unwrap_or_default());
        self.state().written.insert(uid, version);
    }

    fn is_settled(&self, user: &DynamicObject) -> bool {
        let version = user.metadata.resource_version.as_ref();
        version.is_some() && self.state().settled.get(&user.name_any()) == version
    }

    fn settle(&self, user: &DynamicObject) {
        let version = user.metadata.resource_version.clone().unwrap_or_default();
        self.state().settled.insert(user.name_any(), version);
    }

    fn note(&self, what: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => {}
            // The object has changed or gone since it was seen: its next event is on the way.
            Err(super::error::Error::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {}
            Err(error) => self.state().problems.push(format!("{what}: {error}")),
        }
    }
}

/// A kind of Strimzi in a version of its API.
fn resource(version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, version, kind))
}

/// The newest version of Strimzi's API that the cluster serves.
async fn served_version(client: &Client) -> Result<String> {
    eventually(&format!("{GROUP} is served"), Duration::from_mins(1), async || {
        let group = discovery::group(client, GROUP).await.map_err(|error| error.to_string())?;
        Ok(group.preferred_version_or_latest().to_owned())
    })
    .await
}

async fn act(client: &Client, namespace: &str, shared: &Shared) -> Result<()> {
    let version = served_version(client).await?;
    let (of_topics, of_users) = (resource(&version, "KafkaTopic"), resource(&version, "KafkaUser"));
    let topics = Api::namespaced_with(client.clone(), namespace, &of_topics);
    let users = Api::namespaced_with(client.clone(), namespace, &of_users);
    let (seen_topics, topic_events) = watched(&topics, of_topics);
    let (seen_users, user_events) = watched(&users, of_users);
    let secret_events = secrets(client, namespace, shared);
    let mut events = std::pin::pin!(select(select(topic_events, user_events), secret_events));
    let mut wait = None;
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() { return Ok(()) },
            () = shared.changed.notified() => {}
            () = pause(wait) => {}
        }
        // What has come meanwhile is seen in the same round: a round looks at every topic.
        while let Some(Some(())) = events.next().now_or_never() {}
        wait = None;
        let all: Vec<Arc<DynamicObject>> = seen_topics.state();
        for object in all.iter().filter(|object| shared.is_mine(object) && !shared.is_outdated(object)) {
            match shared.delay(object) {
                Some(Duration::ZERO) => {
                    let outcome = topics::attend(&topics, object, &all, shared).await;
                    shared.note("topic", outcome);
                }
                later => wait = sooner(wait, later),
            }
        }
        let all = seen_users.state();
        let is_done = |object: &DynamicObject| shared.is_settled(object) || shared.is_outdated(object);
        for object in all.iter().filter(|object| shared.is_mine(object) && !is_done(object)) {
            match shared.delay(object) {
                Some(Duration::ZERO) => {
                    let outcome = users::attend(client, &users, object, shared).await;
                    if outcome.is_ok() {
                        shared.settle(object);
                    }
                    shared.note("user", outcome);
                }
                later => wait = sooner(wait, later),
            }
        }
    }
}

fn watched(
    api: &Api<DynamicObject>,
    kind: ApiResource,
) -> (reflector::Store<DynamicObject>, impl futures::Stream<Item = ()> + use<>) {
    let writer = reflector::store::Writer::new(kind);
    let events = watcher(api.clone(), watcher::Config::default()).default_backoff();
    (writer.as_reader(), events.reflect(writer).map(|_| ()))
}

/// Changes of users' Secrets: each user is looked at again.
fn secrets(client: &Client, namespace: &str, shared: &Shared) -> impl futures::Stream<Item = ()> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    watcher(api, watcher::Config::default().labels("strimzi.io/kind=KafkaUser"))
        .default_backoff()
        .touched_objects()
        .map(|secret| {
            if let Ok(secret) = secret {
                shared.state().settled.remove(&secret.name_any());
            }
        })
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[expect(clippy::disallowed_methods, reason = "a slow double waits by the real clock")]
async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Writes the status when more than times differ.
async fn report(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    mut status: Value,
    shared: &Shared,
) -> Result<()> {
    status["observedGeneration"] = json!(object.metadata.generation);
    let old = object.data.get("status").cloned().unwrap_or_default();
    if timeless(&old) == timeless(&status) {
        return Ok(());
    }
    // A merge keeps what it does not name.
    for (field, _) in old.as_object().into_iter().flatten() {
        if status.get(field).is_none() {
            status[field] = Value::Null;
        }
    }
    let name = object.metadata.name.as_deref().unwrap_or_default();
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({ "status": status }))).await?;
    shared.wrote(object);
    Ok(())
}

fn timeless(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    status
}

#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
fn condition(kind: &str, status: &str, because: Option<(&str, &str)>) -> Value {
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    if let Some((reason, message)) = because {
        condition["reason"] = json!(reason);
        condition["message"] = json!(message);
    }
    condition
}

fn annotated(object: &DynamicObject, annotation: &str, value: &str) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(annotation)).is_some_and(|found| found == value)
}
