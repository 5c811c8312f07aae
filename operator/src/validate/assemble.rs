//! From what was seen to a pipeline that can be planned, with everything that is wrong or awaited.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use parking_crds::{
    alert_rule::AlertRule,
    condition::ConditionType,
    inventory::Inventory,
    names::{Namespace, ObjectName, RuleName},
    pipeline::ParkingPipeline,
    role::Role,
    rule_bundle::BundledRule,
    topology::Topology,
    worker_config::Lake,
};
use serde_json::Value;

use super::{
    ExistingClaim, Owner, RedisLogin, Run, SeenKafka, ValidKafka, ValidPipeline, ValidRedis, accept, kafka,
    observed_log, storage, topic_ids, topics,
};
use crate::{
    apis::Apis,
    foreign::strimzi::KafkaTopic,
    labels,
    live::{Observed, typed},
    owned_kinds::OwnedKind,
    plan::{
        Plan,
        credentials::{self, own_secrets, secret_hash},
        redis, secrets_of, worker_config,
    },
    problem::Problem,
    settings::PlanSettings,
    status::alert_rule::Verdict,
};

/// Everything that a pipeline is judged by.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The pipeline.
    pub pipeline: &'a ParkingPipeline,
    /// What its spec amounts to.
    pub topology: Topology,
    /// Its surroundings.
    pub observed: &'a Observed,
    /// Its inventory, where it could be read.
    pub inventory: Result<Option<&'a Inventory>, Problem>,
    /// The rules of its namespace.
    pub rules: &'a [AlertRule],
    /// How many pods of each role run.
    pub runs: BTreeMap<Role, Run>,
    /// Which optional APIs the cluster serves.
    pub apis: &'a Apis,
    /// What the operator was told.
    pub settings: &'a Arc<PlanSettings>,
    /// Namespaces of Kafka clusters, and the pipelines' namespaces that may use each.
    pub kafka_namespaces: &'a BTreeMap<Namespace, Vec<Namespace>>,
    /// The passwords of a managed Redis.
    pub login: RedisLogin,
    /// Whether the password before may go once no worker uses it.
    pub previous_may_go: bool,
    /// Whether volumes of the Redis' storage class may grow.
    pub volumes_grow: bool,
    /// Ids of the topics when they were last seen.
    pub topic_ids: &'a BTreeMap<String, String>,
}

/// What a pipeline's surroundings come to.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The pipeline, unless something that everything rests on is missing.
    pub valid: Option<ValidPipeline>,
    /// What is wrong or awaited.
    pub problems: Vec<Problem>,
    /// What became of each rule.
    pub verdicts: BTreeMap<RuleName, Verdict>,
    /// Claims of Redis that shall grow to the planned size.
    pub grow: Vec<String>,
    /// Whether nobody uses the password of Redis before the current one any more: it is no longer planned.
    pub previous_unused: bool,
    /// Ids of the topics, to be kept for the next look.
    pub topic_ids: BTreeMap<String, String>,
}

/// Judges a pipeline.
pub fn assemble(facts: Facts<'_>) -> Assembled {
    let mut problems = Vec::new();
    let inventory = facts.inventory.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let id = facts.topology.pipeline.clone();
    let accepted = accept(facts.rules, &id, &facts.pipeline.spec, inventory);
    let verdicts = verdicts(&accepted, facts.rules);
    problems.extend(absent_apis(facts.pipeline, facts.apis));
    let seen = seen_kafka(facts.apis, facts.observed);
    let (kafka, kafka_problems) =
        match kafka(&facts.pipeline.spec.kafka, &facts.topology, &seen, facts.kafka_namespaces) {
            Ok((kafka, problems)) => (Some(kafka), problems),
            Err(problems) => (None, problems),
        };
    problems.extend(kafka_problems);
    let live_topics = live_topics(facts.observed);
    if matches!(kafka, Some(ValidKafka::Strimzi(_))) {
        problems.extend(topics(&facts.topology, &live_topics, facts.topic_ids));
    }
    let topic_ids = topic_ids(&facts.topology, &live_topics, facts.topic_ids);
    let mut grow = Vec::new();
    let redis = facts.pipeline.spec.redis.managed.as_ref().map_or(ValidRedis::External, |managed| {
        let storage = storage(managed.storage(), &claims(facts.observed), facts.volumes_grow);
        problems.extend(storage.problem);
        grow = storage.grow;
        ValidRedis::Managed { login: facts.login.clone(), storage: storage.size }
    });
    problems.extend(missing_secrets(facts.observed, &facts.topology));
    let mut previous_unused = false;
    let valid = kafka.map(|kafka| {
        let mut topology = facts.topology;
        for worker in &mut topology.workers {
            if let Some(log) = observed_log(&kafka, &id, worker.config.role) {
                worker.config.log = log;
            }
        }
        let mut valid = ValidPipeline {
            owner: Owner {
                kind: "ParkingPipeline",
                name: facts.pipeline.name_any(),
                uid: facts.pipeline.uid().unwrap_or_default(),
            },
            id,
            spec: Arc::new(facts.pipeline.spec.clone()),
            topology,
            kafka,
            redis,
            run: facts.runs,
            secret_hashes: BTreeMap::new(),
            rules: accepted.into_iter().filter_map(|(name, rule)| Some((name, rule.ok()?))).collect(),
            apis: facts.apis.clone(),
            settings: Arc::clone(facts.settings),
        };
        valid.secret_hashes = secret_hashes(&valid, facts.observed);
        previous_unused = facts.previous_may_go && workers_use_password(&valid, facts.observed);
        valid.redis = if previous_unused { without_previous(valid.redis) } else { valid.redis };
        valid
    });
    Assembled { valid, problems, verdicts, grow, previous_unused, topic_ids }
}

