//! The pod of a worker: restricted, without a token, with exactly the files that its role reads.
//!
//! Invariant: the template changes with the configuration and the Secrets (by hash), never with the number of
//! rules or the text of the inventory, which workers load again while they run.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, LocalObjectReference,
        ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
        SeccompProfile, SecurityContext, TopologySpreadConstraint,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use parking_crds::{pipeline::Worker, reference::NameRef, role::Role, topology::WorkerPlan};

use super::{metadata, service, volume, worker_config};
use crate::{labels, validate::ValidPipeline};

/// Name of the container that runs the worker.
const CONTAINER: &str = "worker";
/// Seconds that a worker has to commit and leave: a commit is due each second, a hand-over takes a few.
const DRAIN_SECONDS: i64 = 60;

/// The template of a role's pods, before the user's own is merged over it.
pub(super) fn template(pipeline: &ValidPipeline, worker: &WorkerPlan) -> PodTemplateSpec {
    let labels = labels::of(&pipeline.id, labels::component(worker.config.role));
    let hash = worker_config::hash(pipeline, worker);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(BTreeMap::from([(labels::CONFIG_HASH.to_owned(), hash)])),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(pipeline, worker)),
    }
}

fn spec(pipeline: &ValidPipeline, worker: &WorkerPlan) -> PodSpec {
    let role = worker.config.role;
    let settings = settings(pipeline, role).cloned().unwrap_or_default();
    let mounts = volume::mounts(pipeline, worker);
    let pull = |secret: &NameRef| LocalObjectReference { name: secret.name.to_string() };
    PodSpec {
        service_account_name: Some(worker.name.to_string()),
        automount_service_account_token: Some(false),
        // A variable for each Service of the namespace would only slow the start.
        enable_service_links: Some(false),
        security_context: Some(pod_security()),
        termination_grace_period_seconds: Some(DRAIN_SECONDS),
        image_pull_secrets: listed(pipeline.spec.image_pull_secrets.iter().map(pull).collect()),
        topology_spread_constraints: Some(spread(pipeline, role, &settings)),
        containers: vec![container(pipeline, worker, &settings, &mounts)],
        volumes: listed(mounts.into_iter().map(|mount| mount.volume).collect()),
        node_selector: Some(settings.node_selector).filter(|labels| !labels.is_empty()),
        tolerations: listed(settings.tolerations),
        priority_class_name: settings.priority_class_name.map(|name| name.to_string()),
        ..PodSpec::default()
    }
}

/// What the spec says of a role.
pub(super) fn settings(pipeline: &ValidPipeline, role: Role) -> Option<&Worker> {
    pipeline.spec.workers.as_ref().and_then(|workers| workers.get(role))
}

/// An empty list would be dropped by the API server and then look like a difference.
fn listed<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn spread(pipeline: &ValidPipeline, role: Role, settings: &Worker) -> Vec<TopologySpreadConstraint> {
    if !settings.topology_spread.is_empty() {
        return settings.topology_spread.clone();
    }
    vec![TopologySpreadConstraint {
        label_selector: Some(metadata::pods_of(pipeline, labels::component(role))),
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }]
}

/// No user is named: the image has one, and some clusters assign their own.
fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

fn container(
    pipeline: &ValidPipeline,
    worker: &WorkerPlan,
    settings: &Worker,
    mounts: &[volume::Mount],
) -> Container {
    let role = worker.config.role;
    let image = pipeline.spec.image.as_ref().unwrap_or(&pipeline.settings.worker_image);
    let file = format!("{}/{}", volume::CONFIG_FOLDER, worker_config::KEY);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.clone()),
        args: Some(["worker", role.as_str(), "--config", &file].map(ToOwned::to_owned).to_vec()),
        env: Some(vec![pod_name()]),
        ports: Some(vec![ContainerPort {
            container_port: i32::from(service::PORT),
            name: Some(service::PORT_NAME.to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // Two minutes: a start may read a large inventory and the state of many partitions.
        startup_probe: Some(probe(worker, "/livez", 2, 60)),
        liveness_probe: Some(probe(worker, "/livez", 10, 6)),
        readiness_probe: Some(probe(worker, "/readyz", 5, 3)),
        resources: Some(settings.resources.clone().unwrap_or_else(|| resources(role))),
        security_context: Some(container_security()),
        volume_mounts: listed(mounts.iter().map(volume::Mount::in_container).collect()),
        ..Container::default()
    }
}

fn pod_name() -> EnvVar {
    EnvVar {
        name: "POD_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.name".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// An ingest that serves with a certificate answers probes with it, too.
pub(super) fn serves_tls(worker: &WorkerPlan) -> bool {
    worker.config.ingest.as_ref().is_some_and(|ingest| ingest.tls.is_some())
}

fn probe(worker: &WorkerPlan, path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(service::PORT_NAME.to_owned()),
            scheme: Some(if serves_tls(worker) { "HTTPS" } else { "HTTP" }.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// No bound on CPU: a worker that catches up may use what is idle. Memory is bounded, since state is bounded.
fn resources(role: Role) -> ResourceRequirements {
    let (cpu, memory, limit) = match role {
        Role::Occupancy | Role::Alert => ("250m", "256Mi", "1Gi"),
        Role::Archive => ("250m", "512Mi", "2Gi"),
        Role::Ingest | Role::Notify | Role::Account | Role::Console | Role::Reserve | Role::Simulate => {
            ("100m", "128Mi", "512Mi")
        }
    };
    let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(of(&[("cpu", cpu), ("memory", memory)])),
        limits: Some(of(&[("memory", limit)])),
        ..ResourceRequirements::default()
    }
}
