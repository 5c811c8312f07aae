//! What goes next when a pipeline is deleted: workers, then topics and users, then Redis, then the bucket, then
//! whatever is left.
//!
//! Must not: name a client or read a clock.
//! Invariants: data goes only by policy; nothing of a stage goes before the stages ahead of it are gone or their
//! time is over; whatever the deletion's propagation, the same objects remain in the end.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use parking_crds::{
    pipeline::{DeletionPolicy, Retention},
    role::Role,
    topology::PipelineId,
};

use crate::{
    foreign::strimzi::KafkaTopic,
    labels,
    live::{Key, Live, is_terminating, typed},
    owned_kinds::OwnedKind,
    plan::{
        redis,
        topic::{ReleaseStep, release_step},
    },
};

/// A stage of the removal, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Workers and their autoscalers.
    Workers,
    /// Topics and users.
    Streams,
    /// Redis and its sentinels.
    Redis,
    /// The pipeline's objects in the bucket.
    Bucket,
    /// Configuration, identities and credentials.
    Rest,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Workers, Self::Streams, Self::Redis, Self::Bucket, Self::Rest];

    /// Seconds after the deletion at which the stage is given up.
    pub const fn deadline(self) -> i64 {
        match self {
            Self::Workers => 300,
            Self::Streams => 480,
            Self::Redis => 660,
            Self::Bucket => 2_460,
            Self::Rest => 2_580,
        }
    }
}

/// What is known of a pipeline that is being deleted.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The pipeline.
    pub id: &'a PipelineId,
    /// What happens to data.
    pub policy: &'a DeletionPolicy,
    /// Its objects.
    pub live: &'a Live,
    /// Components of its pods that still exist, one entry a pod.
    pub pods: &'a [String],
    /// Whether the bucket holds nothing of the pipeline any more, or shall keep it.
    pub bucket_done: bool,
    /// When the pipeline was deleted.
    pub deleted: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Objects to delete.
    pub delete: Vec<Key>,
    /// Topics that Strimzi shall forget before their resources go.
    pub forget: Vec<Key>,
    /// Whether the bucket's objects are to be deleted.
    pub purge: bool,
    /// What is being waited for, in words.
    pub waiting: Vec<String>,
    /// When the wait is given up.
    pub until: Option<Timestamp>,
    /// What was given up and stays behind, in words.
    pub left_behind: Vec<String>,
    /// Whether the finalizer may go.
    pub done: bool,
}

/// Decides what goes next.
pub fn next(seen: &Situation<'_>) -> Removal {
    let mut removal = Removal::default();
    let age = seen.now.as_second() - seen.deleted.as_second();
    for stage in Stage::ALL {
        let open = removal.open(stage, seen);
        if open.is_empty() {
            continue;
        }
        if age < stage.deadline() {
            removal.waiting = open;
            removal.until = Timestamp::from_second(seen.deleted.as_second() + stage.deadline()).ok();
            return removal;
        }
        removal.left_behind.extend(open);
        removal.delete.clear();
        removal.forget.clear();
        removal.purge = false;
    }
    removal.done = true;
    removal
}

impl Removal {
    /// Notes what to do for a stage; what of it still exists, in words.
    fn open(&mut self, stage: Stage, seen: &Situation<'_>) -> Vec<String> {
        match stage {
            Stage::Workers => {
                let mut open = self.delete_all(seen, is_worker);
                open.extend(pods(seen, |component| !redis::is_component(component), "workers"));
                open
            }
            Stage::Streams => self.open_streams(seen),
            Stage::Redis => {
                let mut open = self.delete_all(seen, |key, component| {
                    redis::is_component(component) && matches!(key.kind, OwnedKind::StatefulSet)
                });
                open.extend(pods(seen, redis::is_component, "Redis pods"));
                if open.is_empty() && seen.policy.redis() == Retention::Delete {
                    open = self.delete_all(seen, |key, _| key.kind == OwnedKind::PersistentVolumeClaim);
                }
                open
            }
            Stage::Bucket => {
                if seen.bucket_done {
                    return Vec::new();
                }
                self.purge = true;
                vec!["the pipeline's objects in the bucket".to_owned()]
            }
            Stage::Rest => {
                let kept = kept(seen);
                self.delete_all(seen, |key, _| !kept.contains(key))
            }
        }
    }

    fn open_streams(&mut self, seen: &Situation<'_>) -> Vec<String> {
        if seen.policy.topics() == Retention::Delete {
            return self
                .delete_all(seen, |key, _| matches!(key.kind, OwnedKind::KafkaTopic | OwnedKind::KafkaUser));
        }
        let mut open = Vec::new();
        for (key, object) in seen.live.iter().filter(|(key, _)| key.kind == OwnedKind::KafkaTopic) {
            open.push(key.to_string());
            if is_terminating(object) {
                continue;
            }
            match typed::<KafkaTopic>(object).map(|topic| release_step(&topic, seen.now)) {
                Some(ReleaseStep::Annotate) => self.forget.push(key.clone()),
                Some(ReleaseStep::Delete) => self.delete.push(key.clone()),
                Some(ReleaseStep::Wait) | None => {}
            }
        }
        open
    }

    /// Deletes what matches; names what of it still exists.
    fn delete_all(&mut self, seen: &Situation<'_>, matches: impl Fn(&Key, &str) -> bool) -> Vec<String> {
        let mut open = Vec::new();
        for (key, object) in seen.live.iter() {
            let component = object.labels().get(labels::COMPONENT).map_or("", String::as_str);
            if !matches(key, component) {
                continue;
            }
            open.push(key.to_string());
            if !is_terminating(object) {
                self.delete.push(key.clone());
            }
        }
        open
    }
}

fn is_worker(key: &Key, component: &str) -> bool {
    let runs = matches!(
        key.kind,
        OwnedKind::StatefulSet
            | OwnedKind::Deployment
            | OwnedKind::ScaledObject
            | OwnedKind::TriggerAuthentication
            | OwnedKind::HorizontalPodAutoscaler
            | OwnedKind::Job
            | OwnedKind::SparkApplication
    );
    runs && !redis::is_component(component)
}

fn pods(seen: &Situation<'_>, matches: impl Fn(&str) -> bool, what: &str) -> Option<String> {
    let count = seen.pods.iter().filter(|component| matches(component)).count();
    (count > 0).then(|| format!("{count} {what}"))
}

/// What outlives the pipeline: data by policy, and what a retained Redis needs to be read again.
fn kept(seen: &Situation<'_>) -> BTreeSet<Key> {
    let mut kept = BTreeSet::new();
    let retains_users = seen.policy.topics() == Retention::Retain;
    let retains_redis = seen.policy.redis() == Retention::Retain;
    for (key, _) in seen.live.iter() {
        let keep = match key.kind {
            // A topic that is still here was given up by its stage: it stays as it is.
            OwnedKind::KafkaTopic | OwnedKind::PersistentVolumeClaim => true,
            OwnedKind::KafkaUser => retains_users,
            OwnedKind::Secret => retains_redis && key.name == seen.id.redis_secret().as_str(),
            _ => false,
        };
        if keep {
            kept.insert(key.clone());
        }
    }
    kept
}

/// Whether a component is one of a role, for counting workers.
pub fn is_role(component: &str) -> bool {
    Role::ALL.iter().any(|role| role.as_str() == component)
}

#[cfg(test)]
mod tests;
