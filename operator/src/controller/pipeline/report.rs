//! Writing a pipeline's status, and telling of what changed in it.

use std::time::Duration;

use kube::ResourceExt;
use parking_crds::{
    condition::{ConditionType, Reason},
    pipeline::{ParkingPipeline, ParkingPipelineStatus},
    topology::PipelineId,
};

use crate::{
    error::Class,
    labels,
    metrics::ConditionState,
    object::{ObjectId, ObjectKind},
    status::{
        data_loss,
        pipeline::{Facts as StatusFacts, status},
    },
    wall_clock,
};

use super::{
    super::{Context, Next, StepError, writes},
    Look, counts,
};

/// Pause while something goes on that no watch tells of: drains, elections, rolls of Redis.
const BUSY: Duration = Duration::from_secs(2);

/// Says that the operator leaves everything as it is, and nothing else.
pub(super) async fn leave_alone(pipeline: &ParkingPipeline, context: &Context) -> Result<Next, StepError> {
    let mut status = pipeline.status.clone().unwrap_or_default();
    let generation = pipeline.metadata.generation.unwrap_or_default();
    let mut conditions = crate::status::Conditions::new(&status.conditions, generation, wall_clock::now());
    conditions.set(
        ConditionType::ReconciliationPaused,
        true,
        Reason::PausedByAnnotation,
        format!("remove the annotation {} to go on", labels::PAUSE_RECONCILIATION),
    );
    status.conditions = conditions.and_the_others();
    status.observed_generation = Some(generation);
    write(pipeline, context, status).await?;
    Ok(Next::Resync)
}

pub(super) async fn report(
    pipeline: &ParkingPipeline,
    context: &Context,
    look: Look,
) -> Result<Next, StepError> {
    let id = PipelineId::of(pipeline).ok();
    let facts = StatusFacts {
        before: pipeline.status.as_ref(),
        generation: pipeline.metadata.generation.unwrap_or_default(),
        problems: &look.problems,
        progress: &look.progress,
        phase: look.decision.as_ref().and_then(|decision| decision.phase),
        drain: look.decision.as_ref().and_then(|decision| decision.drain.clone()),
        workers: look.workers,
        counts: look.counts,
        acknowledged: data_loss::acknowledged(pipeline),
        now: wall_clock::now(),
    };
    let mut made = status(&facts);
    made.topic_ids = look.topic_ids.unwrap_or_default();
    if let (Some(id), Some(before)) = (&id, &pipeline.status) {
        counts::hold(id, before, &mut made, context);
    }
    write(pipeline, context, made).await?;
    if let Some(error) = look.failed {
        return Err(error);
    }
    let gravest = look.problems.iter().map(|problem| problem.class).min_by_key(|class| match class {
        Class::Transient => 0,
        Class::Blocked => 1,
        Class::Bug => 2,
        Class::Invalid => 3,
    });
    Ok(match gravest {
        _ if look.busy => Next::After(BUSY),
        Some(class) => Next::Problem(class),
        None => Next::Resync,
    })
}

pub(in crate::controller) async fn write(
    pipeline: &ParkingPipeline,
    context: &Context,
    status: ParkingPipelineStatus,
) -> Result<(), StepError> {
    let object =
        ObjectId::new(ObjectKind::Pipeline, &pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
    let standing: Vec<(ConditionType, ConditionState)> = status
        .conditions
        .iter()
        .filter_map(|condition| {
            Some((ConditionType::parse(&condition.type_)?, ConditionState::parse(&condition.status)))
        })
        .collect();
    context.metrics.conditions(&object, &standing);
    Ok(writes::status(context, pipeline, &status).await?)
}
