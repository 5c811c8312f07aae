//! The only writer of a pipeline's objects: wave by wave, and only what differs.
//!
//! Invariants: nothing is written onto an object that the operator did not make; an object that is as
//! planned causes no request; a wave begins only when nothing of the waves before failed.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use kube::{
    Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, Status},
};
use parking_crds::condition::{ConditionType, Reason};
use serde_json::{Value, json};

use crate::{
    apis::Apis,
    cluster,
    drift::{covers, plan_hash},
    error::{Class, Classify},
    labels,
    live::{Key, Live, is_ours, is_terminating},
    owned_kinds::{OwnedKind, Seen, Wave},
    plan::{Plan, Planned, redis, rule_bundle, topic},
    problem::Problem,
};

/// Requests of one object's apply that are under way at once.
const CONCURRENCY: usize = 8;

/// What came of a plan. Only an apply makes one, so a status cannot come before it.
#[derive(Debug, Default)]
pub struct Applied {
    changed: Vec<Key>,
    /// Objects that must go or appear before the apply can end, in words.
    pub waiting: Vec<String>,
    /// What could not be written, and why.
    pub problems: Vec<Problem>,
    /// Failures that may pass by themselves.
    pub failures: Vec<ApplyError>,
}

impl Applied {
    /// Objects that were written or deleted.
    pub fn changed(&self) -> &[Key] {
        &self.changed
    }

    /// Whether an object may differ from what was seen of it: a request without an answer may have been applied.
    pub fn may_have_written(&self) -> bool {
        let told = [self.waiting.len(), self.problems.len(), self.failures.len(), self.changed.len()];
        told.into_iter().any(|count| count > 0)
    }
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {kind} {namespace}/{name} failed: {source}")]
pub struct ApplyError {
    verb: &'static str,
    kind: &'static str,
    namespace: String,
    name: String,
    source: kube::Error,
}

impl ApplyError {
    /// The request's own error.
    pub const fn request(&self) -> &kube::Error {
        &self.source
    }
}

impl Classify for ApplyError {
    fn class(&self) -> Class {
        self.source.class()
    }
}

/// What came of one object.
enum Outcome {
    Unchanged,
    Changed,
    Waits(String),
    Refused(Problem),
}

/// Writes the plans of one reconcile.
pub struct Writer<'a> {
    client: &'a Client,
    apis: &'a Apis,
    live: &'a Live,
}

impl<'a> Writer<'a> {
    /// A writer that compares with what was seen.
    pub const fn new(client: &'a Client, apis: &'a Apis, live: &'a Live) -> Self {
        Self { client, apis, live }
    }

    /// Makes the cluster hold what was planned, and nothing of ours besides.
    pub async fn apply(&self, plan: &Plan, keep: &BTreeSet<Key>) -> Applied {
        let mut applied = Applied::default();
        let planned: BTreeSet<Key> = plan.objects.iter().map(Planned::key).collect();
        // An autoscaler that is no longer wanted goes first, or it would undo the new number of replicas.
        self.prune(&mut applied, &planned, keep, is_autoscaler).await;
        for (wave, objects) in waves(plan) {
            self.apply_wave(&mut applied, &objects).await;
            let broken = wave == Wave::Config && !applied.problems.is_empty();
            if broken || !applied.failures.is_empty() || !applied.waiting.is_empty() {
                return applied;
            }
        }
        self.prune(&mut applied, &planned, keep, |kind| !is_autoscaler(kind)).await;
        applied
    }

    async fn apply_wave(&self, applied: &mut Applied, objects: &[&Planned]) {
        let writes: Vec<_> = objects.iter().map(|planned| self.apply_named(planned)).collect();
        let mut outcomes = stream::iter(writes).buffer_unordered(CONCURRENCY);
        while let Some((planned, outcome)) = outcomes.next().await {
            match outcome {
                Ok(Outcome::Unchanged) => {}
                Ok(Outcome::Changed) => applied.changed.push(planned.key()),
                Ok(Outcome::Waits(what)) => applied.waiting.push(what),
                Ok(Outcome::Refused(problem)) => applied.problems.push(problem),
                Err(error) => refuse_or_fail(applied, planned, error),
            }
        }
    }

