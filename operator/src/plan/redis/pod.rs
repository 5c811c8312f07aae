//! The pods of servers and sentinels, which differ in script, port and resources.
//!
//! Must not: hold a password or anything that differs between pods of one kind.
//! Invariant: whatever changes while pods run (the sentinels, the password) stands in mounted folders and not in
//! the template, so that it rolls no pod.

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
        EnvVar, EnvVarSource, ExecAction, LocalObjectReference, ObjectFieldSelector, PodAffinityTerm,
        PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
        SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use parking_crds::names::WorkloadName;

use super::{Managed, subdomain};
use crate::{
    labels,
    plan::{metadata, redis_scripts},
    validate::ValidPipeline,
};

/// User and group of Redis in its image.
const REDIS_USER: i64 = 999;
/// A failover that a leading server asks for when told to end, then its own end.
const SECONDS_TO_END: i64 = 40;
/// Folder of the scripts, which find everything else by themselves.
const SCRIPTS: &str = "/etc/redis/scripts";

/// What tells servers from sentinels.
pub(in crate::plan) struct Part<'a> {
    pub(in crate::plan) component: &'static str,
    pub(in crate::plan) name: &'a WorkloadName,
    pub(in crate::plan) script: &'static str,
    pub(in crate::plan) port: u16,
    pub(in crate::plan) resources: ResourceRequirements,
    pub(in crate::plan) environment: Vec<EnvVar>,
}

/// The template of the pods of a part.
pub(in crate::plan) fn pod_template(
    pipeline: &ValidPipeline,
    managed: &Managed<'_>,
    part: &Part<'_>,
) -> PodTemplateSpec {
    let mut labels = labels::of(&pipeline.id, part.component);
    labels.extend(labels::selector(&pipeline.id, part.component));
    let pull_secrets = pipeline.spec.image_pull_secrets.iter();
    let pull_secrets: Vec<_> =
        pull_secrets.map(|secret| LocalObjectReference { name: secret.name.to_string() }).collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some([(labels::CONFIG_HASH.to_owned(), redis_scripts::hash())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(SECONDS_TO_END),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            security_context: Some(pod_security()),
            affinity: Some(spread(pipeline, part)),
            containers: vec![container(pipeline, managed, part)],
            volumes: Some(volumes(pipeline)),
            ..PodSpec::default()
        }),
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(REDIS_USER),
        run_as_group: Some(REDIS_USER),
        fs_group: Some(REDIS_USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// Prefers nodes without another pod of the part.
fn spread(pipeline: &ValidPipeline, part: &Part<'_>) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    label_selector: Some(metadata::pods_of(pipeline, part.component)),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(pipeline: &ValidPipeline, managed: &Managed<'_>, part: &Part<'_>) -> Container {
    let image = managed.spec.image.as_ref().unwrap_or(&pipeline.settings.redis_image);
    Container {
        name: part.component.to_owned(),
        image: Some(image.clone()),
        command: Some(vec!["sh".to_owned(), format!("{SCRIPTS}/{}", part.script)]),
        env: Some(environment(pipeline, part)),
        ports: Some(vec![ContainerPort {
            name: Some(part.component.to_owned()),
            container_port: part.port.into(),
            ..ContainerPort::default()
        }]),
        resources: Some(part.resources.clone()),
        liveness_probe: Some(Probe { failure_threshold: Some(6), ..probe("live", part.component) }),
        readiness_probe: Some(Probe { failure_threshold: Some(2), ..probe("ready", part.component) }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts()),
        ..Container::default()
    }
}

fn environment(pipeline: &ValidPipeline, part: &Part<'_>) -> Vec<EnvVar> {
    let pod_name = EnvVar {
        name: "POD_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let subdomain = subdomain(part.name, &pipeline.id, &pipeline.settings.cluster_domain);
    let host = EnvVar {
        name: "HOST".to_owned(),
        value: Some(format!("$(POD_NAME).{subdomain}")),
        ..EnvVar::default()
    };
    [pod_name, host].into_iter().chain(part.environment.iter().cloned()).collect()
}

fn probe(question: &str, component: &str) -> Probe {
    let command = ["sh", &format!("{SCRIPTS}/probe.sh"), question, component].map(ToOwned::to_owned);
    Probe {
        exec: Some(ExecAction { command: Some(command.into()) }),
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn mounts() -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    vec![
        mount("data", "/data", false),
        mount("run", "/run/redis", false),
        mount("scripts", SCRIPTS, true),
        mount("password", "/etc/redis/password", true),
    ]
}

fn volumes(pipeline: &ValidPipeline) -> Vec<Volume> {
    let run = Volume {
        name: "run".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("16Mi".to_owned())),
        }),
        ..Volume::default()
    };
    let scripts = Volume {
        name: "scripts".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: redis_scripts::name(&pipeline.id),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let password = Volume {
        name: "password".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(pipeline.id.redis_secret().to_string()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    vec![run, scripts, password]
}
