//! One look at a managed Redis: ask its servers, decide, tell them.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::{
    core::v1::{Pod, PodStatus},
    storage::v1::StorageClass,
};
use kube::{Api, ResourceExt, api::DeleteParams};
use parking_crds::{
    condition::ConditionType,
    pipeline::{ManagedRedis, ParkingPipeline},
    topology::PipelineId,
};
use rand::{Rng, distr::Alphanumeric};
use serde_json::json;

use crate::{
    labels,
    live::{Key, Observed},
    owned_kinds::OwnedKind,
    plan::{
        Plan, Planned,
        redis::{COMPONENT, member_host, min_replicas_to_write, quorum, sentinel_host, sentinel_settings},
        sentinel,
    },
    problem::Problem,
    redis::{Life, Member, Members, Passwords, RedisReport, Wanted, act, decide, observe},
    validate::{KeptSecret, RedisLogin, ValidPipeline},
    wall_clock,
};

use super::{Context, StepError, WriteError};

/// Characters of a password: 32 of 62 make 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// What a look came to.
#[derive(Default)]
pub(super) struct Looked {
    /// What Redis says.
    pub(super) report: RedisReport,
    /// Whether volumes of the storage class may grow.
    pub(super) volumes_grow: bool,
    /// What could not be written.
    pub(super) failed: Option<StepError>,
}

/// Asks a managed Redis how it stands, and does what is next.
pub(super) async fn look(
    pipeline: &ParkingPipeline,
    id: &PipelineId,
    observed: &Observed,
    context: &Context,
) -> Looked {
    let Some(managed) = &pipeline.spec.redis.managed else { return Looked::default() };
    let volumes_grow = volumes_grow(managed, observed, context).await;
    let Some(login) = known_login(id, observed, context) else {
        let problems =
            vec![Problem::waiting(ConditionType::RedisReady, "its servers and sentinels are being made")];
        return Looked {
            volumes_grow,
            report: RedisReport { problems, ..RedisReport::default() },
            ..Looked::default()
        };
    };
    let next = next_password(pipeline, &login, id, context);
    let passwords = Passwords { current: login.password.clone(), next, previous: login.previous.clone() };
    let members = members(id, observed, context);
    let wanted = wanted(managed, id, observed, passwords);
    let seen = observe(&members, &wanted.passwords).await;
    let waits = context.remember(id, |memory| memory.redis.clone());
    let decision = decide(&seen, &wanted, &waits, wall_clock::now());
    context.remember(id, |memory| memory.redis = decision.waits.clone());
    if let Err(error) = act(&decision.actions, &members, &wanted).await {
        tracing::warn!(pipeline = %id, %error, "Redis could not be told everything; it is asked again");
    }
    go_on(login, &wanted.passwords, pipeline, &decision.report, id, context);
    let failed = delete_pods(id, &decision.report.delete_pods, context).await.err();
    Looked { report: decision.report, volumes_grow, failed }
}

/// The passwords that are known, or a new one.
pub(super) fn login(pipeline: &ParkingPipeline, id: &PipelineId, context: &Context) -> RedisLogin {
    context.remember(id, |memory| {
        let make = || RedisLogin::new(new_password(), asked(pipeline));
        memory.login.get_or_insert_with(make).clone()
    })
}

/// Nobody uses the password before the current one any more.
pub(super) fn drop_previous(id: &PipelineId, context: &Context) {
    context.remember(id, |memory| {
        if let Some(login) = &mut memory.login {
            login.previous = None;
        }
    });
}

fn new_password() -> KeptSecret {
    KeptSecret(rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect())
}

/// What the user asks for a new password with.
fn asked(pipeline: &ParkingPipeline) -> Option<String> {
    pipeline.annotations().get(labels::ROTATE_REDIS_PASSWORD).cloned()
}

/// The passwords as this operator left them, or else as the Secret holds them: what else is written there is undone.
fn known_login(id: &PipelineId, observed: &Observed, context: &Context) -> Option<RedisLogin> {
    let secret = observed.secret(&id.namespace, &id.redis_secret());
    context.remember(id, |memory| {
        if memory.login.is_none() {
            memory.login = secret.and_then(RedisLogin::of);
        }
        memory.login.clone()
    })
}

/// The password that comes, where the user asks for one anew and no other change is under way.
fn next_password(
    pipeline: &ParkingPipeline,
    login: &RedisLogin,
    id: &PipelineId,
    context: &Context,
) -> Option<KeptSecret> {
    let asked = asked(pipeline);
    let rotates = asked.is_some() && asked != login.asked && login.previous.is_none();
    context.remember(id, |memory| {
        if !rotates {
            memory.next_password = None;
        } else if memory.next_password.is_none() {
            memory.next_password = Some(new_password());
        }
        memory.next_password.clone()
    })
}

/// Keeps what the look came to: a next password that is admitted everywhere becomes the current one.
fn go_on(
    login: RedisLogin,
    passwords: &Passwords,
    pipeline: &ParkingPipeline,
    report: &RedisReport,
    id: &PipelineId,
    context: &Context,
) {
    let login = match &passwords.next {
        Some(next) if report.next_admitted => login.changed(next.clone(), asked(pipeline)),
        _ => RedisLogin { adopted: login.adopted || report.password_adopted, ..login },
    };
    context.remember(id, |memory| memory.login = Some(login));
}