    async fn apply_named<'p>(&self, planned: &'p Planned) -> (&'p Planned, Result<Outcome, ApplyError>) {
        (planned, self.apply_object(planned).await)
    }

    async fn apply_object(&self, planned: &Planned) -> Result<Outcome, ApplyError> {
        if !self.apis.serve(planned.kind) {
            return Ok(Outcome::Unchanged);
        }
        let manifest = with_hash(&planned.manifest);
        let Some(live) = self.find(planned).await? else {
            self.patch(planned, &manifest, labels::MANAGER, false).await?;
            return Ok(Outcome::Changed);
        };
        if !is_ours(&live) && !self.is_claim_of_ours(planned) {
            return Ok(Outcome::Refused(name_taken(planned)));
        }
        if is_terminating(&live) {
            return Ok(Outcome::Waits(format!("{} is still being deleted", planned.key())));
        }
        let seen = serde_json::to_value(&live).unwrap_or_default();
        if covers_all_but_type(&seen, &manifest) {
            return Ok(Outcome::Unchanged);
        }
        if changes_claims(planned, &seen) {
            self.delete(&planned.key(), &live, PropagationPolicy::Orphan).await?;
            return Ok(Outcome::Waits(format!("{} is made anew around its pods", planned.key())));
        }
        if hands_over_replicas(planned, &live) {
            let replicas = json!({
                "apiVersion": manifest.get("apiVersion"), "kind": manifest.get("kind"),
                "metadata": {"name": planned.name, "namespace": planned.namespace},
                "spec": {"replicas": seen.pointer("/spec/replicas")},
            });
            self.patch(planned, &replicas, labels::REPLICAS_MANAGER, true).await?;
        }
        self.patch(planned, &manifest, labels::MANAGER, true).await?;
        Ok(Outcome::Changed)
    }

    /// Claims are made by the controller of their StatefulSet, from our template: our labels tell.
    fn is_claim_of_ours(&self, planned: &Planned) -> bool {
        planned.kind == OwnedKind::PersistentVolumeClaim && self.live.get(&planned.key()).is_some()
    }

    /// The object as it was seen, or as it is now: an object without our label was not seen.
    async fn find(&self, planned: &Planned) -> Result<Option<DynamicObject>, ApplyError> {
        if let Some(live) = self.live.get(&planned.key()) {
            return Ok(Some(live.clone()));
        }
        if planned.kind.row().seen == Seen::ByName {
            return Ok(None);
        }
        cluster::objects(self.client, planned.kind, self.apis, &planned.namespace)
            .get_opt(&planned.name)
            .await
            .map_err(|source| failed("get", &planned.key(), source))
    }

    async fn patch(
        &self,
        planned: &Planned,
        manifest: &Value,
        manager: &str,
        force: bool,
    ) -> Result<(), ApplyError> {
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        let mut manifest = manifest.clone();
        if let Some(version) = manifest.get_mut("apiVersion") {
            *version = cluster::resource(planned.kind, self.apis).api_version.into();
        }
        cluster::objects(self.client, planned.kind, self.apis, &planned.namespace)
            .patch(&planned.name, &params, &Patch::Apply(&manifest))
            .await
            .map(|_| ())
            .map_err(|source| failed("apply", &planned.key(), source))
    }

    async fn prune(
        &self,
        applied: &mut Applied,
        planned: &BTreeSet<Key>,
        keep: &BTreeSet<Key>,
        kinds: impl Fn(OwnedKind) -> bool,
    ) {
        let surplus = self.live.iter().filter(|(key, object)| {
            kinds(key.kind)
                && is_pruned(key.kind)
                && !planned.contains(key)
                && !keep.contains(key)
                && is_ours(object)
                && !is_terminating(object)
        });
        for (key, object) in surplus {
            match self.delete(key, object, PropagationPolicy::Background).await {
                Ok(()) => applied.changed.push(key.clone()),
                Err(error) => applied.failures.push(error),
            }
        }
    }

    /// Deletes exactly the object that was seen; one that is gone already is no error.
    pub async fn delete(
        &self,
        key: &Key,
        seen: &DynamicObject,
        propagation: PropagationPolicy,
    ) -> Result<(), ApplyError> {
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions { uid: seen.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match cluster::objects(self.client, key.kind, self.apis, &key.namespace)
            .delete(&key.name, &params)
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(failed("delete", key, source)),
        }
    }
}

fn failed(verb: &'static str, key: &Key, source: kube::Error) -> ApplyError {
    let (namespace, name) = (key.namespace.clone(), key.name.clone());
    ApplyError { verb, kind: key.kind.row().name, namespace, name, source }
}

/// An answer that only an edit or a right can change becomes a problem; anything else is tried again.
fn refuse_or_fail(applied: &mut Applied, planned: &Planned, error: ApplyError) {
    let kube::Error::Api(status) = &error.source else {
        applied.failures.push(error);
        return;
    };
    let terminating = status.message.contains("being terminated");
    match status.code {
        403 if terminating => {
            applied
                .waiting
                .push(format!("namespace {} is being deleted: nothing is made in it", planned.namespace));
        }
        403 => applied.problems.push(Problem {
            condition: condition_of(planned),
            reason: Reason::MissingRight,
            class: Class::Blocked,
            message: format!(
                "the operator may not write {}: grant it what the chart grants ({})",
                planned.key(),
                status.message
            ),
        }),
        // Any other conflict is with a write of the same moment.
        409 if is_held_by_another(status) => applied.problems.push(name_taken(planned)),
        400 | 422 => applied.problems.push(Problem::invalid(
            condition_of(planned),
            format!("the API server refuses {}: {}", planned.key(), status.message),
        )),
        _ => applied.failures.push(error),
    }
}

