//! A statistics job that can be scheduled and planned.
//!
//! Invariant: of two jobs of one pipeline that would write the same table, the older one keeps it.

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt;
use parking_crds::{
    condition::{ConditionType, Reason},
    duration::Duration,
    event::Millis,
    lake_index::Table,
    names::{JobName, Namespace, ObjectName, TopicName},
    pipeline::ParkingPipeline,
    role::Role,
    stats_job::{Computation, Sink, SinkKind, Statistic, StatsJob, StatsJobSpec, check_support},
    stats_run::KafkaTarget,
    time::Calendar,
    topology::{PipelineId, Topology},
    worker_config::{Lake, Log, Store},
};

use super::Owner;
use crate::{
    apis::Apis, error::Class, labels, owned_kinds::OwnedKind, problem::Problem, settings::PlanSettings,
    stats_job::backfill::Backfill,
};

/// What was read for a job.
#[derive(Clone, Copy, Debug)]
pub struct JobSurroundings<'a> {
    /// The pipeline that the job names, if it exists.
    pub pipeline: Option<&'a ParkingPipeline>,
    /// All jobs of the namespace; the job itself may be among them.
    pub jobs: &'a [StatsJob],
    /// Secrets of [`referenced_secrets`] that do not exist.
    pub missing_secrets: &'a BTreeSet<ObjectName>,
    /// Which optional APIs the cluster serves.
    pub apis: &'a Apis,
    /// What the operator was told.
    pub settings: &'a Arc<PlanSettings>,
}

/// A statistics job that can be scheduled and planned: everything in it was checked.
#[derive(Clone, Debug)]
pub struct ValidJob {
    /// Namespace of job, pipeline and runs.
    pub namespace: Namespace,
    /// Name of the job.
    pub name: JobName,
    /// The object that children refer to.
    pub owner: Owner,
    /// Generation of the spec.
    pub generation: i64,
    /// The spec as it was written.
    pub spec: Arc<StatsJobSpec>,
    /// What the job computes.
    pub computation: Computation,
    /// Identity of the computation.
    pub computation_id: String,
    /// How the job cuts time.
    pub calendar: Calendar,
    /// Windows that somebody asks for once more.
    pub backfill: Option<Backfill>,
    /// How long the lake keeps rows.
    pub retention: Option<Duration>,
    /// What runs are told of the pipeline.
    pub environment: RunEnvironment,
    /// What the operator was told.
    pub settings: Arc<PlanSettings>,
}

/// What runs are told of their pipeline.
#[derive(Clone, Debug)]
pub struct RunEnvironment {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Partitions of every stream.
    pub partitions: u16,
    /// Where the tables are.
    pub lake: Lake,
    /// Where the Redis sink writes, if there is one.
    pub redis: Option<Store>,
    /// Where the Kafka sink writes, if there is one.
    pub kafka: Option<KafkaTarget>,
    /// Image of the pipeline's workers.
    pub image: Option<String>,
    /// Secrets to pull images with.
    pub image_pull_secrets: Vec<ObjectName>,
    /// Annotations of the ServiceAccount.
    pub service_account_annotations: std::collections::BTreeMap<String, String>,
    /// Secrets that runs mount.
    pub secrets: BTreeSet<ObjectName>,
}

impl ValidJob {
    /// Tables whose watermarks bound a run.
    pub fn tables(&self, has_spaces: bool) -> Vec<Table> {
        let stays = |statistic: &Statistic| matches!(statistic, Statistic::Turnover | Statistic::Dwell);
        let named = |table: Table| self.spec.queries.iter().any(|query| query.sql.contains(table.as_str()));
        let sessions = has_spaces && self.spec.statistics.iter().any(stays);
        [(Table::Events, true), (Table::Sessions, sessions), (Table::Alerts, false)]
            .into_iter()
            .filter(|&(table, always)| always || named(table))
            .map(|(table, _)| table)
            .collect()
    }

    /// No window that begins earlier is computed, ms.
    pub fn start_at(&self) -> Option<Millis> {
        self.spec.start_at.as_ref().map(|at| at.0.as_millisecond())
    }
}

/// Secrets that runs of the job would mount, whether or not they exist.
pub fn referenced_secrets(spec: &StatsJobSpec, pipeline: &ParkingPipeline) -> BTreeSet<ObjectName> {
    let mut problems = Vec::new();
    environment(spec, pipeline, &mut problems).map(|environment| environment.secrets).unwrap_or_default()
}

