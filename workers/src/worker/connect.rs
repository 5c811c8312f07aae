//! The servers of a configuration, as ports.
//!
//! Invariant: a server that is away at the start is waited for, as it would be later; what only a person can mend
//! (a wrong name, a missing topic, a refused login) is tried again, too, more slowly, and logged each time.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration as StdDuration};

use parking_crds::{
    duration::Duration,
    stream,
    worker_config::{Log, Store, WorkerConfig},
};
use tokio::sync::watch;

use super::{WorkerError, secrets::Secrets};
use crate::{
    ports::{
        clock::Clock,
        event_log::{EventLog, Stream},
        membership::Membership,
        state_store::StateStore,
    },
    sentence::sentence,
};

/// No call of the log waits longer.
const LOG_TIMEOUT: StdDuration = StdDuration::from_secs(20);
const FIRST_PAUSE_MS: i64 = 250;
const LONGEST_PAUSE_MS: i64 = 15_000;

fn stream_of(stream: stream::Stream) -> Stream {
    match stream {
        stream::Stream::Events => Stream::Events,
        stream::Stream::Sessions => Stream::Sessions,
        stream::Stream::Alerts => Stream::Alerts,
        stream::Stream::DeadLetters => Stream::DeadLetters,
    }
}

/// The log of a worker; `None` where it was told to end before the log was there.
pub(super) async fn log(
    config: &WorkerConfig,
    clock: &dyn Clock,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Arc<dyn EventLog>>, WorkerError> {
    let settings = kafka_settings(config)?;
    let mut pause = FIRST_PAUSE_MS;
    loop {
        match open_log(&settings).await {
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

/// The worker's place among those of its role.
#[cfg(feature = "kafka")]
pub(super) fn membership(
    config: &WorkerConfig,
    instance: Option<&str>,
) -> Result<Arc<dyn Membership>, WorkerError> {
    let group = crate::adapters::kafka::KafkaGroup::join(&kafka_settings(config)?, Stream::Events, instance)?;
    Ok(Arc::new(group))
}

#[cfg(not(feature = "kafka"))]
pub(super) fn membership(config: &WorkerConfig, _: Option<&str>) -> Result<Arc<dyn Membership>, WorkerError> {
    match kafka_settings(config)? {}
}

#[cfg(feature = "kafka")]
fn kafka_settings(config: &WorkerConfig) -> Result<KafkaSettings, WorkerError> {
    use crate::adapters::kafka::KafkaLogin;

    let Log::Kafka { bootstrap_servers, security_protocol, sasl_mechanism, credentials, ca } = &config.log
    else {
        return Err(embedded("log"));
    };
    let secrets = Secrets(Path::new(&config.secrets));
    let login = match credentials {
        None => None,
        Some(name) => {
            // A user's Secret of Strimzi is named as the user and holds the password alone.
            let username = secrets.optional(name, "username")?.unwrap_or_else(|| name.to_string());
            Some(KafkaLogin { username, password: secrets.text(name, "password")? })
        }
    };
    let ca = ca.as_ref().map(|name| secrets.text(name, "ca.crt")).transpose()?;
    let topics: BTreeMap<_, _> =
        config.streams.iter().map(|(stream, topic)| (stream_of(*stream), topic.to_string())).collect();
    Ok(KafkaSettings {
        bootstrap_servers: bootstrap_servers.clone(),
        security_protocol: *security_protocol,
        sasl_mechanism: *sasl_mechanism,
        login,
        ca,
        group: config.group.to_string(),
        client_id: format!("parking-{}-{}", config.pipeline.name, config.role),
        topics,
        partitions: u32::from(config.events.partitions),
        timeout: LOG_TIMEOUT,
    })
}

#[cfg(not(feature = "kafka"))]
fn kafka_settings(_: &WorkerConfig) -> Result<KafkaSettings, WorkerError> {
    Err(WorkerError::Feature { field: "log.kafka", feature: "kafka" })
}

fn embedded(field: &'static str) -> WorkerError {
    let reason = "a worker of its own needs a server; `parking up` runs on a data folder".to_owned();
    WorkerError::Setting { field, reason }
}

/// The store of a worker. It connects with its first call.
#[cfg(feature = "redis")]
pub(super) fn store(config: &WorkerConfig) -> Result<Arc<dyn StateStore>, WorkerError> {
    use crate::adapters::redis::{Login, RedisSettings, RedisStateStore, Tls};

    let Store::Redis { sentinels, master_name, prefix, credentials, tls, ca } = &config.store else {
        return Err(embedded("store"));
    };
    let setting = |error: crate::adapters::redis::SettingsError| WorkerError::Setting {
        field: "store.redis",
        reason: error.to_string(),
    };
    let sentinels =
        sentinels.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>().map_err(setting)?;
    let secrets = Secrets(Path::new(&config.secrets));
    let mut settings = RedisSettings::new(sentinels, master_name, prefix.clone());
    if let Some(name) = credentials {
        let login =
            Login { user: secrets.optional(name, "username")?, password: secrets.text(name, "password")? };
        settings.sentinel_login = Some(login.clone());
        settings.login = Some(login);
    }
    if *tls {
        let ca = ca.as_ref().map(|name| secrets.text(name, "ca.crt")).transpose()?;
        settings.tls = Some(Tls { ca: ca.map(String::into_bytes) });
    }
    Ok(Arc::new(RedisStateStore::open(settings).map_err(setting)?))
}

#[cfg(not(feature = "redis"))]
pub(super) fn store(_: &WorkerConfig) -> Result<Arc<dyn StateStore>, WorkerError> {
    Err(WorkerError::Feature { field: "store.redis", feature: "redis" })
}
