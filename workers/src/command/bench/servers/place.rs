//! Names of a run on the servers: topics, keys and objects that nobody else has.

use std::{collections::BTreeMap, env, sync::Arc, sync::Mutex, sync::PoisonError, time::Duration};

use parking_crds::{
    pipeline::{GroupProtocol, SaslMechanism, SecurityProtocol},
    worker_config::CommitSettings,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use redis::FromRedisValue as _;
use uuid::Uuid;

use super::{
    super::{BenchError, scenario::PARTITIONS, stages::Ports},
    Machine, ServerArgs,
};
use crate::{
    adapters::{
        kafka::{KafkaEventLog, KafkaSettings},
        memory::MemoryStateStore,
        redis::{RedisCommands, RedisSettings, RedisStateStore},
        s3::{S3Credentials, S3Limits, S3Settings},
    },
    ingest::RedisCalls as _,
    ports::{
        event_log::{EventLog, Stream},
        state_store::StateStore,
    },
};

/// No call of the log waits longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Place {
    kafka: String,
    redis: RedisSettings,
    s3: S3Settings,
    run: String,
    topics: Mutex<Vec<String>>,
}

/// Streams in topics of their own, and the log on them.
pub(super) struct Streams {
    pub(super) name: String,
    pub(super) settings: KafkaSettings,
    pub(super) log: Arc<dyn EventLog>,
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "a run of the bench gets its name here")]
    pub(super) fn open(arguments: &ServerArgs) -> Result<Self, BenchError> {
        let run = format!("parking-bench-{}", Uuid::new_v4().simple());
        let given = |value: &Option<String>| value.clone().unwrap_or_default();
        let sentinel = given(&arguments.sentinel).parse().map_err(BenchError::scenario)?;
        let prefix = format!("{run}:").parse().map_err(BenchError::scenario)?;
        let keys = env::var("AWS_ACCESS_KEY_ID").ok().zip(env::var("AWS_SECRET_ACCESS_KEY").ok());
        let s3 = S3Settings {
            endpoint: arguments.s3.clone(),
            region: env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
            bucket: arguments.bucket.parse().map_err(BenchError::scenario)?,
            prefix: format!("{run}/").parse().map_err(BenchError::scenario)?,
            path_style: true,
            credentials: keys.map(|(access_key, secret_key)| S3Credentials { access_key, secret_key }),
            ca: None,
            limits: S3Limits::default(),
        };
        let mut redis = RedisSettings::new(vec![sentinel], arguments.master.clone(), prefix);
        redis.wait_replicas = arguments.wait_replicas;
        Ok(Self { kafka: given(&arguments.kafka), redis, s3, run, topics: Mutex::default() })
    }

    /// New streams.
    pub(super) async fn streams(&self, name: &str) -> Result<Streams, BenchError> {
        self.made(name, BTreeMap::new()).await
    }

    /// The events of `input`, and new streams for what becomes of them.
    pub(super) async fn outputs(&self, input: &Streams, name: &str) -> Result<Streams, BenchError> {
        let events = input.settings.topics.get(&Stream::Events).cloned().unwrap_or_default();
        self.made(name, [(Stream::Events, events)].into()).await
    }

    async fn made(&self, name: &str, shared: BTreeMap<Stream, String>) -> Result<Streams, BenchError> {
        let name = format!("{}.{name}", self.run);
        let own = Stream::ALL.into_iter().filter(|stream| !shared.contains_key(stream));
        let own: BTreeMap<_, _> = own.map(|stream| (stream, format!("{name}.{}", stream.as_str()))).collect();
        self.make(own.values()).await?;
        let topics = own.into_iter().chain(shared).collect();
        let settings = KafkaSettings {
            bootstrap_servers: self.kafka.clone(),
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: SaslMechanism::default(),
            login: None,
            ca: None,
            group: name.clone(),
            group_protocol: GroupProtocol::default(),
            client_id: "parking-bench".to_owned(),
            topics,
            partitions: PARTITIONS,
            timeout: TIMEOUT,
        };
        let log = open_when_known(&settings).await?;
        Ok(Streams { name, settings, log })
    }

    async fn make(&self, names: impl Iterator<Item = &String> + Clone) -> Result<(), BenchError> {
        let partitions = i32::try_from(PARTITIONS).unwrap_or(1);
        let topic = |name| {
            // The city lives in another year: its records are not too old for the log.
            NewTopic::new(name, partitions, TopicReplication::Fixed(1))
                .set("message.timestamp.type", "LogAppendTime")
        };
        let topics: Vec<_> = names.clone().map(|name| topic(name)).collect();
        let made = self.admin()?.create_topics(&topics, &AdminOptions::new()).await;
        for made in made.map_err(BenchError::scenario)? {
            made.map_err(|(topic, error)| BenchError::scenario(format!("topic {topic}: {error}")))?;
        }
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).extend(names.cloned());
        Ok(())
    }

    /// Deletes the topics.
    pub(super) async fn clear(&self) -> Result<(), BenchError> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let deleted = self.admin()?.delete_topics(&names, &AdminOptions::new()).await;
        deleted.map(drop).map_err(BenchError::scenario)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, BenchError> {
        ClientConfig::new().set("bootstrap.servers", &self.kafka).create().map_err(BenchError::scenario)
    }

    /// Keys in the Redis that belong to streams.
    pub(super) fn redis_of(&self, streams: &Streams) -> Result<RedisSettings, BenchError> {
        let prefix = format!("{}:", streams.name).parse().map_err(BenchError::scenario)?;
        Ok(RedisSettings { prefix, ..self.redis.clone() })
    }

    /// The machine, with what the Redis tells of itself.
    pub(super) async fn machine(&self) -> Result<Machine, BenchError> {
        let commands = RedisCommands::open(self.redis.clone()).map_err(BenchError::scenario)?;
        let told = commands.call(redis::cmd("INFO").arg("server")).await?;
        let told = String::from_redis_value(told).ok();
        Ok(Machine::with(told.as_deref()))
    }

    /// A place for a lake.
    pub(super) fn lake(&self, name: &str) -> Result<S3Settings, BenchError> {
        let prefix = format!("{}/{name}/", self.run).parse().map_err(BenchError::scenario)?;
        Ok(S3Settings { prefix, ..self.s3.clone() })
    }
}

/// The broker knows a topic a moment after it was made.
#[expect(clippy::disallowed_methods, reason = "nobody tells when a broker knows a topic")]
async fn open_when_known(settings: &KafkaSettings) -> Result<Arc<dyn EventLog>, BenchError> {
    for _ in 0..50 {
        match KafkaEventLog::open(settings.clone()).await {
            Ok(log) => return Ok(Arc::new(log)),
            Err(error) => tracing::debug!("the topics are not known yet: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Arc::new(KafkaEventLog::open(settings.clone()).await?))
}

impl Streams {
    /// With a state that dies with the process.
    pub(super) fn in_memory(&self) -> Ports {
        self.with(Arc::new(MemoryStateStore::default()))
    }

    /// Commits are those of a worker that nobody tuned.
    fn with(&self, store: Arc<dyn StateStore>) -> Ports {
        Ports { log: Arc::clone(&self.log), store, commit: CommitSettings::default().into() }
    }

    /// With a state in the Redis.
    pub(super) fn in_redis(&self, place: &Place) -> Result<Ports, BenchError> {
        let store = RedisStateStore::open(place.redis_of(self)?);
        Ok(self.with(Arc::new(store.map_err(BenchError::scenario)?)))
    }
}
