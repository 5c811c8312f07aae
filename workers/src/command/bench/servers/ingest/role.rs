//! The role `ingest` as its worker runs it, in this process, on a free port of loopback.

use std::{fs, path::Path, sync::Arc};

use parking_crds::{names::ObjectName, topology::PipelineId, worker_config::IngestSettings};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::super::{
    super::{
        BenchError,
        folder::Folder,
        scenario::{NAME, PARTITIONS},
        stages::{join, spawn},
    },
    place::{Place, Streams},
};
use crate::{
    adapters::{embedded::SystemClock, kafka::KafkaEventLog, redis::RedisCommands},
    ingest::{RedisEntries, Serving, serve},
};

/// Long enough for a key, and for a secret of plates.
const SECRET: &str = "a-secret-of-the-bench-and-of-nobody-else";

/// See the module; it ends with the value.
pub(super) struct Role {
    pub(super) address: String,
    /// For senders of the stream in the Redis.
    pub(super) redis: RedisCommands,
    pub(super) stream: String,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), BenchError>>,
    _secrets: Folder,
}

impl Role {
    pub(super) async fn start(place: &Place, streams: &Streams) -> Result<Self, BenchError> {
        let secrets = Folder::new(&std::env::temp_dir(), "ingest")?;
        let settings = IngestSettings {
            api_keys: Some(secret(secrets.path(), "keys", "sender")?),
            plate_keys: Some(secret(secrets.path(), "plates", "first")?),
            ..IngestSettings::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, redis) = (listener.local_addr()?.to_string(), place.redis_of(streams)?);
        let prefix = redis.prefix.as_str().to_owned();
        let commands = || RedisCommands::open(redis.clone()).map_err(BenchError::scenario);
        let serving = Serving {
            pipeline: PipelineId { namespace: named(NAME)?, name: named(NAME)? },
            partitions: PARTITIONS,
            settings,
            secrets: secrets.path().to_owned(),
            listener,
            entries: Some(Arc::new(RedisEntries::new(commands()?, &prefix, NAME))),
        };
        let log = Arc::new(KafkaEventLog::open(streams.settings.clone()).await?);
        let ((stop, stopped), mut tasks) = (watch::channel(false), JoinSet::new());
        let serving = serve(serving, log, Arc::new(SystemClock::new()), stopped);
        spawn(&mut tasks, async move { Ok(serving.await?) });
        let stream = format!("{prefix}ingest");
        Ok(Self { address, redis: commands()?, stream, stop, tasks, _secrets: secrets })
    }

    /// What a sender shows.
    pub(super) fn authorization() -> String {
        format!("Bearer {SECRET}")
    }

    /// Ends it as a worker is ended.
    pub(super) async fn end(mut self) -> Result<(), BenchError> {
        self.stop.send_replace(true);
        join(&mut self.tasks).await.map(drop)
    }
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, BenchError> {
    name.parse().map_err(BenchError::scenario)
}

fn secret(folder: &Path, name: &str, entry: &str) -> Result<ObjectName, BenchError> {
    fs::create_dir_all(folder.join(name))?;
    fs::write(folder.join(name).join(entry), SECRET)?;
    named(name)
}
