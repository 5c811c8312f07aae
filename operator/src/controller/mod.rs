//! The loops that keep the three kinds as their specs say, and what they share.
//!
//! Invariants: one object's failure delays no other; what cannot be decoded is reported and left alone; whoever
//! waits is looked at again without being told, a rule when its pipeline is.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    core::object::HasStatus,
    runtime::{
        Controller, WatchStreamExt,
        controller::{self, Action},
        reflector::{Store, store},
        watcher,
    },
};
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, Reason},
    pipeline::ParkingPipeline,
    stats_job::StatsJob,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    apply::ApplyError,
    error::{Class, Classify},
    gate::GateError,
    monotonic,
    object::{ObjectId, ObjectKind},
    observe::ObserveError,
    status::Transition,
};

pub mod alert_rule;
mod bucket;
mod context;
mod deletion;
mod echoes;
mod events;
mod guarded;
mod listed;
mod looks;
mod news;
pub mod pipeline;
mod redis;
pub mod relations;
pub mod stats_job;
mod verdicts;
pub mod watches;
mod writes;

use news::News;

pub use context::{Context, Stores, Triggers};
pub use echoes::Echoes;
pub use events::Events;
pub use guarded::Guarded;
pub use listed::Listed;
pub use looks::Looks;
pub use writes::WriteError;