fn verdicts(
    accepted: &BTreeMap<RuleName, Result<BundledRule, Problem>>,
    rules: &[AlertRule],
) -> BTreeMap<RuleName, Verdict> {
    let disabled = rules.iter().filter(|rule| !rule.spec.enabled());
    let disabled = disabled.filter_map(|rule| Some((rule.name_any().parse().ok()?, Verdict::Disabled)));
    let judged = accepted.iter().map(|(name, rule)| {
        let verdict = match rule {
            Ok(rule) => Verdict::Accepted { hash: rule.hash.clone() },
            Err(problem) => Verdict::Refused(problem.clone()),
        };
        (name.clone(), verdict)
    });
    disabled.chain(judged).collect()
}

/// What the spec asks for and the cluster cannot serve; everything else goes on.
fn absent_apis(pipeline: &ParkingPipeline, apis: &Apis) -> Vec<Problem> {
    let absent = |condition, kind: OwnedKind, what: &str| {
        (!apis.serve(kind)).then(|| Problem {
            condition,
            reason: parking_crds::condition::Reason::ApiAbsent,
            class: crate::error::Class::Blocked,
            message: format!(
                "{what} needs {}, which is not installed: install it, or remove the field",
                kind.api_version()
            ),
        })
    };
    let by_lag = pipeline.spec.workers.as_ref().is_some_and(|workers| {
        Role::ALL
            .into_iter()
            .filter_map(|role| workers.get(role)?.autoscaling.as_ref())
            .any(|s| s.lag_threshold.is_some())
    });
    let scaling =
        || absent(ConditionType::AutoscalingReady, OwnedKind::ScaledObject, "autoscaling.lagThreshold");
    let monitoring = || absent(ConditionType::MonitoringReady, OwnedKind::PodMonitor, "spec.monitoring");
    by_lag
        .then(scaling)
        .flatten()
        .into_iter()
        .chain(pipeline.spec.monitoring.is_some().then(monitoring).flatten())
        .collect()
}

