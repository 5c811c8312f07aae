//! One look at a pipeline: observe, validate, plan, apply, status.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, Reason, holds},
    inventory::Inventory,
    pipeline::ParkingPipeline,
    role::Role,
    rule_bundle,
    topology::{PipelineId, Topology},
};

use crate::{
    apis::Apis,
    error::Class,
    labels,
    lifecycle::{self, Situation},
    live::{Key, Observed},
    monotonic::Instant,
    object::{ObjectId, ObjectKind},
    observe::{Children, ObserveError, observe},
    plan::credentials::own_secrets,
    poll::{
        secrets::{Interest, SecretName, SecretVersion, Source},
        workers::LastRound,
    },
    problem::Problem,
    status::{
        pipeline::Counts,
        workers::{WorkersStand, workers},
    },
    validate::{Assembled, Facts, assemble},
    wall_clock,
};

use super::{Context, Next, StepError, bucket, deletion, redis, writes};

pub mod counts;
mod findings;
mod objects;
mod report;

use findings::{
    engines, not_made, positions, retention_at_risk, rules_not_loaded, timed_out, unplanned, workload_of,
};
use objects::{Applying, apply};
pub(super) use report::write;
use report::{leave_alone, report};

/// Takes a pipeline one step further.
pub async fn step(pipeline: Arc<ParkingPipeline>, context: Arc<Context>) -> Result<Next, StepError> {
    let Ok(id) = PipelineId::of(&pipeline) else { return Ok(Next::Problem(Class::Invalid)) };
    if pipeline.metadata.deletion_timestamp.is_some() {
        return deletion::step(&pipeline, &id, &context).await;
    }
    let ended = go_on(&pipeline, &id, &context).await;
    context.remember(&id, |memory| memory.looked = true);
    ended
}

async fn go_on(pipeline: &ParkingPipeline, id: &PipelineId, context: &Context) -> Result<Next, StepError> {
    if is_left_alone(pipeline) {
        return leave_alone(pipeline, context).await;
    }
    writes::add_finalizer(&context.client, pipeline).await?;
    let topology = match Topology::of(pipeline, &[], &[]) {
        Ok(topology) => topology,
        Err(error) => {
            let problem = Problem::invalid(ConditionType::WorkersAvailable, format!("spec: {error}"));
            return report(pipeline, context, Look { problems: vec![problem], ..Look::default() }).await;
        }
    };
    let look = look(pipeline, id, topology, context).await?;
    report(pipeline, context, look).await
}

fn is_left_alone(pipeline: &ParkingPipeline) -> bool {
    pipeline.annotations().get(labels::PAUSE_RECONCILIATION).is_some_and(|value| value == "true")
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
    wrote: bool,
    rules_changed: bool,
    failed: Option<StepError>,
}

async fn look(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    topology: Topology,
    context: &Context,
) -> Result<Look, StepError> {
    let apis = context.apis();
    let (observed, newest_at) = read(pipeline, id, &topology, &apis, context).await?;
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
        inventory: usable(inventory.as_deref()),
        rules: &rules,
        runs: decision.runs.clone(),
        apis: &apis,
        settings: &context.plan,
        kafka_namespaces: &context.settings.kafka_namespaces,
        login: redis::login(pipeline, id, context),
        previous_may_go: managed.report.previous_may_go,
        volumes_grow: managed.volumes_grow,
        topic_ids: &known_ids,
    });
    if assembled.previous_unused {
        redis::drop_previous(id, context);
    }
    keep_verdicts(id, &assembled, &rules, round.is_some(), context);
    let stand = workers(&observed.live, &observed.pods);
    context.rollouts.note(id, stand.rolling, stand.failing);
    let mut look = Look {
        problems: assembled.problems.clone(),
        topic_ids: Some(assembled.topic_ids.clone()),
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
    if !look.wrote {
        context.keep_lists(id, &observed, newest_at);
    }
    let store = bucket::look(pipeline, id, &topology, &observed, context).await;
    look.problems.extend(store.problems);
    look.take_redis(managed);
    look.take_workers(stand);
    look.problems.extend(not_made(&decision, &topology, &observed.live));
    look.take_round(round.as_deref(), &topology);
    look.judge_rules(pipeline, &assembled, &decision, round.as_deref());
    look.busy |= decision.phase.is_some_and(|phase| phase == parking_crds::pipeline::PipelinePhase::Draining);
    look.decision = Some(decision);
    Ok(look)
}

