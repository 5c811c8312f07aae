//! Whether the Kafka cluster that a pipeline names can be used, and what Strimzi says of its topics and users.
//!
//! Must not: treat a resource without `Ready` as failed, since Strimzi drops it from what it leaves alone.
//! Invariants: whatever only delays (a cluster that restarts, a login that is not there yet) is told and prevents
//! nothing; only what makes a plan impossible or wrong is an `Err`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::ResourceExt;
use parking_crds::{
    condition::{ConditionType, Reason},
    names::{Namespace, UserName},
    pipeline::{Kafka as KafkaSpec, SaslMechanism, SecurityProtocol, StrimziKafka},
    role::Role,
    topology::{PipelineId, Topology},
    worker_config::Log,
};

use super::{Authentication, Credentials, ExternalCluster, StrimziCluster, ValidKafka, topic::both};
use crate::{
    apis::StrimziVersion,
    error::Class,
    foreign::strimzi::{Kafka, KafkaUser, Listener, condition},
    problem::Problem,
};

/// Annotation of a `Kafka` resource: namespaces whose pipelines may use it, separated by commas, or `*`.
pub const ALLOWED_NAMESPACES: &str = "parking.tinyx.io/allowed-namespaces";

/// What was seen of a cluster run by Strimzi; for any other cluster all of it is empty.
#[derive(Clone, Debug, Default)]
pub struct SeenKafka {
    /// The newest Strimzi API that is served.
    pub version: Option<StrimziVersion>,
    /// The `Kafka` resource that the pipeline names.
    pub kafka: Option<Kafka>,
    /// The pipeline's users beside it, by name.
    pub users: BTreeMap<String, KafkaUser>,
    /// Secrets beside it, by name: those that the users' status names, and the cluster's authority; data keys and base64 values.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
}

/// The cluster that a pipeline uses, with what is not right yet but prevents nothing; or why it has none.
pub fn kafka(
    spec: &KafkaSpec,
    topology: &Topology,
    seen: &SeenKafka,
    allowed: &BTreeMap<Namespace, Vec<Namespace>>,
) -> Result<(ValidKafka, Vec<Problem>), Vec<Problem>> {
    match (&spec.strimzi, &spec.external) {
        (Some(strimzi), None) => {
            let (cluster, problems) = strimzi_cluster(strimzi, topology, seen, allowed)?;
            Ok((ValidKafka::Strimzi(cluster), problems))
        }
        (None, Some(external)) => {
            let cluster = ExternalCluster {
                bootstrap_servers: external.bootstrap_servers.clone(),
                security_protocol: external.security_protocol.unwrap_or_default(),
            };
            Ok((ValidKafka::External(cluster), Vec::new()))
        }
        _ => Err(vec![Problem::invalid(
            ConditionType::TopicsReady,
            "spec.kafka must have exactly one of strimzi and external: remove or add one",
        )]),
    }
}