/// A Secret's data with values in base64, as manifests hold them.
fn encoded(secret: &Secret) -> BTreeMap<String, String> {
    let text =
        |value| serde_json::to_value(value).ok().and_then(|value: Value| Some(value.as_str()?.to_owned()));
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

fn seen_kafka(apis: &Apis, observed: &Observed) -> SeenKafka {
    let users = observed.live.of_kind(OwnedKind::KafkaUser);
    SeenKafka {
        version: apis.strimzi,
        kafka: observed.kafka.clone(),
        users: users.filter_map(|user| Some((user.name_any(), typed(user)?))).collect(),
        secrets: observed.secrets.iter().map(|((_, name), secret)| (name.clone(), encoded(secret))).collect(),
    }
}

/// The pipeline's topics by the name of their resource.
fn live_topics(observed: &Observed) -> BTreeMap<String, KafkaTopic> {
    let topics = observed.live.of_kind(OwnedKind::KafkaTopic);
    topics.filter_map(|topic| Some((topic.name_any(), typed(topic)?))).collect()
}

fn claims(observed: &Observed) -> Vec<ExistingClaim> {
    const SIZE: &str = "/spec/resources/requests/storage";
    observed
        .live
        .of_kind(OwnedKind::PersistentVolumeClaim)
        .filter(|claim| claim.labels().get(labels::COMPONENT).is_some_and(|of| of == redis::COMPONENT))
        .filter_map(|claim| {
            let size = claim.data.pointer(SIZE)?.as_str()?.to_owned();
            Some(ExistingClaim { name: claim.name_any(), size })
        })
        .collect()
}

fn without_previous(redis: ValidRedis) -> ValidRedis {
    match redis {
        ValidRedis::Managed { login, storage } => {
            ValidRedis::Managed { login: RedisLogin { previous: None, ..login }, storage }
        }
        ValidRedis::External => ValidRedis::External,
    }
}

/// Whether every pod that logs in at a managed Redis was made for the current password, and every other will be.
fn workers_use_password(valid: &ValidPipeline, observed: &Observed) -> bool {
    let ValidRedis::Managed { login, .. } = &valid.redis else { return false };
    let secret = valid.id.redis_secret();
    let clients = valid.topology.workers.iter().filter(|worker| secrets_of(worker).contains_key(&secret));
    let current = |hash: &str, annotation: Option<&str>| annotation == Some(hash);
    login.for_workers() == &login.password
        && clients.into_iter().all(|worker| {
            let hash = worker_config::hash(valid, worker);
            let component = labels::component(worker.config.role);
            let of_role =
                |all: &BTreeMap<String, String>| all.get(labels::COMPONENT).is_some_and(|of| of == component);
            let pods = observed.pods.iter().filter(|pod| of_role(pod.labels()));
            let kinds = [OwnedKind::StatefulSet, OwnedKind::Deployment].into_iter();
            let workloads = kinds.flat_map(|kind| observed.live.of_kind(kind));
            pods.map(|pod| pod.annotations().get(labels::CONFIG_HASH).map(String::as_str))
                .chain(workloads.filter(|object| of_role(object.labels())).map(|object| {
                    object
                        .data
                        .pointer("/spec/template/metadata/annotations")?
                        .get(labels::CONFIG_HASH)?
                        .as_str()
                }))
                .all(|annotation| current(&hash, annotation))
        })
}

/// Secrets that the spec names and that do not exist. The operator's own are on their way.
fn missing_secrets(observed: &Observed, topology: &Topology) -> Vec<Problem> {
    let id = &topology.pipeline;
    let own = own_secrets(id);
    let named: BTreeSet<_> =
        topology.workers.iter().flat_map(|worker| secrets_of(worker).into_keys()).collect();
    named
        .into_iter()
        .filter(|name| !own.contains(name))
        .filter(|name| observed.secret(&id.namespace, name).is_none())
        .map(|name| {
            let lake = topology.workers.iter().any(|worker| lake_names(&worker.config.lake, &name));
            let condition = if lake { ConditionType::BucketReady } else { ConditionType::WorkersAvailable };
            Problem::missing_secret(condition, &id.namespace, &name)
        })
        .collect()
}

fn lake_names(lake: &Lake, name: &ObjectName) -> bool {
    match lake {
        Lake::Embedded { .. } => false,
        Lake::S3 { credentials, ca, .. } => credentials.as_ref() == Some(name) || ca.as_ref() == Some(name),
    }
}

/// A hash for each role over the Secrets that it mounts, the operator's own as they are planned. A role of which one
/// does not exist yet has none.
fn secret_hashes(valid: &ValidPipeline, observed: &Observed) -> BTreeMap<Role, String> {
    let mut copies = Plan::default();
    credentials::add(&mut copies, valid);
    let mut planned: BTreeMap<String, BTreeMap<String, String>> = copies
        .objects
        .into_iter()
        .map(|object| {
            let data = object.manifest.get("data").cloned().unwrap_or_default();
            (object.name, serde_json::from_value(data).unwrap_or_default())
        })
        .collect();
    if let ValidRedis::Managed { login, .. } = &valid.redis {
        // Workers log in with one password, and roll once while it is changed.
        let password = (redis::PASSWORD.to_owned(), ByteString(login.for_workers().0.clone().into_bytes()));
        let used = Secret { data: Some([password].into()), ..Secret::default() };
        planned.insert(valid.id.redis_secret().to_string(), encoded(&used));
    }
    valid
        .topology
        .workers
        .iter()
        .filter_map(|worker| {
            let mounted: Option<Vec<(String, BTreeMap<String, String>)>> = secrets_of(worker)
                .into_keys()
                .map(|name| {
                    let name = name.to_string();
                    let data = planned
                        .get(&name)
                        .cloned()
                        .or_else(|| observed.secret(&valid.id.namespace, &name).map(encoded))?;
                    Some((name, data))
                })
                .collect();
            let mounted = mounted?;
            let secrets = mounted.iter().map(|(name, data)| (name.as_str(), data));
            Some((worker.config.role, secret_hash(secrets)))
        })
        .collect()
}
