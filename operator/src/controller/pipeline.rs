//! One look at a pipeline: observe, validate, plan, apply, status.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, Reason},
    inventory::Inventory,
    pipeline::{ParkingPipeline, ParkingPipelineStatus},
    role::Role,
    topology::{PipelineId, Topology},
};

use crate::{
    apis::Apis,
    apply::{Applied, Writer, condition_of},
    error::Class,
    labels,
    lifecycle::{self, Position, Positions, Situation},
    live::{Key, Observed},
    metrics::ConditionState,
    monotonic,
    object::{ObjectId, ObjectKind},
    observe::{Children, observe},
    owned_kinds::OwnedKind,
    plan::{Plan, Planned, credentials::own_secrets, plan},
    poll::{
        secrets::{Interest, SecretName, SecretVersion, Source},
        workers::LastRound,
    },
    problem::Problem,
    rollout::Turn,
    status::{
        pipeline::{Counts, Facts as StatusFacts, status},
        transitions,
        workers::{WorkersStand, workers},
    },
    validate::{Assembled, Facts, ValidPipeline, assemble, live_topics, topic_ids},
    wall_clock,
};

use super::{Context, Next, StepError, bucket, deletion, redis, writes};

/// Pause while something goes on that no watch tells of: drains, elections, rolls of Redis.
const BUSY: Duration = Duration::from_secs(2);
/// Shortest pause between two writes of counts to one status.
const COUNTS: Duration = Duration::from_secs(15);

/// Takes a pipeline one step further.
pub async fn step(pipeline: Arc<ParkingPipeline>, context: Arc<Context>) -> Result<Next, StepError> {
    let Ok(id) = PipelineId::of(&pipeline) else { return Ok(Next::Problem(Class::Invalid)) };
    if pipeline.metadata.deletion_timestamp.is_some() {
        return deletion::step(&pipeline, &id, &context).await;
    }
    if pipeline.annotations().get(labels::PAUSE_RECONCILIATION).is_some_and(|value| value == "true") {
        return leave_alone(&pipeline, &context).await;
    }
    writes::add_finalizer(&context.client, &*pipeline).await?;
    let topology = match Topology::of(&pipeline, &[], &[]) {
        Ok(topology) => topology,
        Err(error) => {
            let problem = Problem::invalid(ConditionType::WorkersAvailable, format!("spec: {error}"));
            return report(&pipeline, &context, Look { problems: vec![problem], ..Look::default() }).await;
        }
    };
    let look = look(&pipeline, &id, topology, &context).await?;
    report(&pipeline, &context, look).await
}

/// What one look came to.
#[derive(Default)]
struct Look {
    problems: Vec<Problem>,
    progress: Vec<String>,
    decision: Option<lifecycle::Decision>,
    workers: Option<(u32, u32)>,
    counts: Option<Counts>,
    topic_ids: Option<BTreeMap<String, String>>,
    busy: bool,
    failed: Option<StepError>,
}

