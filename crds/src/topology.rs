//! What a pipeline consists of: streams, stores, bucket and workers, derived from its spec.
//!
//! Must not: do I/O, read clocks, or know whether an operator or `parking up` asks.
//! Invariants: the same spec gives the same topology; every derived name is valid, and no two pipelines
//! share one (property-tested).

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::{
    alert_rule::AlertRule,
    duration::Duration,
    names::{BucketName, JobName, KeyPrefix, NameError, RuleName, TopicName, UserName, WorkloadName},
    pipeline::{ParkingPipeline, RollAfter, Worker},
    role::Role,
    stats_job::StatsJob,
    stream::Stream,
    version::Version,
    worker_config::{CommitSettings, EventSettings, IngestSettings, RollSettings, WorkerConfig},
};

mod backend;
mod id;

pub use id::PipelineId;

/// What a pipeline consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The streams, inputs first.
    pub streams: Vec<StreamPlan>,
    /// First part of every key in a shared store.
    pub store_prefix: KeyPrefix,
    /// Where the lake stands.
    pub bucket: BucketPlan,
    /// The workers, in the order of the flow.
    pub workers: Vec<WorkerPlan>,
    /// Names of the pipeline's rules that are switched on, sorted.
    pub rules: Vec<RuleName>,
    /// Names of the pipeline's statistics jobs, sorted.
    pub jobs: Vec<JobName>,
}

/// One stream and the topic that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    /// The stream.
    pub stream: Stream,
    /// Name of its topic.
    pub topic: TopicName,
    /// Number of partitions.
    pub partitions: u16,
    /// Copies of every record.
    pub replication_factor: u16,
    /// How long a record is kept after it was appended.
    pub retention: Duration,
    /// Settings of the topic, as Kafka names them.
    pub config: BTreeMap<String, String>,
}

/// Where the lake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlan {
    /// Name of the bucket.
    pub name: BucketName,
    /// First part of every key of this pipeline.
    pub prefix: KeyPrefix,
    /// Whether a missing bucket is made.
    pub create: bool,
}

/// The workers of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// Name of the workload.
    pub name: WorkloadName,
    /// Kafka user of the role.
    pub user: UserName,
    /// How many workers run.
    pub replicas: Replicas,
    /// What each of them is told.
    pub config: WorkerConfig,
}

/// How many workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// Always as many.
    Fixed(u16),
    /// As many as the load asks for, between the bounds.
    Scaled {
        /// Fewest workers.
        min: u16,
        /// Most workers.
        max: u16,
    },
}

