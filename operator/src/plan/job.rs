//! A run of statistics as a Job, and what every run of a statistics job needs: an identity and its file.
//!
//! Invariants: the file's ConfigMap is immutable and named after what is computed, so a run never reads the file of
//! another computation; the windows stand in the arguments, which nobody can edit.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::{
            Capabilities, ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource,
            LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
            SeccompProfile, SecretVolumeSource, SecurityContext, ServiceAccount, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use parking_crds::{
    names::ObjectName,
    stats_run::{EXIT_REFUSED, StatsRunConfig, arguments},
    version::Version,
};
use sha2::{Digest, Sha256};

use super::{Plan, Planned, metadata::owner_reference, spark_application};
use crate::{labels, owned_kinds::OwnedKind, stats_job::runs::RunPlan, validate::ValidJob};

/// What the pods are for, as their label says.
const COMPONENT: &str = "stats";
const CONTAINER: &str = "stats";
/// Where the file is mounted.
pub(super) const CONFIG_FOLDER: &str = "/etc/parking/stats";
const CONFIG_KEY: &str = "run.yaml";
const SECRETS_FOLDER: &str = "/etc/parking/secrets";
/// Longest time of a run: 400 windows take minutes, a whole history on small nodes takes hours.
const DEADLINE_SECONDS: i64 = 6 * 3_600;
/// New pods for one run; beyond, the operator starts another attempt after a pause.
const POD_RETRIES: i32 = 2;
/// How long an ended run is kept at most: longer than any pause between attempts that are counted from it.
pub(super) const TTL_SECONDS: i32 = 30 * 86_400;

/// What must exist for every run of a job.
pub fn stats_objects(job: &ValidJob) -> Plan {
    let mut plan = Plan::default();
    plan.add(OwnedKind::ConfigMap, &config_map(job));
    plan.add(OwnedKind::ServiceAccount, &service_account(job));
    plan
}

/// A run, as the engine of the job wants it.
pub fn stats_run(job: &ValidJob, run: &RunPlan) -> Planned {
    match job.spec.spark() {
        Some(spark) => spark_application::planned(job, spark, run),
        None => Planned::of(OwnedKind::Job, &self::job(job, run)),
    }
}

/// Labels of everything that belongs to a job.
pub(super) fn labels_of(job: &ValidJob) -> BTreeMap<String, String> {
    let mut labels = labels::of(&job.environment.pipeline, COMPONENT);
    labels.insert(labels::STATS_JOB.to_owned(), job.name.to_string());
    labels
}

/// Metadata of a run.
pub(super) fn run_metadata(job: &ValidJob, run: &RunPlan) -> ObjectMeta {
    ObjectMeta { annotations: Some(run.annotations(&job.computation_id)), ..metadata(job, run.name.clone()) }
}

fn metadata(job: &ValidJob, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(job.namespace.to_string()),
        labels: Some(labels_of(job)),
        owner_references: owner_reference(&job.owner),
        ..ObjectMeta::default()
    }
}

fn run_config(job: &ValidJob) -> StatsRunConfig {
    let environment = &job.environment;
    StatsRunConfig {
        version: Version,
        job: job.name.clone(),
        pipeline: environment.pipeline.clone(),
        computation: job.computation.clone(),
        partitions: environment.partitions,
        lake: environment.lake.clone(),
        redis: environment.redis.clone(),
        kafka: environment.kafka.clone(),
        secrets: SECRETS_FOLDER.to_owned(),
    }
}

/// Ten digits of a hash tell the files of a job apart.
fn config_text(job: &ValidJob) -> (String, String) {
    let text = run_config(job).to_yaml().unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(&text).into();
    let head = digest.iter().take(5).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    (format!("{}-stats-{head:010x}", job.name), text)
}