/// What exists now, or did when the last look saw it and nothing was heard since; and when all was the newest.
async fn read(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    topology: &Topology,
    apis: &Apis,
    context: &Context,
) -> Result<(Observed, Instant), ObserveError> {
    let (oldest, newest_at) = context.oldest_lists(id);
    let (kafka, inventory) = (&pipeline.spec.kafka, &pipeline.spec.inventory);
    let observed = observe(&context.client, apis, topology, kafka, inventory, Children::Own, &oldest).await;
    let observed = observed.inspect_err(|error| context.lists_failed(error))?;
    Ok((observed, newest_at))
}

impl Look {
    fn take(&mut self, mut applied: Applying) {
        self.wrote = applied.applied.may_have_written();
        self.rules_changed = applied.rules_changed;
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
        // Nothing else tells of what servers and sentinels come to among themselves.
        self.busy |= managed.report.progressing.is_some() || !managed.report.problems.is_empty();
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

    fn take_workers(&mut self, stand: WorkersStand) {
        if stand.rolling {
            self.progress.push(format!("{} of {} workers are ready", stand.ready, stand.wanted));
        }
        self.workers = Some((stand.ready, stand.wanted));
        self.problems.extend(stand.problems);
    }

    fn take_round(&mut self, round: Option<&LastRound>, topology: &Topology) {
        let Some(round) = round else { return };
        self.counts = Some(counts::counts(round));
        self.problems.extend(retention_at_risk(round, topology));
    }

    fn judge_rules(
        &mut self,
        pipeline: &ParkingPipeline,
        assembled: &Assembled,
        decision: &lifecycle::Decision,
        round: Option<&LastRound>,
    ) {
        let Some(valid) = &assembled.valid else { return };
        let bundle = rule_bundle::bundle_hash(&valid.rules);
        let stood = !self.rules_changed && had_rules_loaded(pipeline);
        self.problems.extend(rules_not_loaded(&bundle, engines(decision), round, stood));
    }
}

fn had_rules_loaded(pipeline: &ParkingPipeline) -> bool {
    let generation = pipeline.metadata.generation.unwrap_or_default();
    pipeline
        .status
        .as_ref()
        .is_some_and(|status| holds(&status.conditions, ConditionType::RulesLoaded, generation))
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
            let live = workload_of(worker, topology, &observed.live)?;
            let replicas = live.data.pointer("/spec/replicas")?.as_u64()?;
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

fn usable(inventory: Option<&Result<Inventory, String>>) -> Result<Option<&Inventory>, Problem> {
    let invalid = |message: &String| Problem::invalid(ConditionType::WorkersAvailable, message.clone());
    inventory.map(Result::as_ref).transpose().map_err(invalid)
}

fn keep_verdicts(
    id: &PipelineId,
    assembled: &Assembled,
    rules: &[AlertRule],
    asked: bool,
    context: &Context,
) {
    let generations: BTreeMap<&str, i64> = rules
        .iter()
        .filter_map(|rule| Some((rule.metadata.name.as_deref()?, rule.metadata.generation?)))
        .collect();
    let generation = |name: &str| generations.get(name).copied().unwrap_or(0);
    let verdicts = assembled.verdicts.iter();
    let of = verdicts
        .map(|(name, verdict)| (name.clone(), (generation(name.as_str()), verdict.clone())))
        .collect();
    context.keep_verdicts(id, of, asked);
}

fn watch_secrets(id: &PipelineId, observed: &Observed, context: &Context) {
    let own = own_secrets(id);
    let interests = observed.secret_names.iter().map(|(namespace, name)| {
        let copied = namespace == id.namespace.as_str() && own.iter().any(|own| own.as_str() == name);
        let seen = observed.secret(namespace, name);
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
