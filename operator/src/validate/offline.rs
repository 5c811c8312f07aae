//! A pipeline as it stands in files, planned without a cluster.
//!
//! Must not: claim that anything exists. Assumed are every optional API, a Kafka with the listener that the
//! spec names, and every Secret; passwords and certificates are left out.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule,
    condition::ConditionType,
    names::RuleName,
    pipeline::{ManagedRedis, ParkingPipeline, Phase, SecurityProtocol},
    role::Role,
    rule_bundle::BundledRule,
    topology::{PipelineId, Replicas, Topology, WorkerPlan},
    worker_config::Log,
};

use super::{
    Authentication, ExternalCluster, KeptSecret, Owner, RedisLogin, Run, StrimziCluster, ValidKafka,
    ValidPipeline, ValidRedis,
};
use crate::{
    apis::{Apis, StrimziVersion},
    problem::Problem,
    settings::PlanSettings,
};

/// Stands for a password that only exists in a cluster.
const UNKNOWN_PASSWORD: &str = "made-by-the-operator";

/// The pipeline as `parking-operator plan` shows it. Rules of other pipelines are left out.
pub fn offline(
    pipeline: &ParkingPipeline,
    rules: &[AlertRule],
    settings: Arc<PlanSettings>,
) -> Result<ValidPipeline, Vec<Problem>> {
    let topology = Topology::of(pipeline, rules, &[])
        .map_err(|error| vec![Problem::invalid(ConditionType::Ready, error.to_string())])?;
    let phase = pipeline.spec.phase();
    Ok(ValidPipeline {
        owner: Owner {
            kind: "ParkingPipeline",
            name: pipeline.name_any(),
            uid: pipeline.uid().unwrap_or_default(),
        },
        kafka: kafka(pipeline, &topology)?,
        redis: redis(pipeline),
        run: runs(phase, &topology),
        secret_hashes: BTreeMap::new(),
        rules: bundled(rules, &topology),
        apis: Apis::all(),
        spec: Arc::new(pipeline.spec.clone()),
        id: topology.pipeline.clone(),
        topology,
        settings,
    })
}

fn kafka(pipeline: &ParkingPipeline, topology: &Topology) -> Result<ValidKafka, Vec<Problem>> {
    let kafka = &pipeline.spec.kafka;
    let log = topology.workers.first().map(|worker| &worker.config.log);
    let Some(Log::Kafka { bootstrap_servers, security_protocol, .. }) = log else {
        return Err(vec![Problem::invalid(
            ConditionType::TopicsReady,
            "spec.kafka: exactly one member must be set",
        )]);
    };
    let (bootstrap_servers, security_protocol) = (bootstrap_servers.clone(), *security_protocol);
    let by_password =
        matches!(security_protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl);
    Ok(match &kafka.strimzi {
        Some(strimzi) => ValidKafka::Strimzi(StrimziCluster {
            namespace: strimzi.namespace.clone().unwrap_or_else(|| topology.pipeline.namespace.clone()),
            cluster: strimzi.cluster.clone(),
            version: StrimziVersion::V1,
            authentication: if by_password { Authentication::ScramSha512 } else { Authentication::Tls },
            encrypted: matches!(security_protocol, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl),
            bootstrap_servers,
            credentials: BTreeMap::new(),
            scaler_credentials: None,
            ca: None,
        }),
        None => ValidKafka::External(ExternalCluster { bootstrap_servers, security_protocol }),
    })
}

fn redis(pipeline: &ParkingPipeline) -> ValidRedis {
    match &pipeline.spec.redis.managed {
        Some(managed) => ValidRedis::Managed {
            login: RedisLogin::new(KeptSecret(UNKNOWN_PASSWORD.to_owned()), None),
            storage: ManagedRedis::storage(managed),
        },
        None => ValidRedis::External,
    }
}

/// How many pods of each role run, as if the pipeline had drained already.
pub fn runs(phase: Phase, topology: &Topology) -> BTreeMap<Role, Run> {
    topology.workers.iter().map(|worker| (worker.config.role, run(phase, worker))).collect()
}

fn run(phase: Phase, worker: &WorkerPlan) -> Run {
    let rests = match phase {
        Phase::Running => false,
        Phase::Paused => worker.config.role.owns_partitions(),
        Phase::Stopped => true,
    };
    match worker.replicas {
        _ if rests => Run::Resting,
        Replicas::Fixed(count) => Run::Fixed(count),
        Replicas::Scaled { min, max } => Run::Scaled { min, max },
    }
}

fn bundled(rules: &[AlertRule], topology: &Topology) -> BTreeMap<RuleName, BundledRule> {
    let named = |name: &RuleName| {
        rules.iter().find(|rule| rule.name_any() == name.as_str() && belongs(rule, &topology.pipeline))
    };
    let bundle = |name: &RuleName| Some((name.clone(), BundledRule::of(named(name)?, &topology.pipeline)));
    topology.rules.iter().filter_map(bundle).collect()
}

fn belongs(rule: &AlertRule, id: &PipelineId) -> bool {
    rule.namespace().is_none_or(|namespace| namespace == id.namespace.as_str())
        && rule.spec.pipeline_ref.name.as_str() == id.name.as_str()
}
