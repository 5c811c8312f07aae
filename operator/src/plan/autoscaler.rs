//! What changes the number of a role's workers: by lag through KEDA, by CPU through Kubernetes itself.
//!
//! # While a pipeline rests
//! A `ScaledObject` stays and is told to hold 0, so that its history and edits survive the rest. A
//! `HorizontalPodAutoscaler` cannot be told to rest: it is left out, pruned, and made again on resume.
//!
//! # Choices about lag
//! - One trigger for each stream that the role reads; the highest answer counts.
//! - `offsetResetPolicy: earliest`: a group that has not committed yet is behind by everything, as its stage is.
//! - `limitToPartitionsWithLag` stays off: one hot partition would then call for one worker, which shares its CPU
//!   with all other partitions. Spreading them helps until each has a worker of its own, the upper bound.
//! - When KEDA cannot read the lag, the number stays as it is.
//!
//! Invariants: nobody is scaled beyond the partitions (the topology bounds it); an autoscaler is planned only
//! where its API is served; KEDA logs in as a user who may look at offsets and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::autoscaling::v2::{
        CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler,
        HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
        ResourceMetricSource,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use parking_crds::{
    names::ObjectName,
    pipeline::{Autoscaling, SaslMechanism, SecurityProtocol},
    stream::Stream,
    topology::WorkerPlan,
    worker_config::Log,
};

use super::{Plan, metadata, pod, workload};
use crate::{
    foreign::keda::{
        Advanced, AuthenticationRef, AutoscalerConfig, Fallback, PAUSED_REPLICAS, ScaleTarget,
        ScaledObjectSpec, SecretParameter, Trigger, TriggerAuthenticationSpec,
    },
    labels,
    owned_kinds::OwnedKind,
    validate::{Run, ValidKafka, ValidPipeline},
};

/// Seconds for which the highest answer counts before workers are taken away: each change moves partitions.
const SCALE_DOWN_SECONDS: i32 = 300;
/// Seconds between two looks at the lag.
const POLLING_SECONDS: u32 = 30;
/// Failed looks after which the number is left as it is.
const FAILED_LOOKS: u32 = 3;
/// Protocol that KEDA speaks: its default is one that Kafka 4 refuses.
const KAFKA_PROTOCOL: &str = "2.5.0";

/// Adds the autoscaler of each role that has one.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        let settings = pod::settings(pipeline, worker.config.role);
        let Some(scaling) = settings.and_then(|settings| settings.autoscaling.as_ref()) else {
            continue;
        };
        match (scaling.lag_threshold, scaling.cpu_utilization) {
            (Some(threshold), _) => by_lag(plan, pipeline, worker, scaling, threshold),
            (None, Some(percent)) => by_cpu(plan, pipeline, worker, percent),
            (None, None) => {}
        }
    }
}

fn metadata_of(pipeline: &ValidPipeline, worker: &WorkerPlan) -> ObjectMeta {
    metadata::owned(pipeline, labels::component(worker.config.role), worker.name.as_str())
}

fn slow_scale_down() -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_down: Some(HPAScalingRules {
            stabilization_window_seconds: Some(SCALE_DOWN_SECONDS),
            ..HPAScalingRules::default()
        }),
        ..HorizontalPodAutoscalerBehavior::default()
    }
}

fn by_cpu(plan: &mut Plan, pipeline: &ValidPipeline, worker: &WorkerPlan, percent: u16) {
    let Run::Scaled { min, max } = workload::run_of(pipeline, worker) else {
        return;
    };
    let kind = workload::kind_of(worker.config.role);
    let target = MetricTarget {
        type_: "Utilization".to_owned(),
        average_utilization: Some(i32::from(percent)),
        ..MetricTarget::default()
    };
    let autoscaler = HorizontalPodAutoscaler {
        metadata: metadata_of(pipeline, worker),
        spec: HorizontalPodAutoscalerSpec {
            behavior: Some(slow_scale_down()),
            max_replicas: i32::from(max.max(1)),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource { name: "cpu".to_owned(), target }),
                ..MetricSpec::default()
            }]),
            // Without a pod there is no CPU to measure, and the API refuses 0.
            min_replicas: Some(i32::from(min.max(1))),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(kind.api_version()),
                kind: kind.row().name.to_owned(),
                name: worker.name.to_string(),
            },
        },
        ..HorizontalPodAutoscaler::default()
    };
    plan.add(OwnedKind::HorizontalPodAutoscaler, &autoscaler);
}