/// Pause between two tries of a watch that failed is the client's; a reconcile that panicked is tried again after.
const AFTER_FAULT: Duration = Duration::from_mins(10);

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Something could not be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// An object could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Status, finalizer or event could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Classify for StepError {
    fn class(&self) -> Class {
        match self {
            Self::Observe(error) => error.class(),
            Self::Apply(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

impl StepError {
    const fn request(&self) -> &kube::Error {
        match self {
            Self::Observe(error) => error.request(),
            Self::Apply(error) => error.request(),
            Self::Write(error) => error.request(),
        }
    }

    fn hint(&self) -> Option<Duration> {
        GateError::of(self.request()).and_then(GateError::retry_after)
    }

    /// Whether a right is missing.
    fn is_forbidden(&self) -> bool {
        matches!(self.request(), kube::Error::Api(status) if status.code == 403)
    }
}

/// A kind of ours.
pub trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: PartialEq + Serialize + Sync>
    + Clone
    + DeserializeOwned
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Which one.
    const KIND: ObjectKind;

    /// The conditions of its status.
    fn conditions(status: &Self::Status) -> &[Condition];
}

impl Ours for ParkingPipeline {
    const KIND: ObjectKind = ObjectKind::Pipeline;

    fn conditions(status: &Self::Status) -> &[Condition] {
        &status.conditions
    }
}

impl Ours for AlertRule {
    const KIND: ObjectKind = ObjectKind::AlertRule;

    fn conditions(status: &Self::Status) -> &[Condition] {
        &status.conditions
    }
}

impl Ours for StatsJob {
    const KIND: ObjectKind = ObjectKind::StatsJob;

    fn conditions(status: &Self::Status) -> &[Condition] {
        &status.conditions
    }
}

/// When an object is looked at again, unless something happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the usual pause.
    Resync,
    /// When somebody asks: the look at its pipeline does.
    WhenAsked,
    /// After a time.
    After(Duration),
    /// After the pause that fits what is wrong.
    Problem(Class),
}

/// A watched kind: its store, and the controller that feeds it. `hear` is told of every event before the store is.
pub fn kind<K: Ours>(
    api: Api<Guarded<K>>,
    shared: (Listed, Echoes, Triggers),
    mut hear: impl FnMut(&watcher::Event<Guarded<K>>, &Store<Guarded<K>>) + Send + 'static,
) -> (Store<Guarded<K>>, Controller<Guarded<K>>) {
    let (reader, writer) = store();
    let (before, known) = (reader.clone(), reader.clone());
    let mut news = News::new(reader.clone(), shared);
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .map_ok(move |event| guarded::kept(event, &before))
        .inspect_ok(move |event| hear(event, &known))
        .reflect(writer)
        .filter_map(move |event| {
            match event {
                Ok(event) => news.hear(&event),
                Err(error) => {
                    tracing::debug!(kind = K::KIND.as_str(), %error, "a watch broke off; it begins anew");
                }
            }
            // `Looks` tell the controller; a watch that fails is not to hold them up.
            std::future::ready(None)
        });
    let controller = Controller::for_stream(objects, reader.clone());
    (reader, controller)
}

/// Runs the controller of a kind until `until` ends. Objects wait for their turn in [`Looks`] and not in the
/// controller, whose own limit takes them in no order: while some change again and again, others would never be
/// looked at.
pub async fn run<K: Ours, F>(
    controller: Controller<Guarded<K>>,
    context: Arc<Context>,
    until: impl Future<Output = ()> + Send + Sync + 'static,
    step: impl Fn(Arc<K>, Arc<Context>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Result<Next, StepError>> + Send + 'static,
{
    let looks = context.triggers.looks(K::KIND);
    let (turns, told) = (looks.clone(), looks.told(context.stores.listed.clone()));
    controller
        .reconcile_on(told)
        .graceful_shutdown_on(until)
        .run(
            move |object, context| {
                let (step, turns) = (step.clone(), turns.clone());
                async move {
                    let id = id_of::<K>(&*object);
                    let _turn = turns.turn(&id).await;
                    // Boxed, so that those who wait are small.
                    let look = Box::pin(reconcile(object, &id, context, step));
                    Ok::<_, std::convert::Infallible>(look.await)
                }
            },
            |_, _, _| Action::requeue(AFTER_FAULT),
            Arc::clone(&context),
        )
        .for_each(|ended| {
            if let Err(error) = ended {
                tracing::debug!(kind = K::KIND.as_str(), %error, "an object is gone");
                if let controller::Error::ObjectNotFound(object) = error {
                    let namespace = object.namespace.unwrap_or_default();
                    looks.waits_no_more(&ObjectId::new(K::KIND, &namespace, &object.name));
                }
            }
            std::future::ready(())
        })
        .await;
}

fn id_of<K: Ours>(object: &impl Resource) -> ObjectId {
    ObjectId::new(K::KIND, &object.namespace().unwrap_or_default(), &object.name_any())
}

/// One look at one object, with what it means for the next.
async fn reconcile<K: Ours, F>(
    object: Arc<Guarded<K>>,
    id: &ObjectId,
    context: Arc<Context>,
    step: impl Fn(Arc<K>, Arc<Context>) -> F,
) -> Action
where
    F: Future<Output = Result<Next, StepError>>,
{
    let kind = K::KIND;
    if !context.serves(&id.namespace) {
        return Action::await_change();
    }
    let decoded = match &object.0 {
        Ok(decoded) => Arc::clone(decoded),
        Err(error) => {
            context.metrics.reconciled(kind, Duration::ZERO, Some(Class::Invalid));
            tracing::warn!(object = %id, %error, "the object cannot be read; it is left alone until it is edited");
            let unread = Transition {
                condition: ConditionType::Accepted.as_str().to_owned(),
                warning: true,
                reason: Reason::Invalid.as_str().to_owned(),
                message: format!("it cannot be read and is left alone until it is edited: {error}"),
            };
            context.events.tell(&*object, &[unread]).await;
            return Action::await_change();
        }
    };
    let began = monotonic::now();
    let ended = step(decoded, Arc::clone(&context)).await;
    let failure = ended.as_ref().err().map(Classify::class);
    context.metrics.reconciled(kind, monotonic::now() - began, failure);
    context.health.reconciled(kind);
    let pause = match &ended {
        Ok(Next::Resync) => {
            context.succeeded(id);
            context::spread(context.settings.resync)
        }
        Ok(Next::WhenAsked) => {
            context.succeeded(id);
            return Action::await_change();
        }
        Ok(Next::After(pause)) => {
            context.succeeded(id);
            *pause
        }
        Ok(Next::Problem(class)) => context.failed(id, *class, None),
        Err(error) => {
            tracing::warn!(object = %id, class = error.class().as_str(), %error, "the step failed");
            context.failed(id, error.class(), error.hint())
        }
    };
    Action::requeue(pause)
}