/// Whether another field manager holds what was to be written: an object of that name that was not seen before.
fn is_held_by_another(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "FieldManagerConflict")
}

fn name_taken(planned: &Planned) -> Problem {
    Problem {
        condition: condition_of(planned),
        reason: Reason::NameTaken,
        class: Class::Blocked,
        message: format!(
            "{} exists and was not made by this operator: rename or delete it, or rename the pipeline",
            planned.key()
        ),
    }
}

/// The condition that tells of trouble with an object.
pub fn condition_of(planned: &Planned) -> ConditionType {
    let labels = planned.manifest.pointer("/metadata/labels");
    let component = labels.and_then(|labels| labels.get(labels::COMPONENT)).and_then(Value::as_str);
    let component = component.unwrap_or_default();
    match planned.kind {
        OwnedKind::KafkaTopic => ConditionType::TopicsReady,
        OwnedKind::KafkaUser => ConditionType::UsersReady,
        OwnedKind::ScaledObject | OwnedKind::TriggerAuthentication | OwnedKind::HorizontalPodAutoscaler => {
            ConditionType::AutoscalingReady
        }
        OwnedKind::PodMonitor | OwnedKind::PrometheusRule => ConditionType::MonitoringReady,
        OwnedKind::Job | OwnedKind::SparkApplication => ConditionType::Complete,
        _ if redis::is_component(component) => ConditionType::RedisReady,
        _ if component == topic::COMPONENT => ConditionType::UsersReady,
        _ if component == rule_bundle::COMPONENT => ConditionType::RulesLoaded,
        _ => ConditionType::WorkersAvailable,
    }
}

fn waves(plan: &Plan) -> BTreeMap<Wave, Vec<&Planned>> {
    let mut waves: BTreeMap<Wave, Vec<&Planned>> = BTreeMap::new();
    for planned in &plan.objects {
        waves.entry(planned.kind.row().wave).or_default().push(planned);
    }
    waves
}

pub(crate) fn with_hash(manifest: &Value) -> Value {
    let mut hashed = manifest.clone();
    if let Some(metadata) = hashed.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(labels::PLAN_HASH.to_owned(), plan_hash(manifest).into());
        }
    }
    hashed
}

/// Whether the object is as planned; its hash is part of that. Members of a list do not name version and kind.
fn covers_all_but_type(live: &Value, manifest: &Value) -> bool {
    let members = manifest.as_object().into_iter().flatten();
    members
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"))
        .all(|(key, wanted)| live.get(key).is_some_and(|found| covers(found, wanted)))
}

const fn is_autoscaler(kind: OwnedKind) -> bool {
    matches!(
        kind,
        OwnedKind::ScaledObject | OwnedKind::TriggerAuthentication | OwnedKind::HorizontalPodAutoscaler
    )
}

/// Topics and claims hold data and are deleted by policy only; runs end by themselves.
pub(crate) const fn is_pruned(kind: OwnedKind) -> bool {
    !matches!(
        kind,
        OwnedKind::KafkaTopic
            | OwnedKind::PersistentVolumeClaim
            | OwnedKind::Job
            | OwnedKind::SparkApplication
    )
}

/// Claim templates cannot be edited: the set is made anew around its running pods.
pub(crate) fn changes_claims(planned: &Planned, live: &Value) -> bool {
    const TEMPLATES: &str = "/spec/volumeClaimTemplates";
    planned.kind == OwnedKind::StatefulSet
        && match (planned.manifest.pointer(TEMPLATES), live.pointer(TEMPLATES)) {
            (Some(planned), Some(live)) => !covers(live, planned),
            (None, None) => false,
            _ => true,
        }
}

/// The operator held the number of replicas and shall let go: another manager keeps it until an autoscaler
/// takes it, or the server would fall back to one.
pub(crate) fn hands_over_replicas(planned: &Planned, live: &DynamicObject) -> bool {
    let scalable = matches!(planned.kind, OwnedKind::StatefulSet | OwnedKind::Deployment);
    scalable
        && planned.manifest.pointer("/spec/replicas").is_none()
        && live.managed_fields().iter().any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            entry.manager.as_deref() == Some(labels::MANAGER)
                && fields.and_then(|fields| fields.pointer("/f:spec/f:replicas")).is_some()
        })
}
