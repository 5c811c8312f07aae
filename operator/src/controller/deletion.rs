//! One look at a pipeline that is being deleted.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PropagationPolicy},
};
use parking_crds::{
    condition::ConditionType,
    pipeline::{ParkingPipeline, PipelinePhase, Retention},
    topology::{PipelineId, Topology},
};

use crate::{
    apply::Writer,
    cluster, labels,
    live::Observed,
    observe::{Children, observe},
    owned_kinds::OwnedKind,
    plan::topic::release_patch,
    problem::Problem,
    removal::{self, Removal, Situation},
    status::pipeline::{Facts, status},
    versions::Versions,
    wall_clock,
};

use super::{Context, Next, StepError, WriteError, bucket, pipeline, writes};

/// Pages of the bucket that one look deletes.
const PAGES: u32 = 20;
/// Pause between two looks.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Takes the removal of a pipeline one step further.
pub(super) async fn step(
    object: &ParkingPipeline,
    id: &PipelineId,
    context: &Context,
) -> Result<Next, StepError> {
    match advance(object, id, context).await {
        // A namespace that goes takes the Roles along, and all that stands in it whether or not we may see it.
        Err(error) if error.is_forbidden() && goes(id, context).await => {
            tracing::warn!(pipeline = %id, %error, "let go of with its namespace; what it has elsewhere stays behind");
            writes::remove_finalizer(&context.client, object).await?;
            context.forget_pipeline(id);
            Ok(Next::Resync)
        }
        ended => ended,
    }
}

/// Whether the pipeline's namespace is being deleted.
async fn goes(id: &PipelineId, context: &Context) -> bool {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let found = namespaces.get_metadata(id.namespace.as_str()).await;
    found.is_ok_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
}

async fn advance(object: &ParkingPipeline, id: &PipelineId, context: &Context) -> Result<Next, StepError> {
    if !object.finalizers().iter().any(|finalizer| finalizer == labels::FINALIZER) {
        context.forget_pipeline(id);
        return Ok(Next::Resync);
    }
    let apis = context.apis();
    let Ok(topology) = Topology::of(object, &[], &[]) else {
        // Nothing was ever made of a spec that cannot be read.
        writes::remove_finalizer(&context.client, object).await?;
        return Ok(Next::Resync);
    };
    let spec = &object.spec;
    let observed = observe(
        &context.client,
        &apis,
        &topology,
        &spec.kafka,
        &spec.inventory,
        Children::All,
        &Versions::default(),
    )
    .await?;
    let policy = spec.deletion_policy.clone().unwrap_or_default();
    let pods: Vec<String> =
        observed.pods.iter().filter_map(|pod: &Pod| pod.labels().get(labels::COMPONENT).cloned()).collect();
    let now = wall_clock::now();
    let deleted = object.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let mut situation = Situation {
        id,
        policy: &policy,
        live: &observed.live,
        pods: &pods,
        bucket_done: policy.bucket() == Retention::Retain,
        deleted,
        now,
    };
    let mut removal = removal::next(&situation);
    let mut problems = Vec::new();
    if removal.purge {
        let (done, found) = purge(object, id, &topology, &observed, context).await;
        problems.extend(found);
        if done {
            situation.bucket_done = true;
            removal = removal::next(&situation);
        }
    }
    carry_out(&removal, &observed, &apis, context).await?;
    if removal.done {
        for left in &removal.left_behind {
            tracing::warn!(pipeline = %id, left, "stays behind");
        }
        writes::remove_finalizer(&context.client, object).await?;
        context.forget_pipeline(id);
        return Ok(Next::Resync);
    }
    say(object, context, &removal, &problems).await?;
    Ok(Next::After(PAUSE))
}

async fn purge(
    object: &ParkingPipeline,
    id: &PipelineId,
    topology: &Topology,
    observed: &Observed,
    context: &Context,
) -> (bool, Vec<Problem>) {
    let connected = bucket::connect(object, id, observed, context).await;
    // A namespace that goes takes the Secret with the keys along: those of the last look still work.
    let store =
        match connected.or_else(|problem| bucket::of_pipeline(object, id, context).map_err(|_| problem)) {
            Ok(store) => store,
            Err(problem) => return (false, vec![problem]),
        };
    let wanted = bucket::wanted_for_purge(object, id, topology, context);
    let progress = store.purge(&wanted, PAGES).await;
    (progress.done, progress.problems)
}

async fn carry_out(
    removal: &Removal,
    observed: &Observed,
    apis: &crate::apis::Apis,
    context: &Context,
) -> Result<(), StepError> {
    for key in &removal.forget {
        let params =
            PatchParams { field_manager: Some(labels::MANAGER.to_owned()), ..PatchParams::default() };
        let patched = cluster::objects(&context.client, OwnedKind::KafkaTopic, apis, &key.namespace)
            .patch(&key.name, &params, &Patch::Merge(&release_patch(wall_clock::now())))
            .await;
        match patched {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => return Err(WriteError::new("the release", &key.name, source).into()),
        }
    }
    let writer = Writer::new(&context.client, apis, &observed.live);
    for key in &removal.delete {
        if let Some(seen) = observed.live.get(key) {
            writer.delete(key, seen, PropagationPolicy::Background).await?;
        }
    }
    Ok(())
}

async fn say(
    object: &ParkingPipeline,
    context: &Context,
    removal: &Removal,
    problems: &[Problem],
) -> Result<(), StepError> {
    let generation = object.metadata.generation.unwrap_or_default();
    let until = removal.until.map(|until| format!(", at the latest until {until}")).unwrap_or_default();
    let mut made = status(&Facts {
        before: object.status.as_ref(),
        generation,
        problems,
        progress: &[format!("waiting until these are gone{until}: {}", removal.waiting.join(", "))],
        phase: Some(PipelinePhase::Deleting),
        drain: None,
        workers: None,
        counts: None,
        acknowledged: None,
        now: wall_clock::now(),
    });
    // Nothing was looked at but what goes: only these conditions are true statements.
    let told = [ConditionType::Ready, ConditionType::Progressing, ConditionType::Degraded];
    made.conditions.retain(|condition| told.iter().any(|kind| kind.as_str() == condition.type_));
    pipeline::write(object, context, made).await
}
