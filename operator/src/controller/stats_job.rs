//! One look at a statistics job: read its runs and the lake, decide, start what is missing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, PropagationPolicy},
    core::DynamicObject,
};
use parking_crds::{
    names::{KeyPrefix, ObjectName},
    pipeline::ParkingPipeline,
    stats_job::StatsJob,
    topology::PipelineId,
};

use crate::{
    apis::Apis,
    apply::Writer,
    bucket::Store,
    cluster,
    error::Class,
    labels,
    live::{Live, typed},
    owned_kinds::OwnedKind,
    plan::Planned,
    stats_job::{
        index::{IndexError, LakeSeen, ObjectError, ObjectReader, read},
        runs::RunSeen,
        schedule::Run,
        step::{Step, step as decide},
    },
    validate::{JobSurroundings, ValidJob, referenced_secrets, stats_job},
    wall_clock,
};

use super::{Context, Next, StepError, WriteError, bucket, writes};

/// Longest pause between two looks, so that a lake that moves on is noticed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Pause while the job's pipeline was not looked at since the start.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Takes a job one step further.
pub async fn step(job: Arc<StatsJob>, context: Arc<Context>) -> Result<Next, StepError> {
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Resync);
    }
    let apis = context.apis();
    let namespace = job.namespace().unwrap_or_default();
    let pipeline = context.pipeline(&namespace, job.spec.pipeline_ref.name.as_str());
    let pipeline = pipeline.as_deref();
    if let Some(Ok(id)) = pipeline.map(PipelineId::of)
        && !context.remember(&id, |memory| memory.looked)
    {
        return Ok(Next::After(FIRST_LOOK));
    }
    let missing = missing_secrets(&job, pipeline, &context).await?;
    let jobs = jobs_of(&namespace, &context);
    let checked = stats_job(
        &job,
        &JobSurroundings {
            pipeline,
            jobs: &jobs,
            missing_secrets: &missing,
            apis: &apis,
            settings: &context.plan,
        },
    );
    let (runs, live) = runs(&job, &apis, &context).await?;
    let lake = lake(&job, pipeline, &checked, &context).await;
    let next = decide(&job, &checked, &lake, &runs, wall_clock::now());
    carry_out(&next, &namespace, &live, &apis, &context).await?;
    writes::status(&context, &*job, &next.status).await?;
    Ok(when(&next, &checked, &lake))
}

fn when(
    next: &Step,
    checked: &Result<ValidJob, Vec<crate::problem::Problem>>,
    lake: &Result<LakeSeen, IndexError>,
) -> Next {
    let Some(due) = next.next else {
        let class = match (checked, lake) {
            (Err(problems), _) => {
                problems.iter().map(|problem| problem.class).max().unwrap_or(Class::Invalid)
            }
            (_, Err(error)) => crate::error::Classify::class(error),
            (Ok(_), Ok(_)) => Class::Blocked,
        };
        return Next::Problem(class);
    };
    let pause = due.duration_since(wall_clock::now());
    let pause = Duration::try_from(pause).unwrap_or(Duration::ZERO);
    Next::After(pause.clamp(Duration::from_secs(1), LONGEST_PAUSE))
}

fn jobs_of(namespace: &str, context: &Context) -> Vec<StatsJob> {
    let jobs = context.stores.jobs.state();
    let decoded = jobs.iter().filter_map(|job| job.0.as_ref().ok());
    decoded
        .filter(|job| job.namespace().as_deref() == Some(namespace))
        .map(|job| job.as_ref().clone())
        .collect()
}

async fn missing_secrets(
    job: &StatsJob,
    pipeline: Option<&ParkingPipeline>,
    context: &Context,
) -> Result<BTreeSet<ObjectName>, StepError> {
    let mut missing = BTreeSet::new();
    let Some(pipeline) = pipeline else { return Ok(missing) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &job.namespace().unwrap_or_default());
    for name in referenced_secrets(&job.spec, pipeline) {
        let found = api.get_metadata_opt(name.as_str()).await;
        match found {
            Ok(Some(_)) => {}
            Ok(None) => {
                missing.insert(name);
            }
            Err(source) => return Err(WriteError::new("a Secret", name.as_str(), source).into()),
        }
    }
    Ok(missing)
}

