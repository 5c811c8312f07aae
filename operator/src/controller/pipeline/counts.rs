//! Lag and firing alerts of pipelines, written between looks: they change all the time, and little follows from them.
//!
//! Must not: overwrite a status that a look wrote meanwhile.
//! Invariants: counts are written to an object at most once a `PAUSE`, by looks or here; what was reported last is
//! written in the end.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use parking_crds::{
    condition::{ConditionType, find},
    pipeline::{ParkingPipeline, ParkingPipelineStatus},
    topology::{PipelineId, Topology},
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    monotonic::{self, Instant},
    object::{ObjectId, ObjectKind},
    poll::workers::LastRound,
    status::pipeline::Counts,
};

use super::{
    super::{Context, writes},
    findings::retention_at_risk,
    is_left_alone,
};

/// Shortest pause between two writes of counts to one status.
const PAUSE: Duration = Duration::from_secs(15);
/// Shortest pause before counts are written that came up: a look that is under way writes them as well.
const SOON: Duration = Duration::from_secs(1);
/// Statuses that are written at once.
const CONCURRENCY: usize = 8;

/// Writes the counts of each pipeline that is sent. Ends when nobody sends any more.
pub async fn run(context: Arc<Context>, pipelines: UnboundedReceiver<PipelineId>) {
    let asked =
        stream::unfold(pipelines, |mut pipelines| async move { Some((pipelines.recv().await?, pipelines)) });
    let requests =
        asked.map(|pipeline| ScheduleRequest { run_at: due(&pipeline, &context), message: pipeline });
    scheduler(requests).for_each_concurrent(CONCURRENCY, |pipeline| follow(pipeline, &context)).await;
}

fn due(id: &PipelineId, context: &Context) -> Instant {
    let soonest = monotonic::now() + SOON;
    context.remember(id, |memory| memory.counted).map_or(soonest, |counted| soonest.max(counted + PAUSE))
}

/// What workers of a round report, summed up.
pub(super) fn counts(round: &LastRound) -> Counts {
    let number = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
    let (lag, firing) = round.summary.counts();
    Counts { lag: number(lag), firing: number(firing) }
}

/// Keeps the written counts while they are young, and asks for the new ones to be written in time.
pub(super) fn hold(
    id: &PipelineId,
    before: &ParkingPipelineStatus,
    made: &mut ParkingPipelineStatus,
    context: &Context,
) {
    if (before.lag, before.firing) == (made.lag, made.firing) {
        return;
    }
    let now = monotonic::now();
    let young = context.remember(id, |memory| {
        let young = memory.counted.is_some_and(|counted| now - counted < PAUSE);
        if !young {
            memory.counted = Some(now);
        }
        young
    });
    if young {
        (made.lag, made.firing) = (before.lag, before.firing);
        context.triggers.count(id.clone());
    }
}

async fn follow(id: PipelineId, context: &Context) {
    let (namespace, name) = (id.namespace.as_str(), id.name.as_str());
    let (Some(pipeline), Some(round)) = (context.pipeline(namespace, name), context.workers.last(&id)) else {
        return;
    };
    if is_left_alone(&pipeline) || pipeline.metadata.deletion_timestamp.is_some() {
        return;
    }
    if is_at_risk(&pipeline) != at_risk(&pipeline, &round) {
        context.triggers.look(ObjectId::new(ObjectKind::Pipeline, namespace, name));
        return;
    }
    let Some(before) = &pipeline.status else { return };
    let Counts { lag, firing } = counts(&round);
    let mut made = ParkingPipelineStatus { lag, firing, ..before.clone() };
    hold(&id, before, &mut made, context);
    if made == *before {
        return;
    }
    if let Err(error) = writes::status_as_seen(context, &*pipeline, &made).await {
        tracing::debug!(pipeline = %id, %error, "counts could not be written; they are written later");
        context.triggers.count(id);
    }
}

fn is_at_risk(pipeline: &ParkingPipeline) -> bool {
    let conditions = pipeline.status.as_ref().map_or(&[][..], |status| &status.conditions);
    find(conditions, ConditionType::RetentionAtRisk).is_some_and(|condition| condition.status == "True")
}

fn at_risk(pipeline: &ParkingPipeline, round: &LastRound) -> bool {
    Topology::of(pipeline, &[], &[]).is_ok_and(|topology| retention_at_risk(round, &topology).is_some())
}