async fn look(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    topology: Topology,
    context: &Context,
) -> Result<Look, StepError> {
    let apis = context.apis();
    let spec = &pipeline.spec;
    let observed =
        observe(&context.client, &apis, &topology, &spec.kafka, &spec.inventory, Children::Own).await?;
    watch_secrets(id, &observed, context);
    context.workers.register(id);
    let round = context.workers.last(id);
    let decision = decide(pipeline, &topology, &apis, &observed, round.as_deref());
    let managed = redis::look(pipeline, id, &observed, context).await;
    let rules = context.rules_of(id);
    let known_ids = pipeline.status.as_ref().map(|status| status.topic_ids.clone()).unwrap_or_default();
    let inventory = inventory(pipeline, id, &observed, context);
    let assembled = assemble(Facts {
        pipeline,
        topology: topology.clone(),
        observed: &observed,
        inventory: match inventory.as_deref() {
            None => Ok(None),
            Some(Ok(inventory)) => Ok(Some(inventory)),
            Some(Err(message)) => Err(Problem::invalid(ConditionType::WorkersAvailable, message.clone())),
        },
        rules: &rules,
        runs: decision.runs.clone(),
        apis: &apis,
        settings: &context.plan,
        kafka_namespaces: &context.settings.kafka_namespaces,
        password: redis::password(id, context),
        volumes_grow: managed.volumes_grow,
        topic_ids: &known_ids,
    });
    keep_verdicts(id, &assembled, &rules, context);
    let stand = workers(&observed.live, &observed.pods);
    context.rollouts.note(id, stand.rolling, stand.failing);
    let mut look = Look {
        problems: assembled.problems.clone(),
        topic_ids: Some(topic_ids(&topology, &live_topics(&observed), &known_ids)),
        ..Look::default()
    };
    look.problems.extend(timed_out(&decision));
    match &assembled.valid {
        Some(valid) => {
            let applied = apply(valid, &assembled, &observed, &managed, &apis, context).await;
            look.take(applied);
        }
        None => look.problems.extend(unplanned(&look.problems)),
    }
    let store = bucket::look(pipeline, id, &topology, &observed, context).await;
    look.problems.extend(store.problems);
    look.take_redis(managed);
    look.take_workers(stand, round.as_deref(), &topology, &assembled);
    look.busy |= decision.phase.is_some_and(|phase| phase == parking_crds::pipeline::PipelinePhase::Draining);
    look.decision = Some(decision);
    Ok(look)
}

impl Look {
    fn take(&mut self, mut applied: Applying) {
        self.problems.append(&mut applied.problems);
        if !applied.applied.changed().is_empty() {
            let changed: Vec<String> = applied.applied.changed().iter().take(5).map(Key::to_string).collect();
            self.progress.push(format!("wrote {}", changed.join(", ")));
        }
        self.progress.append(&mut applied.applied.waiting);
        self.problems.append(&mut applied.applied.problems);
        self.failed = applied.applied.failures.into_iter().next().map(StepError::from);
    }

    fn take_redis(&mut self, managed: redis::Looked) {
        self.busy |= managed.report.progressing.is_some();
        self.progress.extend(managed.report.progressing);
        self.problems.extend(managed.report.problems);
        self.problems.extend(managed.report.data_loss.map(|message| Problem {
            condition: ConditionType::DataLost,
            reason: Reason::RecordsLost,
            class: Class::Blocked,
            message,
        }));
        if self.failed.is_none() {
            self.failed = managed.failed;
        }
    }

    fn take_workers(
        &mut self,
        stand: WorkersStand,
        round: Option<&LastRound>,
        topology: &Topology,
        assembled: &Assembled,
    ) {
        if stand.rolling {
            self.progress.push(format!("{} of {} workers are ready", stand.ready, stand.wanted));
        }
        self.workers = Some((stand.ready, stand.wanted));
        self.problems.extend(stand.problems);
        let Some(round) = round else { return };
        let number = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
        self.counts =
            Some(Counts { lag: number(round.summary.lag()), firing: number(round.summary.firing()) });
        self.problems.extend(retention_at_risk(round, topology));
        if let Some(valid) = &assembled.valid {
            self.problems.extend(rules_not_loaded(valid, round));
        }
    }
}

/// What an apply came to, with what was found before it.
struct Applying {
    applied: Applied,
    problems: Vec<Problem>,
}

async fn apply(
    valid: &ValidPipeline,
    assembled: &Assembled,
    observed: &Observed,
    managed: &redis::Looked,
    apis: &Apis,
    context: &Context,
) -> Applying {
    let mut wanted = plan(valid);
    redis::keep_servers(&mut wanted, valid, managed.report.keep_servers);
    redis::grow(&mut wanted, valid, &assembled.grow);
    let mut problems = Vec::new();
    let mut keep = without_secrets(&wanted, valid);
    wanted.objects.retain(|object| !keep.contains(&object.key()));
    let rolls = rolling(&wanted, observed);
    if !rolls.is_empty()
        && let Turn::Wait { behind, failing } = context.rollouts.ask(&valid.id, &context.all_pipelines())
    {
        problems.push(waits_for_others(&behind, failing));
        wanted.objects.retain(|object| !rolls.contains(&object.key()));
        keep.extend(rolls);
    }
    let writer = Writer::new(&context.client, apis, &observed.live);
    let applied = writer.apply(&wanted, &keep).await;
    problems.extend(just_written(&wanted, &applied));
    Applying { applied, problems }
}