fn strimzi_cluster(
    spec: &StrimziKafka,
    topology: &Topology,
    seen: &SeenKafka,
    allowed: &BTreeMap<Namespace, Vec<Namespace>>,
) -> Result<(StrimziCluster, Vec<Problem>), Vec<Problem>> {
    let id = &topology.pipeline;
    let namespace = spec.namespace.as_ref().unwrap_or(&id.namespace);
    let name = format!("{namespace}/{}", spec.cluster);
    let Some(version) = seen.version else {
        let message =
            "the API kafka.strimzi.io is not installed: install Strimzi, or use spec.kafka.external";
        return Err(both(Reason::ApiAbsent, message));
    };
    let Some(kafka) = &seen.kafka else {
        let message = format!(
            "there is no Kafka {name}: create it, or correct spec.kafka.strimzi.cluster and namespace"
        );
        return Err(both(Reason::RefNotFound, message));
    };
    if !may_use(&id.namespace, namespace, kafka, allowed) {
        let message = format!(
            "the namespace {} may not use Kafka {name}: its owner sets the annotation {ALLOWED_NAMESPACES}: \
             {} on it, or the operator's chart lists the namespace in kafkaNamespaces",
            id.namespace, id.namespace
        );
        return Err(both(Reason::NotAllowed, message));
    }
    let usable = usable_listener(spec, kafka, &name);
    let problems: Vec<Problem> =
        simple_authorization(kafka, &name).into_iter().chain(usable.clone().err()).collect();
    let (Ok((listener, authentication)), true) = (usable, problems.is_empty()) else { return Err(problems) };
    let status = kafka.status.clone().unwrap_or_default();
    let found = status.listeners.iter().find(|found| found.name == listener.name);
    let Some(bootstrap_servers) = found.and_then(|found| found.bootstrap_servers.clone()) else {
        let message = format!("Kafka {name} has no address for the listener {} yet", listener.name);
        return Err(both(Reason::Waiting, message));
    };
    let mut problems = not_ready(kafka, &name);
    let mut credentials = BTreeMap::new();
    for worker in &topology.workers {
        match login(&worker.user, namespace, authentication, seen) {
            Ok(login) => drop(credentials.insert(worker.config.role, login)),
            Err(problem) => problems.push(problem),
        }
    }
    let ca = found.and_then(|found| authority(&found.certificates, spec, seen)).filter(|_| listener.tls);
    if listener.tls && ca.is_none() {
        let message = format!(
            "Kafka {name} shows no certificate authority yet: wait, or look at Secret {}",
            authority_secret(spec)
        );
        problems.push(Problem::waiting(ConditionType::UsersReady, message));
    }
    let cluster = StrimziCluster {
        namespace: namespace.clone(),
        cluster: spec.cluster.clone(),
        version,
        authentication,
        encrypted: listener.tls,
        bootstrap_servers,
        credentials,
        scaler_credentials: login(&id.scaler_user(), namespace, authentication, seen).ok(),
        ca,
    };
    Ok((cluster, problems))
}

/// Secret in which Strimzi keeps the certificate authority of a cluster, beside it.
pub fn authority_secret(spec: &StrimziKafka) -> String {
    format!("{}-cluster-ca-cert", spec.cluster)
}

/// What signs the listener's certificate, in base64: as its status says, else the cluster's own authority.
fn authority(certificates: &[String], spec: &StrimziKafka, seen: &SeenKafka) -> Option<String> {
    if certificates.is_empty() {
        seen.secrets.get(&authority_secret(spec))?.get("ca.crt").cloned()
    } else {
        Some(base64(certificates.join("\n")))
    }
}

fn may_use(
    pipeline: &Namespace,
    kafka_namespace: &Namespace,
    kafka: &Kafka,
    allowed: &BTreeMap<Namespace, Vec<Namespace>>,
) -> bool {
    let by_chart = || allowed.get(kafka_namespace).is_some_and(|list| list.contains(pipeline));
    let by_annotation = || {
        let list = kafka.annotations().get(ALLOWED_NAMESPACES).map(String::as_str).unwrap_or_default();
        list.split(',').map(str::trim).any(|name| name == "*" || name == pipeline.as_str())
    };
    pipeline == kafka_namespace || by_chart() || by_annotation()
}

fn users_problem(reason: Reason, message: String) -> Problem {
    Problem { condition: ConditionType::UsersReady, reason, class: Class::Blocked, message }
}

fn simple_authorization(kafka: &Kafka, name: &str) -> Option<Problem> {
    let found = kafka.spec.kafka.authorization.as_ref().map(|authorization| authorization.type_.as_str());
    (found != Some("simple")).then(|| {
        let message = format!(
            "Kafka {name} has authorization `{}`, under which users get no rights: set spec.kafka.authorization.type \
             of the Kafka to simple",
            found.unwrap_or("none")
        );
        users_problem(Reason::Invalid, message)
    })
}