fn wanted(managed: &ManagedRedis, id: &PipelineId, observed: &Observed, passwords: Passwords) -> Wanted {
    let settings = sentinel_settings();
    Wanted {
        servers: managed.replicas(),
        sentinels: managed.sentinels(),
        quorum: quorum(managed.sentinels()),
        min_replicas: min_replicas_to_write(managed.replicas()),
        settings: settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        claims: claims(id, observed),
        passwords,
    }
}

/// Ordinals of servers that have a claim.
fn claims(id: &PipelineId, observed: &Observed) -> BTreeSet<u16> {
    let prefix = format!("data-{}-", id.redis());
    let claims = observed.live.of_kind(OwnedKind::PersistentVolumeClaim);
    claims.filter_map(|claim| claim.name_any().strip_prefix(&prefix)?.parse().ok()).collect()
}

fn members(id: &PipelineId, observed: &Observed, context: &Context) -> Members {
    let domain = &context.plan.cluster_domain;
    let of = |set: &str, component: &str, host: &dyn Fn(u16) -> String| {
        let revision = observed
            .live
            .get(&Key::new(OwnedKind::StatefulSet, id.namespace.as_str(), set))
            .and_then(|set| set.data.pointer("/status/updateRevision")?.as_str().map(str::to_owned));
        let pods = observed
            .pods
            .iter()
            .filter(|pod| pod.labels().get(labels::COMPONENT).is_some_and(|of| of == component));
        let mut members: Vec<Member> =
            pods.filter_map(|pod| member(pod, set, revision.as_deref(), host)).collect();
        members.sort_by_key(|member| member.ordinal);
        members
    };
    Members {
        servers: of(id.redis().as_str(), COMPONENT, &|n| member_host(id, domain, n)),
        sentinels: of(id.sentinel().as_str(), sentinel::COMPONENT, &|n| sentinel_host(id, domain, n)),
    }
}

fn life(status: &PodStatus) -> Life {
    let mut conditions = status.conditions.iter().flatten();
    let mut containers = status.container_statuses.iter().flatten();
    if conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True") {
        Life::Ready
    } else if containers
        .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
    {
        Life::Runs
    } else {
        Life::Waits
    }
}

fn member(pod: &Pod, set: &str, revision: Option<&str>, host: &dyn Fn(u16) -> String) -> Option<Member> {
    let name = pod.name_any();
    let ordinal = name.strip_prefix(set)?.strip_prefix('-')?.parse().ok()?;
    let status = pod.status.clone().unwrap_or_default();
    Some(Member {
        ordinal,
        host: host(ordinal),
        life: life(&status),
        ip: status.pod_ip.and_then(|ip| ip.parse::<IpAddr>().ok()),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        // A set that is made anew around its pods says nothing of them before its controller has looked.
        revision_current: revision.is_none_or(|revision| {
            pod.labels().get("controller-revision-hash").is_some_and(|of| of == revision)
        }),
        pod: name,
    })
}

async fn delete_pods(id: &PipelineId, pods: &[String], context: &Context) -> Result<(), StepError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), id.namespace.as_str());
    for pod in pods {
        match api.delete(pod, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => return Err(WriteError::new("a Redis pod", pod, source).into()),
        }
    }
    Ok(())
}

/// Whether the storage class lets volumes grow. One that may not be read is taken to; the API server then decides.
async fn volumes_grow(managed: &ManagedRedis, observed: &Observed, context: &Context) -> bool {
    let claims = observed.live.of_kind(OwnedKind::PersistentVolumeClaim);
    let smaller = claims.filter_map(|claim| {
        let size = claim.data.pointer("/spec/resources/requests/storage")?.as_str()?;
        let size: parking_crds::quantity::Bytes = size.parse().ok()?;
        let class = claim.data.pointer("/spec/storageClassName").and_then(serde_json::Value::as_str);
        (size.as_u64() < managed.storage().as_u64()).then(|| class.map(str::to_owned))
    });
    let Some(Some(class)) = smaller.into_iter().next() else { return true };
    let api: Api<StorageClass> = Api::all(context.client.clone());
    match api.get_opt(&class).await {
        Ok(Some(class)) => class.allow_volume_expansion.unwrap_or(false),
        Ok(None) | Err(_) => true,
    }
}

/// Keeps servers that must not go yet.
pub(super) fn keep_servers(plan: &mut Plan, valid: &ValidPipeline, fewest: u16) {
    let set = Key::new(OwnedKind::StatefulSet, valid.id.namespace.as_str(), valid.id.redis().as_str());
    for planned in plan.objects.iter_mut().filter(|planned| planned.key() == set) {
        if let Some(replicas) = planned.manifest.pointer_mut("/spec/replicas")
            && replicas.as_u64().is_some_and(|wanted| wanted < u64::from(fewest))
        {
            *replicas = fewest.into();
        }
    }
}

/// Adds the claims that shall grow.
pub(super) fn grow(plan: &mut Plan, valid: &ValidPipeline, claims: &[String]) {
    let crate::validate::ValidRedis::Managed { storage, .. } = &valid.redis else { return };
    for name in claims {
        plan.objects.push(Planned {
            kind: OwnedKind::PersistentVolumeClaim,
            namespace: valid.id.namespace.to_string(),
            name: name.clone(),
            manifest: json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": name, "namespace": valid.id.namespace,
                    "labels": labels::of(&valid.id, COMPONENT),
                },
                "spec": {"resources": {"requests": {"storage": storage.to_string()}}},
            }),
        });
    }
}
