//! Where log, state and lake are, in the words of the worker configuration.

use crate::{
    names::ObjectName,
    pipeline::{
        ExternalKafka, ExternalRedis, Kafka, ManagedRedis, ObjectStore, Redis, SecurityProtocol, StrimziKafka,
    },
    reference::NameRef,
    role::Role,
    worker_config::{Lake, Log, Store},
};

use super::{PipelineId, TopologyError};

fn name(reference: Option<&NameRef>) -> Option<ObjectName> {
    reference.map(|reference| reference.name.clone())
}

pub(super) fn log(id: &PipelineId, kafka: &Kafka, role: Role) -> Result<Log, TopologyError> {
    match (&kafka.strimzi, &kafka.external) {
        (Some(strimzi), None) => Ok(strimzi_log(id, strimzi, role)),
        (None, Some(external)) => Ok(external_log(external)),
        _ => Err(TopologyError::ExactlyOne("spec.kafka")),
    }
}

/// The bootstrap service and Secrets as Strimzi names them; the operator replaces what it observes differently.
fn strimzi_log(id: &PipelineId, strimzi: &StrimziKafka, role: Role) -> Log {
    let namespace = strimzi.namespace.as_ref().unwrap_or(&id.namespace);
    let listener = strimzi.listener.as_deref().unwrap_or("tls");
    let (port, security_protocol) = if listener == "plain" {
        (9092, SecurityProtocol::SaslPlaintext)
    } else {
        (9093, SecurityProtocol::SaslSsl)
    };
    Log::Kafka {
        bootstrap_servers: format!("{}-kafka-bootstrap.{namespace}.svc:{port}", strimzi.cluster),
        security_protocol,
        sasl_mechanism: crate::pipeline::SaslMechanism::ScramSha512,
        credentials: Some(id.kafka_login(role)),
        ca: Some(id.kafka_ca_secret()),
    }
}

fn external_log(external: &ExternalKafka) -> Log {
    Log::Kafka {
        bootstrap_servers: external.bootstrap_servers.clone(),
        security_protocol: external.security_protocol.unwrap_or_default(),
        sasl_mechanism: external.sasl_mechanism.unwrap_or_default(),
        credentials: name(external.credentials_secret_ref.as_ref()),
        ca: name(external.ca_secret_ref.as_ref()),
    }
}

pub(super) fn store(id: &PipelineId, redis: &Redis) -> Result<Store, TopologyError> {
    match (&redis.managed, &redis.external) {
        (Some(managed), None) => Ok(managed_store(id, managed)),
        (None, Some(external)) => Ok(external_store(id, external)),
        _ => Err(TopologyError::ExactlyOne("spec.redis")),
    }
}

fn managed_store(id: &PipelineId, managed: &ManagedRedis) -> Store {
    let host = |index| format!("{0}-{index}.{0}.{1}.svc:26379", id.sentinel(), id.namespace);
    Store::Redis {
        sentinels: (0..managed.sentinels()).map(host).collect(),
        master_name: "mymaster".to_owned(),
        prefix: id.store_prefix(),
        credentials: Some(id.redis_secret()),
        sentinel_credentials: None,
        wait_replicas: managed.wait_replicas(),
        tls: false,
        ca: None,
    }
}

fn external_store(id: &PipelineId, external: &ExternalRedis) -> Store {
    Store::Redis {
        sentinels: external.sentinels.clone(),
        master_name: external.master_name().to_owned(),
        prefix: id.store_prefix(),
        credentials: name(external.credentials_secret_ref.as_ref()),
        sentinel_credentials: name(external.sentinel_credentials_secret_ref.as_ref()),
        wait_replicas: external.wait_replicas(),
        tls: external.tls.is_some(),
        ca: external.tls.as_ref().and_then(|tls| name(tls.ca_secret_ref.as_ref())),
    }
}

pub(super) fn lake(id: &PipelineId, store: &ObjectStore) -> Lake {
    Lake::S3 {
        endpoint: store.endpoint.clone(),
        region: store.region().to_owned(),
        bucket: store.bucket.clone(),
        prefix: id.lake_prefix(),
        path_style: store.path_style(),
        credentials: name(store.credentials_secret_ref.as_ref()),
        ca: name(store.ca_secret_ref.as_ref()),
        retention: store.retention,
    }
}