/// Checks a job against its surroundings; every problem is told, not only the first.
pub fn stats_job(job: &StatsJob, around: &JobSurroundings<'_>) -> Result<ValidJob, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = checked(job.name_any().parse::<JobName>(), &mut problems);
    let namespace =
        checked(job.namespace().as_deref().unwrap_or("default").parse::<Namespace>(), &mut problems);
    check_spec(&job.spec, &mut problems);
    let asked = job.annotations().get(labels::BACKFILL).map(|text| text.parse::<Backfill>());
    let backfill = asked.and_then(|asked| {
        asked.map_err(|error| refuse(&mut problems, format!("annotation {}: {error}", labels::BACKFILL))).ok()
    });
    problems.extend(taken_tables(job, around.jobs));
    if job.spec.spark().is_some() && !around.apis.serve(OwnedKind::SparkApplication) {
        problems.push(Problem {
            condition: ConditionType::Ready,
            reason: Reason::ApiAbsent,
            class: Class::Blocked,
            message:
                "spec.engine.spark needs the API sparkoperator.k8s.io/v1beta2: install the Spark operator, \
                      or use engine.datafusion"
                    .to_owned(),
        });
    }
    let Some(pipeline) = around.pipeline else {
        let wanted = &job.spec.pipeline_ref.name;
        problems.push(Problem::missing(
            ConditionType::Accepted,
            format!("spec.pipelineRef: there is no ParkingPipeline `{wanted}` in this namespace; make it, or name another"),
        ));
        return Err(problems);
    };
    check_retention(&job.spec, pipeline, &mut problems);
    let environment = environment(&job.spec, pipeline, &mut problems);
    for secret in environment.iter().flat_map(|environment| &environment.secrets) {
        if around.missing_secrets.contains(secret) {
            let text = format!("the Secret `{secret}`, which runs mount, does not exist; make it");
            problems.push(Problem::missing(ConditionType::Ready, text));
        }
    }
    let (Some(name), Some(namespace), Some(environment), true) =
        (name, namespace, environment, problems.is_empty())
    else {
        return Err(problems);
    };
    let computation = Computation::of(&job.spec);
    Ok(ValidJob {
        namespace,
        owner: Owner { kind: "StatsJob", name: name.to_string(), uid: job.uid().unwrap_or_default() },
        name,
        generation: job.metadata.generation.unwrap_or_default(),
        computation_id: computation.id(),
        computation,
        calendar: Calendar::of(&job.spec),
        backfill,
        retention: pipeline.spec.object_store.retention,
        spec: Arc::new(job.spec.clone()),
        environment,
        settings: Arc::clone(around.settings),
    })
}

fn checked<T, E: std::fmt::Display>(parsed: Result<T, E>, problems: &mut Vec<Problem>) -> Option<T> {
    parsed.map_err(|error| refuse(problems, format!("metadata: {error}"))).ok()
}

fn refuse(problems: &mut Vec<Problem>, message: impl Into<String>) {
    problems.push(Problem::invalid(ConditionType::Accepted, message));
}

fn check_spec(spec: &StatsJobSpec, problems: &mut Vec<Problem>) {
    const DAY: Millis = 86_400_000;
    if let Err(error) = check_support(spec) {
        refuse(problems, error.to_string());
    }
    if spec.window().millis() > DAY && spec.window().millis() % DAY != 0 {
        let message = format!(
            "spec.window: {} is no number of whole days; write 1d, 2d, 7d or a part of a day",
            spec.window()
        );
        refuse(problems, message);
    }
    if spec.spark().is_some_and(|spark| spark.image.is_none()) {
        refuse(
            problems,
            "spec.engine.spark.image: name the image that computes, none comes with the operator",
        );
    }
    let mut seen = BTreeSet::new();
    for (index, sink) in spec.sinks.iter().enumerate() {
        match sink.kind() {
            None => refuse(
                problems,
                format!("spec.sinks[{index}]: exactly one of lake, redis, kafka, postgres must be set"),
            ),
            Some(kind) if !seen.insert(place(&kind)) => {
                refuse(problems, format!("spec.sinks[{index}]: {} is named twice; remove one", place(&kind)));
            }
            Some(_) => {}
        }
    }
}

fn check_retention(spec: &StatsJobSpec, pipeline: &ParkingPipeline, problems: &mut Vec<Problem>) {
    if let Some(retention) = pipeline.spec.object_store.retention.filter(|kept| *kept < spec.window()) {
        refuse(
            problems,
            format!(
                "spec.window: {} is longer than the lake keeps rows ({retention}); shorten the window, or raise \
                 spec.objectStore.retention of the pipeline",
                spec.window()
            ),
        );
    }
}

/// A place that only one sink may write, as a message names it.
fn place(kind: &SinkKind<'_>) -> String {
    match kind {
        SinkKind::Lake(lake) => format!("the lake's table `{}`", lake.table),
        SinkKind::Redis(_) => "redis".to_owned(),
        SinkKind::Kafka(_) => "kafka".to_owned(),
        SinkKind::Postgres(to) => {
            format!("the table `{}` of the database in Secret `{}`", to.table, to.credentials_secret_ref.name)
        }
    }
}