/// Workloads of roles of which a Secret is missing: their pods could not start, and would roll once it comes.
fn without_secrets(wanted: &Plan, valid: &ValidPipeline) -> BTreeSet<Key> {
    let missing: BTreeSet<&str> = valid
        .topology
        .workers
        .iter()
        .filter(|worker| !valid.secret_hashes.contains_key(&worker.config.role))
        .map(|worker| worker.name.as_str())
        .collect();
    let workloads = wanted.objects.iter().filter(|object| is_workload(object.kind));
    workloads.filter(|object| missing.contains(object.name.as_str())).map(Planned::key).collect()
}

const fn is_workload(kind: OwnedKind) -> bool {
    matches!(kind, OwnedKind::StatefulSet | OwnedKind::Deployment)
}

/// What was seen of an object before it was written says nothing of how it stands now.
fn just_written(wanted: &Plan, applied: &Applied) -> Vec<Problem> {
    let counts = |kind| is_workload(kind) || matches!(kind, OwnedKind::KafkaTopic | OwnedKind::KafkaUser);
    wanted
        .objects
        .iter()
        .filter(|object| counts(object.kind) && applied.changed().contains(&object.key()))
        .map(|object| Problem::waiting(condition_of(object), format!("{} was just written", object.key())))
        .collect()
}

/// Workloads of roles whose pods would be replaced.
fn rolling(wanted: &Plan, observed: &Observed) -> BTreeSet<Key> {
    const TEMPLATE: &str = "/spec/template";
    let workloads = wanted.objects.iter().filter(|object| {
        is_workload(object.kind)
            && object.manifest.pointer("/spec/updateStrategy/type").is_none_or(|kind| kind != "OnDelete")
    });
    workloads
        .filter(|object| {
            let live = observed.live.get(&object.key()).and_then(|live| live.data.pointer(TEMPLATE));
            match (live, object.manifest.pointer(TEMPLATE)) {
                (Some(live), Some(planned)) => !crate::drift::covers(live, planned),
                _ => false,
            }
        })
        .map(Planned::key)
        .collect()
}

fn waits_for_others(behind: &[PipelineId], failing: bool) -> Problem {
    let names: Vec<String> = behind.iter().map(PipelineId::to_string).collect();
    let names =
        if names.is_empty() { "the first look at all pipelines".to_owned() } else { names.join(", ") };
    let cure = if failing { ", whose new pods fail: mend it first" } else { "" };
    Problem {
        condition: ConditionType::WorkersAvailable,
        reason: Reason::RolloutWaiting,
        class: Class::Blocked,
        message: format!("new pods wait for {names}{cure}"),
    }
}

fn decide(
    pipeline: &ParkingPipeline,
    topology: &Topology,
    apis: &Apis,
    observed: &Observed,
    round: Option<&LastRound>,
) -> lifecycle::Decision {
    let replicas: BTreeMap<Role, u16> = topology
        .workers
        .iter()
        .filter_map(|worker| {
            let (namespace, name) = (&topology.pipeline.namespace, worker.name.as_str());
            let kinds = [OwnedKind::StatefulSet, OwnedKind::Deployment].into_iter();
            let mut live =
                kinds.filter_map(|kind| observed.live.get(&Key::new(kind, namespace.as_str(), name)));
            let replicas = live.next()?.data.pointer("/spec/replicas")?.as_u64()?;
            Some((worker.config.role, u16::try_from(replicas).ok()?))
        })
        .collect();
    lifecycle::decide(
        topology,
        apis,
        &Situation {
            phase: lifecycle::wanted(pipeline),
            drain: pipeline.status.as_ref().and_then(|status| status.drain.as_ref()),
            replicas: &replicas,
            positions: &positions(round),
            now: wall_clock::now(),
        },
    )
}