fn by_lag(
    plan: &mut Plan,
    pipeline: &ValidPipeline,
    worker: &WorkerPlan,
    scaling: &Autoscaling,
    threshold: u32,
) {
    let (min, max, rests) = match workload::run_of(pipeline, worker) {
        Run::Scaled { min, max } => (min, max, false),
        Run::Resting => (scaling.min_replicas(), scaling.max_replicas, true),
        Run::Fixed(_) => return,
    };
    let Log::Kafka { .. } = &worker.config.log else {
        return;
    };
    if !pipeline.apis.serve(OwnedKind::ScaledObject) {
        return;
    }
    let login = login(pipeline, worker);
    let authenticates = !login.is_empty() && pipeline.apis.serve(OwnedKind::TriggerAuthentication);
    if authenticates {
        let spec = TriggerAuthenticationSpec { secret_target_ref: login };
        plan.add(
            OwnedKind::TriggerAuthentication,
            &metadata::with_spec(metadata_of(pipeline, worker), &spec),
        );
    }
    let mut metadata = metadata_of(pipeline, worker);
    metadata.annotations = rests.then(|| BTreeMap::from([(PAUSED_REPLICAS.to_owned(), "0".to_owned())]));
    let most = max.min(worker.config.events.partitions);
    let spec = ScaledObjectSpec {
        scale_target_ref: target(worker),
        min_replica_count: min.min(most),
        max_replica_count: most,
        polling_interval: POLLING_SECONDS,
        cooldown_period: SCALE_DOWN_SECONDS.unsigned_abs(),
        fallback: Fallback {
            failure_threshold: FAILED_LOOKS,
            replicas: min.min(most).max(1),
            behavior: "currentReplicas".to_owned(),
        },
        advanced: Advanced {
            horizontal_pod_autoscaler_config: AutoscalerConfig { behavior: slow_scale_down() },
        },
        triggers: triggers(worker, threshold, authenticates),
    };
    plan.add(OwnedKind::ScaledObject, &metadata::with_spec(metadata, &spec));
}

fn target(worker: &WorkerPlan) -> ScaleTarget {
    let kind = workload::kind_of(worker.config.role);
    ScaleTarget {
        api_version: kind.api_version(),
        kind: kind.row().name.to_owned(),
        name: worker.name.to_string(),
    }
}

fn triggers(worker: &WorkerPlan, threshold: u32, authenticates: bool) -> Vec<Trigger> {
    let reference = authenticates.then(|| AuthenticationRef { name: worker.name.to_string() });
    let of = |stream: &Stream| {
        Some(Trigger {
            kind: "kafka".to_owned(),
            name: stream.to_string(),
            metadata: trigger(worker, *stream, threshold)?,
            authentication_ref: reference.clone(),
        })
    };
    worker.config.role.reads().iter().filter_map(of).collect()
}

fn trigger(worker: &WorkerPlan, stream: Stream, threshold: u32) -> Option<BTreeMap<String, String>> {
    let Log::Kafka { bootstrap_servers, security_protocol, sasl_mechanism, .. } = &worker.config.log else {
        return None;
    };
    let (tls, sasl) = match security_protocol {
        SecurityProtocol::Plaintext => ("disable", "none"),
        SecurityProtocol::Ssl => ("enable", "none"),
        SecurityProtocol::SaslPlaintext => ("disable", mechanism(*sasl_mechanism)),
        SecurityProtocol::SaslSsl => ("enable", mechanism(*sasl_mechanism)),
    };
    let settings = [
        ("bootstrapServers", bootstrap_servers.clone()),
        ("consumerGroup", worker.config.group.to_string()),
        ("topic", worker.config.streams.get(&stream)?.to_string()),
        ("lagThreshold", threshold.to_string()),
        ("offsetResetPolicy", "earliest".to_owned()),
        ("limitToPartitionsWithLag", "false".to_owned()),
        ("allowIdleConsumers", "false".to_owned()),
        ("version", KAFKA_PROTOCOL.to_owned()),
        ("tls", tls.to_owned()),
        ("sasl", sasl.to_owned()),
    ];
    Some(settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// How KEDA names a mechanism.
fn mechanism(mechanism: SaslMechanism) -> &'static str {
    match mechanism {
        SaslMechanism::Plain => "plaintext",
        SaslMechanism::ScramSha256 => "scram_sha256",
        SaslMechanism::ScramSha512 => "scram_sha512",
    }
}

/// What KEDA reads from Secrets: its own login where users can be made, else the pipeline's.
fn login(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Vec<SecretParameter> {
    let Log::Kafka { security_protocol, credentials, ca, .. } = &worker.config.log else {
        return Vec::new();
    };
    let secret = match &pipeline.kafka {
        ValidKafka::Strimzi(_) => Some(pipeline.id.scaler_login().to_string()),
        ValidKafka::External(_) => credentials.as_ref().map(ToString::to_string),
    };
    let (encrypted, by_password) = match security_protocol {
        SecurityProtocol::Plaintext => return Vec::new(),
        SecurityProtocol::Ssl => (true, false),
        SecurityProtocol::SaslPlaintext => (false, true),
        SecurityProtocol::SaslSsl => (true, true),
    };
    let keys: [(&str, &str); 2] = if by_password {
        [("username", "username"), ("password", "password")]
    } else {
        [("cert", "user.crt"), ("key", "user.key")]
    };
    let parameter = |name: &str, (parameter, key): (&str, &str)| SecretParameter {
        parameter: parameter.to_owned(),
        name: name.to_owned(),
        key: key.to_owned(),
    };
    let user = secret.iter().flat_map(|name| keys.map(|key| parameter(name, key)));
    let authority = ca.as_ref().map(ObjectName::as_str).filter(|_| encrypted);
    user.chain(authority.map(|name| parameter(name, ("ca", "ca.crt")))).collect()
}