fn config_map(job: &ValidJob) -> ConfigMap {
    let (name, text) = config_text(job);
    ConfigMap {
        metadata: metadata(job, name),
        data: Some(BTreeMap::from([(CONFIG_KEY.to_owned(), text)])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

fn service_account(job: &ValidJob) -> ServiceAccount {
    let annotations = job.environment.service_account_annotations.clone();
    let mut metadata = metadata(job, service_account_name(job));
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}

/// No role is named like this, so no worker's identity has the name.
fn service_account_name(job: &ValidJob) -> String {
    format!("{}-stats-job", job.name)
}

/// Name of the ConfigMap, and the arguments that name its file and the windows.
pub(super) fn told(job: &ValidJob, run: &RunPlan) -> (String, Vec<String>) {
    let (name, _) = config_text(job);
    (name, arguments(&format!("{CONFIG_FOLDER}/{CONFIG_KEY}"), run.range, run.backfill.is_some()))
}

/// Where a Secret is mounted.
pub(super) fn secret_folder(secret: &ObjectName) -> String {
    format!("{SECRETS_FOLDER}/{secret}")
}

fn job(job: &ValidJob, run: &RunPlan) -> Job {
    let metadata = run_metadata(job, run);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(job, run)),
    };
    Job {
        metadata,
        spec: Some(JobSpec {
            active_deadline_seconds: Some(DEADLINE_SECONDS),
            backoff_limit: Some(POD_RETRIES),
            completions: Some(1),
            parallelism: Some(1),
            pod_failure_policy: Some(failure_policy()),
            // Two pods of one run would compute the same windows against each other.
            pod_replacement_policy: Some("Failed".to_owned()),
            ttl_seconds_after_finished: Some(TTL_SECONDS),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// What can never succeed ends at once; an evicted pod is no failure.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: vec![EXIT_REFUSED],
                }),
                on_pod_conditions: None,
            },
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_exit_codes: None,
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: Some("True".to_owned()),
                }]),
            },
        ],
    }
}

fn pod(job: &ValidJob, run: &RunPlan) -> PodSpec {
    let environment = &job.environment;
    let (config, arguments) = told(job, run);
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes(job, config).into_iter().unzip();
    let pull: Vec<_> = environment
        .image_pull_secrets
        .iter()
        .map(|secret| LocalObjectReference { name: secret.to_string() })
        .collect();
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(service_account_name(job)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: (!pull.is_empty()).then_some(pull),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: CONTAINER.to_owned(),
            image: Some(environment.image.clone().unwrap_or_else(|| job.settings.worker_image.clone())),
            args: Some(arguments),
            resources: Some(resources(job)),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                capabilities: Some(Capabilities {
                    drop: Some(vec!["ALL".to_owned()]),
                    ..Capabilities::default()
                }),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(true),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn resources(job: &ValidJob) -> ResourceRequirements {
    let datafusion = job.spec.engine.as_ref().and_then(|engine| engine.datafusion.as_ref());
    let of = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    datafusion.and_then(|datafusion| datafusion.resources.clone()).unwrap_or_else(|| ResourceRequirements {
        requests: Some(of(&[("cpu", "500m"), ("memory", "1Gi")])),
        limits: Some(of(&[("memory", "4Gi")])),
        ..ResourceRequirements::default()
    })
}

fn volumes(job: &ValidJob, config: String) -> Vec<(Volume, VolumeMount)> {
    let mount = |volume: Volume, folder: String, read_only: Option<bool>| {
        let mount = VolumeMount {
            name: volume.name.clone(),
            mount_path: folder,
            read_only,
            ..VolumeMount::default()
        };
        (volume, mount)
    };
    let config = Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    // Sorts and joins that do not fit into memory are spilled here.
    let scratch = Volume {
        name: "scratch".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("10Gi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut volumes =
        vec![mount(config, CONFIG_FOLDER.to_owned(), Some(true)), mount(scratch, "/tmp".to_owned(), None)];
    for (index, secret) in job.environment.secrets.iter().enumerate() {
        let volume = Volume {
            name: format!("secret-{index}"),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.to_string()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        };
        volumes.push(mount(volume, secret_folder(secret), Some(true)));
    }
    volumes
}

#[cfg(test)]
mod tests;