/// The job's runs, and its other objects.
async fn runs(job: &StatsJob, apis: &Apis, context: &Context) -> Result<(Vec<RunSeen>, Live), StepError> {
    let namespace = job.namespace().unwrap_or_default();
    let params = ListParams::default().labels(&format!("{}={}", labels::STATS_JOB, job.name_any()));
    let (mut runs, mut live) = (Vec::new(), Live::default());
    let kinds =
        [OwnedKind::ConfigMap, OwnedKind::ServiceAccount, OwnedKind::Job, OwnedKind::SparkApplication];
    for kind in kinds.into_iter().filter(|kind| apis.serve(*kind)) {
        let list = cluster::objects(&context.client, kind, apis, &namespace).list(&params).await;
        let list = list.map_err(|source| WriteError::new("the runs", &job.name_any(), source))?;
        for object in list.items {
            runs.extend(run(kind, &object));
            live.insert(kind, object);
        }
    }
    Ok((runs, live))
}

fn run(kind: OwnedKind, object: &DynamicObject) -> Option<RunSeen> {
    match kind {
        OwnedKind::Job => RunSeen::of_job(&typed::<Job>(object)?),
        OwnedKind::SparkApplication => RunSeen::of_spark(object),
        _ => None,
    }
}

async fn lake(
    job: &StatsJob,
    pipeline: Option<&ParkingPipeline>,
    checked: &Result<ValidJob, Vec<crate::problem::Problem>>,
    context: &Context,
) -> Result<LakeSeen, IndexError> {
    let (Some(pipeline), Ok(valid)) = (pipeline, checked) else { return Ok(LakeSeen::default()) };
    let Ok(id) = PipelineId::of(pipeline) else { return Ok(LakeSeen::default()) };
    let prefix: KeyPrefix = id.lake_prefix();
    let store = bucket::of_pipeline(pipeline, &id, context).map_err(|problem| {
        IndexError::Object(ObjectError { class: problem.class, message: problem.message })
    })?;
    let name = valid.name.clone();
    tracing::trace!(job = job.name_any(), "reads the lake's index");
    read(&Reader(store), &prefix, &name).await
}

struct Reader(Store);

#[async_trait]
impl ObjectReader for Reader {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
        let doing = format!("read {key} of the bucket");
        self.0.get(key).await.map_err(|failure| {
            let problem = failure.problem(&doing);
            ObjectError { class: problem.class, message: problem.message }
        })
    }
}

async fn carry_out(
    next: &Step,
    namespace: &str,
    live: &Live,
    apis: &Apis,
    context: &Context,
) -> Result<(), StepError> {
    let writer = Writer::new(&context.client, apis, live);
    if let Some(objects) = &next.objects {
        let keep = if next.prune {
            live.iter().filter(|(key, _)| is_run(key.kind)).map(|(key, _)| key.clone()).collect()
        } else {
            live.iter().map(|(key, _)| key.clone()).collect()
        };
        let applied = writer.apply(objects, &keep).await;
        if let Some(error) = applied.failures.into_iter().next() {
            return Err(error.into());
        }
    }
    for run in &next.delete {
        delete(run, namespace, apis, context).await?;
    }
    match &next.start {
        Some(run) if next.delete.is_empty() => create(run, apis, context).await,
        Some(_) | None => Ok(()),
    }
}

const fn is_run(kind: OwnedKind) -> bool {
    matches!(kind, OwnedKind::Job | OwnedKind::SparkApplication)
}

async fn delete(run: &Run, namespace: &str, apis: &Apis, context: &Context) -> Result<(), StepError> {
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    let deleted =
        cluster::objects(&context.client, run.kind, apis, namespace).delete(&run.name, &params).await;
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(WriteError::new("a run", &run.name, source).into()),
    }
}

/// A run of that name that exists already is the same run.
async fn create(run: &Planned, apis: &Apis, context: &Context) -> Result<(), StepError> {
    let Ok(object) = serde_json::from_value::<DynamicObject>(run.manifest.clone()) else { return Ok(()) };
    let params = PostParams { field_manager: Some(labels::MANAGER.to_owned()), ..PostParams::default() };
    match cluster::objects(&context.client, run.kind, apis, &run.namespace).create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(source) => Err(WriteError::new("a run", &run.name, source).into()),
    }
}