fn usable_listener<'a>(
    spec: &StrimziKafka,
    kafka: &'a Kafka,
    name: &str,
) -> Result<(&'a Listener, Authentication), Problem> {
    let wanted = spec.listener.as_deref().unwrap_or("tls");
    let listeners = &kafka.spec.kafka.listeners;
    let Some(listener) = listeners.iter().find(|listener| listener.name == wanted) else {
        let names: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let message = format!(
            "Kafka {name} has no listener {wanted}: set spec.kafka.strimzi.listener to one of {}",
            names.join(", ")
        );
        return Err(users_problem(Reason::RefNotFound, message));
    };
    match listener.authentication.as_ref().map(|authentication| authentication.type_.as_str()) {
        Some("tls") => Ok((listener, Authentication::Tls)),
        Some("scram-sha-512") => Ok((listener, Authentication::ScramSha512)),
        other => {
            let message = format!(
                "the listener {wanted} of Kafka {name} has authentication `{}`: choose a listener with tls or \
                 scram-sha-512, or set its authentication.type to one of them",
                other.unwrap_or("none")
            );
            Err(users_problem(Reason::Invalid, message))
        }
    }
}

fn not_ready(kafka: &Kafka, name: &str) -> Vec<Problem> {
    let status = kafka.status.as_ref();
    let ready = status.and_then(|status| condition(&status.conditions, "Ready"));
    if ready.is_some_and(|ready| ready.status == "True") {
        return Vec::new();
    }
    let said = ready.and_then(|ready| ready.message.as_deref()).unwrap_or("Strimzi has not said why");
    both(Reason::Waiting, format!("Kafka {name} is not ready: {said}"))
}

/// The members of a user's Secret that workers read.
fn login(
    name: &UserName,
    namespace: &Namespace,
    authentication: Authentication,
    seen: &SeenKafka,
) -> Result<Credentials, Problem> {
    let waiting = |what: &str| {
        let message =
            format!("KafkaUser {namespace}/{name} {what}: wait, or look at Strimzi's user operator");
        users_problem(Reason::Waiting, message)
    };
    let user = seen.users.get(name.as_str()).ok_or_else(|| waiting("does not exist yet"))?;
    let status = user.status.as_ref().ok_or_else(|| waiting("was not looked at yet"))?;
    if let Some(failed) = condition(&status.conditions, "Ready").filter(|ready| ready.status == "False") {
        let said = failed.message.as_deref().or(failed.reason.as_deref()).unwrap_or("no reason given");
        let message = format!("Strimzi cannot make KafkaUser {namespace}/{name}: {said}");
        return Err(users_problem(Reason::DependencyFailed, message));
    }
    let secret = status.secret.as_ref().and_then(|secret| seen.secrets.get(secret));
    let secret = secret.ok_or_else(|| waiting("has no Secret yet"))?;
    let member = |key: &str| Some((key.to_owned(), secret.get(key)?.clone()));
    let data = match authentication {
        Authentication::Tls => [member("user.crt"), member("user.key")],
        Authentication::ScramSha512 => {
            let username = status.username.clone().unwrap_or_else(|| name.to_string());
            [Some(("username".to_owned(), base64(username))), member("password")]
        }
    };
    let data: Option<BTreeMap<String, String>> = data.into_iter().collect();
    data.map(|data| Credentials { data }).ok_or_else(|| waiting("has a Secret without a login yet"))
}

fn base64(text: String) -> String {
    let encoded = serde_json::to_value(ByteString(text.into_bytes())).unwrap_or_default();
    encoded.as_str().unwrap_or_default().to_owned()
}

/// Where a role finds the log, as it was observed; nothing for a cluster that the spec describes by itself.
pub fn observed_log(kafka: &ValidKafka, id: &PipelineId, role: Role) -> Option<Log> {
    let ValidKafka::Strimzi(cluster) = kafka else { return None };
    let security_protocol = match (cluster.authentication, cluster.encrypted) {
        (Authentication::Tls, _) => SecurityProtocol::Ssl,
        (Authentication::ScramSha512, true) => SecurityProtocol::SaslSsl,
        (Authentication::ScramSha512, false) => SecurityProtocol::SaslPlaintext,
    };
    Some(Log::Kafka {
        bootstrap_servers: cluster.bootstrap_servers.clone(),
        security_protocol,
        sasl_mechanism: SaslMechanism::ScramSha512,
        credentials: Some(id.kafka_login(role)),
        ca: cluster.encrypted.then(|| id.kafka_ca_secret()),
    })
}

#[cfg(test)]
mod tests;