fn positions(round: Option<&LastRound>) -> Positions {
    let mut positions = Positions::new();
    for ((role, stream), partitions) in round.iter().flat_map(|round| &round.summary.partitions) {
        let seen = partitions
            .iter()
            .map(|(&partition, seen)| (partition, Position { position: seen.position, end: seen.end }));
        positions.insert((*role, *stream), seen.collect());
    }
    positions
}

fn timed_out(decision: &lifecycle::Decision) -> Option<Problem> {
    let roles: Vec<&str> = decision.timed_out.iter().map(|role| role.as_str()).collect();
    (!roles.is_empty()).then(|| Problem {
        condition: ConditionType::WorkersAvailable,
        reason: Reason::DrainTimedOut,
        class: Class::Blocked,
        message: format!(
            "{} did not work off what there was within 10 minutes and rest now; the records stay in the log and are read when the pipeline runs again",
            roles.join(", ")
        ),
    })
}

/// The oldest unread record is older than half of the retention.
fn retention_at_risk(round: &LastRound, topology: &Topology) -> Option<Problem> {
    let oldest = round.summary.oldest_unread()?;
    let retention = topology.streams.iter().map(|stream| stream.retention.millis()).min()?;
    let age = wall_clock::now().as_millisecond() - oldest.as_millisecond();
    (age > retention / 2).then(|| Problem {
        condition: ConditionType::RetentionAtRisk,
        reason: Reason::RecordsLost,
        class: Class::Blocked,
        message: format!(
            "the oldest unread record is of {oldest}: add workers, resume the pipeline or raise spec.events.retention before records go unread"
        ),
    })
}

fn rules_not_loaded(valid: &ValidPipeline, round: &LastRound) -> Option<Problem> {
    let hash = crate::plan::rule_bundle::bundle_hash(&valid.rules);
    let loaded = round.summary.bundles.get(&hash).copied().unwrap_or(0);
    let (_, asked) = round.summary.answered.get(&Role::Alert).copied().unwrap_or((0, 0));
    (loaded < asked).then(|| {
        Problem::waiting(
            ConditionType::RulesLoaded,
            format!("{loaded} of {asked} alert workers have loaded the newest rules"),
        )
    })
}

/// Conditions that nobody could look at, because what they rest on is missing.
fn unplanned(problems: &[Problem]) -> Vec<Problem> {
    [ConditionType::RedisReady, ConditionType::WorkersAvailable, ConditionType::RulesLoaded]
        .into_iter()
        .filter(|kind| problems.iter().all(|problem| problem.condition != *kind))
        .map(|kind| Problem::waiting(kind, "nothing is changed until TopicsReady and UsersReady can be"))
        .collect()
}

fn inventory(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    observed: &Observed,
    context: &Context,
) -> Option<Arc<Result<Inventory, String>>> {
    let reference = pipeline.spec.inventory.config_map_ref.as_ref()?;
    let place = format!("ConfigMap {}/{}", id.namespace, reference.name);
    let Some(map) = &observed.inventory else {
        return Some(Arc::new(Err(format!("{place} does not exist: create it, or correct spec.inventory"))));
    };
    let key = reference.key.as_ref().map_or("inventory.yaml", |key| key.as_str());
    let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else {
        return Some(Arc::new(Err(format!(
            "{place} has no key {key}: add it, or set spec.inventory.configMapRef.key"
        ))));
    };
    let version = format!("{key}@{}", map.resource_version().unwrap_or_default());
    context.remember(id, |memory| {
        if let Some((known, inventory)) = &memory.inventory
            && *known == version
        {
            return Some(Arc::clone(inventory));
        }
        let parsed = Inventory::parse(text).map_err(|error| format!("{place}, key {key}: {error}"));
        let parsed = Arc::new(parsed);
        memory.inventory = Some((version, Arc::clone(&parsed)));
        Some(parsed)
    })
}