/// The objects do not make a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A name or namespace cannot be used.
    #[error("metadata: {0}")]
    Name(#[from] NameError),
    /// A member of the spec that must have exactly one member has none or several.
    #[error("{0}: exactly one member must be set")]
    ExactlyOne(&'static str),
}

impl Topology {
    /// Derives the topology of a pipeline. Rules and jobs of other pipelines are left out.
    pub fn of(
        pipeline: &ParkingPipeline,
        rules: &[AlertRule],
        jobs: &[StatsJob],
    ) -> Result<Self, TopologyError> {
        let id = PipelineId::of(pipeline)?;
        let spec = &pipeline.spec;
        Ok(Self {
            streams: Stream::ALL.into_iter().map(|stream| stream_plan(&id, pipeline, stream)).collect(),
            store_prefix: id.store_prefix(),
            bucket: BucketPlan {
                name: spec.object_store.bucket.clone(),
                prefix: id.lake_prefix(),
                create: spec.object_store.create.unwrap_or(true),
            },
            workers: workers(&id, pipeline)?,
            rules: names_of(&id, rules.iter().filter(|rule| rule.spec.enabled()), |rule| {
                rule.spec.pipeline_ref.name.as_str()
            })?,
            jobs: names_of(&id, jobs.iter(), |job| job.spec.pipeline_ref.name.as_str())?,
            pipeline: id,
        })
    }

    /// The topic of a stream, if the topology has the stream.
    pub fn stream(&self, wanted: Stream) -> Option<&StreamPlan> {
        self.streams.iter().find(|plan| plan.stream == wanted)
    }

    /// The workers of a role, if the pipeline runs them.
    pub fn worker(&self, wanted: Role) -> Option<&WorkerPlan> {
        self.workers.iter().find(|plan| plan.config.role == wanted)
    }
}

fn names_of<'a, T: ResourceExt + 'a, N: std::str::FromStr<Err = NameError> + Ord>(
    id: &PipelineId,
    objects: impl Iterator<Item = &'a T>,
    pipeline_of: impl Fn(&T) -> &str,
) -> Result<Vec<N>, NameError> {
    let here = |object: &&T| object.namespace().is_none_or(|namespace| namespace == id.namespace.as_str());
    let mut names = objects
        .filter(here)
        .filter(|object| pipeline_of(object) == id.name.as_str())
        .map(|object| object.name_any().parse())
        .collect::<Result<Vec<N>, NameError>>()?;
    names.sort();
    Ok(names)
}

fn stream_plan(id: &PipelineId, pipeline: &ParkingPipeline, stream: Stream) -> StreamPlan {
    let events = &pipeline.spec.events;
    let replication_factor = events.replication_factor();
    let settings = [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", events.retention().millis().to_string()),
        ("min.insync.replicas", min_insync_replicas(replication_factor).to_string()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
    ];
    StreamPlan {
        stream,
        topic: id.topic(stream),
        partitions: events.partitions,
        replication_factor,
        retention: events.retention(),
        config: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

/// Copies that must have a record before it counts as written: one may be down.
fn min_insync_replicas(replication_factor: u16) -> u16 {
    replication_factor.saturating_sub(1).max(1)
}

fn workers(id: &PipelineId, pipeline: &ParkingPipeline) -> Result<Vec<WorkerPlan>, TopologyError> {
    let settings = |role| pipeline.spec.workers.as_ref().and_then(|workers| workers.get(role));
    Role::ALL
        .into_iter()
        .filter(|&role| role.is_required() || settings(role).is_some())
        .map(|role| {
            let worker = settings(role);
            Ok(WorkerPlan {
                name: id.workload(role),
                user: id.user(role),
                replicas: replicas(role, worker, pipeline.spec.events.partitions),
                config: worker_config(id, pipeline, role, worker)?,
            })
        })
        .collect()
}

fn replicas(role: Role, worker: Option<&Worker>, partitions: u16) -> Replicas {
    let useful = |wanted: u16| if role.owns_partitions() { wanted.min(partitions) } else { wanted };
    match worker.and_then(|worker| worker.autoscaling.as_ref()) {
        Some(scaling) => {
            let max = useful(scaling.max_replicas);
            Replicas::Scaled { min: scaling.min_replicas().min(max), max }
        }
        None => Replicas::Fixed(useful(worker.and_then(|worker| worker.replicas).unwrap_or(1))),
    }
}

fn worker_config(
    id: &PipelineId,
    pipeline: &ParkingPipeline,
    role: Role,
    worker: Option<&Worker>,
) -> Result<WorkerConfig, TopologyError> {
    let spec = &pipeline.spec;
    let rolling = worker.and_then(|worker| worker.roll_after).unwrap_or_default();
    Ok(WorkerConfig {
        version: Version,
        role,
        pipeline: id.clone(),
        log: backend::log(id, &spec.kafka, role)?,
        streams: Stream::ALL.into_iter().map(|stream| (stream, id.topic(stream))).collect(),
        group: id.group(role),
        group_protocol: spec.kafka.group_protocol.unwrap_or_default(),
        store: backend::store(id, &spec.redis)?,
        lake: backend::lake(id, &spec.object_store),
        events: event_settings(pipeline),
        commit: CommitSettings::default(),
        inventory: "/etc/parking/inventory/inventory.yaml".to_owned(),
        inventory_object: spec.inventory.object_ref.as_ref().map(|object| object.key.clone()),
        rules: "/etc/parking/rules".to_owned(),
        secrets: "/etc/parking/secrets".to_owned(),
        listen: "0.0.0.0:8080".to_owned(),
        roll_after: (role == Role::Archive).then(|| roll_settings(rolling)),
        routes: if role == Role::Notify { spec.routes.clone() } else { Vec::new() },
        ingest: (role == Role::Ingest).then(|| ingest_settings(pipeline)),
    })
}

fn event_settings(pipeline: &ParkingPipeline) -> EventSettings {
    let events = &pipeline.spec.events;
    EventSettings {
        partitions: events.partitions,
        allowed_lateness: events.allowed_lateness(),
        idle_after: events.idle_after(),
        max_age: events.max_age(),
        max_ahead: events.max_ahead(),
    }
}

fn roll_settings(roll: RollAfter) -> RollSettings {
    RollSettings { rows: roll.rows(), age: roll.age() }
}

fn ingest_settings(pipeline: &ParkingPipeline) -> IngestSettings {
    let ingest = pipeline.spec.ingest.as_ref();
    IngestSettings {
        api_keys: ingest.and_then(|i| i.api_keys_secret_ref.as_ref()).map(|secret| secret.name.clone()),
        tls: ingest.and_then(|i| i.tls_secret_ref.as_ref()).map(|secret| secret.name.clone()),
        plate_keys: ingest.and_then(|i| i.plate_keys_secret_ref.as_ref()).map(|secret| secret.name.clone()),
        redis_stream: ingest.and_then(|i| i.redis_stream).unwrap_or(false),
        limits: ingest.and_then(|i| i.limits),
    }
}

#[cfg(test)]
mod tests;
