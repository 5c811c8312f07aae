//! The servers of a configuration, as ports.
//!
//! Invariant: a server that is away at the start is waited for, as it would be later; what only a person can mend
//! (a wrong name, a missing topic, a refused login) is tried again, too, more slowly, and logged each time.

use std::{path::Path, sync::Arc, time::Duration as StdDuration};

use parking_crds::{
    duration::Duration,
    stats_run::{KafkaTarget, StatsRunConfig},
    worker_config::{Log, Store, WorkerConfig},
};
use tokio::sync::watch;

use super::{WorkerError, secrets::Secrets};
use crate::{
    ingest::EntryStream,
    ports::{
        clock::Clock,
        event_log::{EventLog, Stream},
        live_view::LiveView,
        membership::Membership,
        object_store::ObjectStore,
        state_store::StateStore,
    },
    sentence::sentence,
};

/// Name of this worker over restarts, where its surroundings give it one.
#[cfg(any(feature = "kafka", feature = "redis"))]
const INSTANCE: &str = "POD_NAME";
/// No call of the log waits longer.
const LOG_TIMEOUT: StdDuration = StdDuration::from_secs(20);
const FIRST_PAUSE_MS: i64 = 250;
const LONGEST_PAUSE_MS: i64 = 15_000;

/// The log of a worker; `None` where it was told to end before the log was there.
pub(super) async fn log(
    config: &WorkerConfig,
    clock: &dyn Clock,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Arc<dyn EventLog>>, WorkerError> {
    let settings = kafka_settings(config)?;
    let mut pause = FIRST_PAUSE_MS;
    loop {
        let opened = tokio::select! {
            opened = open_log(&settings) => opened,
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        };
        match opened {
            Ok(log) => return Ok(Some(log)),
            Err(error) => tracing::warn!("waiting for the log: {}", sentence(&error)),
        }
        tokio::select! {
            () = clock.pause(Duration::from_millis(pause)) => pause = (pause * 2).min(LONGEST_PAUSE_MS),
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

#[cfg(feature = "kafka")]
type KafkaSettings = crate::adapters::kafka::KafkaSettings;
#[cfg(not(feature = "kafka"))]
enum KafkaSettings {}

#[cfg(feature = "kafka")]
async fn open_log(settings: &KafkaSettings) -> Result<Arc<dyn EventLog>, crate::ports::PortError> {
    Ok(Arc::new(crate::adapters::kafka::KafkaEventLog::open(settings.clone()).await?))
}

#[cfg(not(feature = "kafka"))]
async fn open_log(settings: &KafkaSettings) -> Result<Arc<dyn EventLog>, crate::ports::PortError> {
    match *settings {}
}

/// The worker's place among those of its role, which share the partitions of a stream.
#[cfg(feature = "kafka")]
pub(super) fn membership(config: &WorkerConfig, shared: Stream) -> Result<Arc<dyn Membership>, WorkerError> {
    let instance = std::env::var(INSTANCE).ok();
    let settings = kafka_settings(config)?;
    Ok(Arc::new(crate::adapters::kafka::KafkaGroup::join(&settings, shared, instance.as_deref())?))
}

#[cfg(not(feature = "kafka"))]
pub(super) fn membership(config: &WorkerConfig, _: Stream) -> Result<Arc<dyn Membership>, WorkerError> {
    match kafka_settings(config)? {}
}

#[cfg(feature = "kafka")]
fn kafka_settings(config: &WorkerConfig) -> Result<KafkaSettings, WorkerError> {
    Ok(KafkaSettings {
        group: config.group.to_string(),
        group_protocol: config.group_protocol,
        client_id: format!("parking-{}-{}", config.pipeline.name, config.role),
        topics: config.streams.iter().map(|(stream, topic)| (*stream, topic.to_string())).collect(),
        partitions: u32::from(config.events.partitions),
        ..cluster("log", &config.log, &config.secrets)?
    })
}

/// How to get to a cluster, with none of its topics.
#[cfg(feature = "kafka")]
fn cluster(field: &'static str, log: &Log, secrets: &str) -> Result<KafkaSettings, WorkerError> {
    use crate::adapters::kafka::KafkaLogin;

    let Log::Kafka { bootstrap_servers, security_protocol, sasl_mechanism, credentials, ca } = log else {
        return Err(embedded(field));
    };
    let secrets = Secrets(Path::new(secrets));
    let login = match credentials {
        None => None,
        Some(name) => {
            // A user's Secret of Strimzi is named as the user and holds the password alone.
            let username = secrets.optional(name, "username")?.unwrap_or_else(|| name.to_string());
            Some(KafkaLogin { username, password: secrets.text(name, "password")? })
        }
    };
    let ca = ca.as_ref().map(|name| secrets.text(name, "ca.crt")).transpose()?;
    Ok(KafkaSettings {
        bootstrap_servers: bootstrap_servers.clone(),
        security_protocol: *security_protocol,
        sasl_mechanism: *sasl_mechanism,
        login,
        ca,
        group: String::new(),
        group_protocol: parking_crds::pipeline::GroupProtocol::default(),
        client_id: String::new(),
        topics: std::collections::BTreeMap::new(),
        partitions: 0,
        timeout: LOG_TIMEOUT,
    })
}

/// The topic that results of a statistics job go to.
#[cfg(feature = "kafka")]
pub(super) fn results_topic(
    config: &StatsRunConfig,
    target: &KafkaTarget,
) -> Result<crate::adapters::kafka::KeyedTopic, WorkerError> {
    let client_id = format!("parking-{}-stats-{}", config.pipeline.name, config.job);
    let settings = KafkaSettings { client_id, ..cluster("kafka.log", &target.log, &config.secrets)? };
    Ok(crate::adapters::kafka::KeyedTopic::new(&settings, target.topic.as_str()))
}

#[cfg(not(feature = "kafka"))]
fn kafka_settings(_: &WorkerConfig) -> Result<KafkaSettings, WorkerError> {
    Err(WorkerError::Feature { field: "log.kafka", feature: "kafka" })
}

fn embedded(field: &'static str) -> WorkerError {
    let reason = "a worker of its own needs a server; `parking up` runs on a data folder".to_owned();
    WorkerError::Setting { field, reason }
}

/// A state store with the live view beside it.
pub(super) trait LiveStore: StateStore + LiveView {}

impl<S: StateStore + LiveView> LiveStore for S {}

/// The store of a worker. It connects with its first call.
#[cfg(feature = "redis")]
pub(super) fn store(config: &WorkerConfig) -> Result<Arc<dyn LiveStore>, WorkerError> {
    let settings = redis_settings("store", &config.store, &config.secrets)?;
    let opened = crate::adapters::redis::RedisStateStore::open(settings);
    Ok(Arc::new(opened.map_err(|error| redis_refused(&error))?))
}

/// The stream in Redis that records are taken from, too, if the pipeline wants it.
#[cfg(feature = "redis")]
#[expect(clippy::disallowed_methods, reason = "a process without a name gets one here")]
pub(super) fn entries(config: &WorkerConfig) -> Result<Option<Arc<dyn EntryStream>>, WorkerError> {
    use crate::{adapters::redis::RedisCommands, ingest::RedisEntries};

    if !config.ingest.as_ref().is_some_and(|ingest| ingest.redis_stream) {
        return Ok(None);
    }
    let settings = redis_settings("store", &config.store, &config.secrets)?;
    let prefix = settings.prefix.clone();
    let commands = RedisCommands::open(settings).map_err(|error| redis_refused(&error))?;
    let consumer = std::env::var(INSTANCE).unwrap_or_else(|_| uuid::Uuid::new_v4().to_string());
    Ok(Some(Arc::new(RedisEntries::new(commands, prefix.as_str(), consumer))))
}

#[cfg(not(feature = "redis"))]
pub(super) fn entries(config: &WorkerConfig) -> Result<Option<Arc<dyn EntryStream>>, WorkerError> {
    match &config.ingest {
        Some(ingest) if ingest.redis_stream => {
            Err(WorkerError::Feature { field: "ingest.redisStream", feature: "redis" })
        }
        _ => Ok(None),
    }
}

/// The Redis that results of a statistics job go to. It connects with its first call.
#[cfg(feature = "redis")]
pub(super) fn results_redis(
    config: &StatsRunConfig,
    store: &Store,
) -> Result<crate::adapters::redis::RedisStatistics, WorkerError> {
    let settings = redis_settings("redis", store, &config.secrets)?;
    crate::adapters::redis::RedisStatistics::open(settings).map_err(|error| redis_refused(&error))
}

#[cfg(feature = "redis")]
fn redis_refused(error: &crate::adapters::redis::SettingsError) -> WorkerError {
    WorkerError::Setting { field: "store.redis", reason: error.to_string() }
}

#[cfg(feature = "redis")]
fn redis_settings(
    field: &'static str,
    store: &Store,
    secrets: &str,
) -> Result<crate::adapters::redis::RedisSettings, WorkerError> {
    use parking_crds::names::ObjectName;

    use crate::adapters::redis::{Login, RedisSettings, Tls};

    let Store::Redis {
        sentinels,
        master_name,
        prefix,
        credentials,
        sentinel_credentials,
        wait_replicas,
        tls,
        ca,
    } = store
    else {
        return Err(embedded(field));
    };
    let sentinels = sentinels.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
    let sentinels = sentinels.map_err(|error| redis_refused(&error))?;
    let secrets = Secrets(Path::new(secrets));
    let mut settings = RedisSettings::new(sentinels, master_name, prefix.clone());
    let login = |name: &ObjectName| -> Result<Login, WorkerError> {
        Ok(Login { user: secrets.optional(name, "username")?, password: secrets.text(name, "password")? })
    };
    settings.login = credentials.as_ref().map(login).transpose()?;
    settings.sentinel_login = sentinel_credentials.as_ref().map(login).transpose()?;
    settings.wait_replicas = *wait_replicas;
    if *tls {
        let ca = ca.as_ref().map(|name| secrets.text(name, "ca.crt")).transpose()?;
        settings.tls = Some(Tls { ca: ca.map(String::into_bytes) });
    }
    Ok(settings)
}

#[cfg(not(feature = "redis"))]
pub(super) fn store(_: &WorkerConfig) -> Result<Arc<dyn LiveStore>, WorkerError> {
    Err(WorkerError::Feature { field: "store.redis", feature: "redis" })
}

/// Where objects and tables are.
#[cfg(feature = "s3")]
pub(super) fn bucket(config: &WorkerConfig) -> Result<crate::adapters::s3::S3Settings, WorkerError> {
    bucket_of(&config.lake, &config.secrets)
}

/// Where the objects and tables of a lake are.
#[cfg(feature = "s3")]
pub(super) fn bucket_of(
    lake: &parking_crds::worker_config::Lake,
    secrets: &str,
) -> Result<crate::adapters::s3::S3Settings, WorkerError> {
    use parking_crds::worker_config::Lake;

    use crate::adapters::s3::{S3Credentials, S3Limits, S3Settings};

    let Lake::S3 { endpoint, region, bucket, prefix, path_style, credentials, ca, retention: _ } = lake
    else {
        return Err(embedded("lake"));
    };
    let secrets = Secrets(Path::new(secrets));
    let keys = |name| -> Result<S3Credentials, WorkerError> {
        Ok(S3Credentials {
            access_key: secrets.text(name, "accessKey")?,
            secret_key: secrets.text(name, "secretKey")?,
        })
    };
    Ok(S3Settings {
        endpoint: endpoint.clone(),
        region: region.clone(),
        bucket: bucket.clone(),
        prefix: prefix.clone(),
        path_style: *path_style,
        credentials: credentials.as_ref().map(keys).transpose()?,
        ca: ca.as_ref().map(|name| secrets.text(name, "ca.crt")).transpose()?,
        limits: S3Limits::default(),
    })
}

/// Where the tables of a lake are.
#[cfg(feature = "s3")]
pub(super) fn lake(
    lake: &parking_crds::worker_config::Lake,
    secrets: &str,
) -> Result<crate::adapters::lake::LakePlace, WorkerError> {
    Ok(bucket_of(lake, secrets)?.into())
}

#[cfg(not(feature = "s3"))]
pub(super) fn lake(
    _: &parking_crds::worker_config::Lake,
    _: &str,
) -> Result<crate::adapters::lake::LakePlace, WorkerError> {
    Err(WorkerError::Feature { field: "lake.s3", feature: "s3" })
}

/// The objects of the pipeline.
#[cfg(feature = "s3")]
pub(super) fn objects(config: &WorkerConfig) -> Result<Arc<dyn ObjectStore>, WorkerError> {
    Ok(Arc::new(crate::adapters::s3::S3ObjectStore::open(&bucket(config)?)?))
}

#[cfg(not(feature = "s3"))]
pub(super) fn objects(_: &WorkerConfig) -> Result<Arc<dyn ObjectStore>, WorkerError> {
    Err(WorkerError::Feature { field: "lake.s3", feature: "s3" })
}