fn keep_verdicts(id: &PipelineId, assembled: &Assembled, rules: &[AlertRule], context: &Context) {
    let generation = |name: &str| {
        rules
            .iter()
            .find(|rule| rule.name_any() == name)
            .and_then(|rule| rule.metadata.generation)
            .unwrap_or(0)
    };
    let verdicts = assembled.verdicts.iter();
    let verdicts = verdicts
        .map(|(name, verdict)| (name.clone(), (generation(name.as_str()), verdict.clone())))
        .collect();
    context.keep_verdicts(id, verdicts);
}

fn watch_secrets(id: &PipelineId, observed: &Observed, context: &Context) {
    let own = own_secrets(id);
    let interests = observed.secret_names.iter().map(|(namespace, name)| {
        let copied = namespace == id.namespace.as_str() && own.iter().any(|own| own.as_str() == name);
        let seen = observed.secrets.get(&(namespace.clone(), name.clone()));
        let version = seen.map_or(SecretVersion::Absent, |secret| {
            SecretVersion::Present(secret.resource_version().unwrap_or_default())
        });
        Interest {
            secret: SecretName::new(namespace, name),
            source: if copied { Source::Copied } else { Source::Referenced },
            seen: Some(version),
        }
    });
    let object = ObjectId::new(ObjectKind::Pipeline, id.namespace.as_str(), id.name.as_str());
    context.secrets.register(&object, interests.collect());
}

/// Says that the operator leaves everything as it is, and nothing else.
async fn leave_alone(pipeline: &ParkingPipeline, context: &Context) -> Result<Next, StepError> {
    let mut status = pipeline.status.clone().unwrap_or_default();
    let generation = pipeline.metadata.generation.unwrap_or_default();
    let mut conditions = crate::status::Conditions::new(&status.conditions, generation, wall_clock::now());
    conditions.set(
        ConditionType::ReconciliationPaused,
        true,
        Reason::PausedByAnnotation,
        format!("remove the annotation {} to go on", labels::PAUSE_RECONCILIATION),
    );
    let made = conditions.done();
    let others =
        status.conditions.iter().filter(|old| old.type_ != ConditionType::ReconciliationPaused.as_str());
    status.conditions = others.cloned().chain(made).collect();
    status.observed_generation = Some(generation);
    write(pipeline, context, status).await?;
    Ok(Next::Resync)
}

async fn report(pipeline: &ParkingPipeline, context: &Context, look: Look) -> Result<Next, StepError> {
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
        now: wall_clock::now(),
    };
    let mut made = status(&facts);
    made.topic_ids = look.topic_ids.unwrap_or_default();
    if let (Some(id), Some(before)) = (&id, &pipeline.status) {
        hold_counts(id, before, &mut made, context);
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

/// Keeps the written counts while they are young: they change all the time.
fn hold_counts(
    id: &PipelineId,
    before: &ParkingPipelineStatus,
    made: &mut ParkingPipelineStatus,
    context: &Context,
) {
    let now = monotonic::now();
    context.remember(id, |memory| {
        let changed = (before.lag, before.firing) != (made.lag, made.firing);
        let young = memory.counted.is_some_and(|counted| now - counted < COUNTS);
        if changed && young {
            (made.lag, made.firing) = (before.lag, before.firing);
        } else if changed {
            memory.counted = Some(now);
        }
    });
}

pub(super) async fn write(
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
    if pipeline.status.as_ref() == Some(&status) {
        return Ok(());
    }
    writes::status(&context.client, pipeline, &status).await?;
    let before = pipeline.status.as_ref().map_or(&[][..], |status| &status.conditions);
    writes::tell(&context.recorder, pipeline, &transitions(before, &status.conditions)).await;
    Ok(())
}