/// Tables that jobs share between them; Redis keys and Kafka records carry the job's name.
fn tables(spec: &StatsJobSpec) -> BTreeSet<String> {
    let is_table = |kind: &SinkKind<'_>| matches!(kind, SinkKind::Lake(_) | SinkKind::Postgres(_));
    spec.sinks.iter().filter_map(Sink::kind).filter(is_table).map(|kind| place(&kind)).collect()
}

fn taken_tables(job: &StatsJob, jobs: &[StatsJob]) -> Vec<Problem> {
    let age = |job: &StatsJob| {
        (job.metadata.creation_timestamp.as_ref().map(|at| at.0.as_millisecond()), job.name_any())
    };
    let mine = tables(&job.spec);
    let mut older: Vec<&StatsJob> = jobs
        .iter()
        .filter(|other| other.name_any() != job.name_any() && other.namespace() == job.namespace())
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        .filter(|other| other.spec.pipeline_ref == job.spec.pipeline_ref && age(other) < age(job))
        .collect();
    older.sort_by_key(|other| age(other));
    let mut problems = Vec::new();
    for table in &mine {
        let Some(owner) = older.iter().find(|other| tables(&other.spec).contains(table)) else { continue };
        problems.push(Problem {
            condition: ConditionType::Accepted,
            reason: Reason::NameTaken,
            class: Class::Blocked,
            message: format!(
                "spec.sinks: {table} is written by the older StatsJob `{}`; choose another table",
                owner.name_any()
            ),
        });
    }
    problems
}

fn environment(
    spec: &StatsJobSpec,
    pipeline: &ParkingPipeline,
    problems: &mut Vec<Problem>,
) -> Option<RunEnvironment> {
    let topology = match Topology::of(pipeline, &[], &[]) {
        Ok(topology) => topology,
        Err(error) => {
            problems.push(Problem::waiting(
                ConditionType::Accepted,
                format!("spec.pipelineRef: the pipeline cannot be planned: {error}; correct it there"),
            ));
            return None;
        }
    };
    let archive = &topology.worker(Role::Archive)?.config;
    let mut secrets = BTreeSet::new();
    if let Lake::S3 { credentials, ca, .. } = &archive.lake {
        secrets.extend(credentials.iter().chain(ca).cloned());
    }
    let kinds: Vec<SinkKind<'_>> = spec.sinks.iter().filter_map(Sink::kind).collect();
    let redis = kinds.iter().any(|kind| matches!(kind, SinkKind::Redis(_))).then(|| archive.store.clone());
    if let Some(Store::Redis { credentials, sentinel_credentials, ca, .. }) = &redis {
        secrets.extend(credentials.iter().chain(sentinel_credentials).chain(ca).cloned());
    }
    let wants_kafka = kinds.iter().any(|kind| matches!(kind, SinkKind::Kafka(_)));
    let kafka = wants_kafka.then(|| kafka_target(&topology, pipeline, problems)).flatten();
    if let Some(KafkaTarget { log: Log::Kafka { credentials, ca, .. }, .. }) = &kafka {
        secrets.extend(credentials.iter().chain(ca).cloned());
    }
    for kind in &kinds {
        if let SinkKind::Postgres(postgres) = kind {
            secrets.insert(postgres.credentials_secret_ref.name.clone());
        }
    }
    Some(RunEnvironment {
        partitions: archive.events.partitions,
        lake: archive.lake.clone(),
        redis,
        kafka,
        image: pipeline.spec.image.clone(),
        image_pull_secrets: pipeline
            .spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        service_account_annotations: pipeline.spec.service_account_annotations.clone(),
        secrets,
        pipeline: topology.pipeline,
    })
}

/// An external Kafka is written with the pipeline's own login; no Strimzi user may write statistics.
fn kafka_target(
    topology: &Topology,
    pipeline: &ParkingPipeline,
    problems: &mut Vec<Problem>,
) -> Option<KafkaTarget> {
    if pipeline.spec.kafka.external.is_none() {
        problems.push(Problem {
            condition: ConditionType::Accepted,
            reason: Reason::NotSupported,
            class: Class::Invalid,
            message: "spec.sinks: a kafka sink needs a pipeline with spec.kafka.external; use lake, redis or postgres"
                .to_owned(),
        });
        return None;
    }
    let id = &topology.pipeline;
    let topic: TopicName = checked(format!("{}.{}.stats", id.namespace, id.name).parse(), problems)?;
    Some(KafkaTarget { log: topology.worker(Role::Archive)?.config.log.clone(), topic })
}

#[cfg(test)]
#[path = "stats_job/tests.rs"]
mod tests;
