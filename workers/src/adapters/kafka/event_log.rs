//! The event log in Kafka: one topic a stream.
//!
//! Invariant: a stream is named by the cluster's and the topic's id together, so that offsets of a topic that was
//! made anew, or of another cluster under the same address, are never taken for those of the old one (L5).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    config::FromClientConfigAndContext as _,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::{
    sync::{Mutex, Notify},
    task,
};
use uuid::Uuid;

use super::{
    error::read_error,
    producer::{Producer, Target},
    reader::{Client, KnownEnd, Reader, Troubles},
    settings::KafkaSettings,
    topic_id::fetch_topic_id,
};
use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts, Stream, StreamPartition},
};

/// How often the reading client hears of errors, and whether it shall end.
const HEARING: Duration = Duration::from_millis(100);
/// How long a wait trusts that news come by themselves.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a wait rests whose news do not.
const ASK_AGAIN: Duration = Duration::from_millis(50);

struct Place {
    topic: Arc<str>,
    number: i32,
    known_end: Arc<KnownEnd>,
    arrived: Arc<Notify>,
    reader: Arc<Mutex<Option<Reader>>>,
}

/// See the module. Those who read the same partition at different places take a log each.
pub struct KafkaEventLog {
    client: Arc<Client>,
    producer: Producer,
    places: BTreeMap<StreamPartition, Place>,
    topics: BTreeMap<Stream, Arc<str>>,
    timeout: Duration,
    ends: Arc<AtomicBool>,
}

impl KafkaEventLog {
    /// Connects, and checks that every topic is there with as many partitions as the pipeline has.
    pub async fn open(settings: KafkaSettings) -> PortResult<Self> {
        let attempt = || format!("opening the log at {}", settings.bootstrap_servers);
        let client = Client::from_config_and_context(&settings.reader(), Troubles::default());
        let client = Arc::new(client.map_err(|error| read_error(attempt(), &error))?);
        let ends = Arc::new(AtomicBool::new(false));
        listen(&client, &ends).map_err(|error| PortError::caused(ErrorKind::Transient, attempt(), error))?;
        let topics: BTreeMap<Stream, Arc<str>> =
            settings.topics.iter().map(|(stream, topic)| (*stream, Arc::from(topic.as_str()))).collect();
        let mut places = BTreeMap::new();
        for (&stream, topic) in &topics {
            for partition in 0..settings.partitions {
                let place = Place {
                    topic: Arc::clone(topic),
                    number: i32::try_from(partition).unwrap_or(i32::MAX),
                    known_end: Arc::default(),
                    arrived: Arc::default(),
                    reader: Arc::default(),
                };
                places.insert(StreamPartition { stream, partition }, place);
            }
        }
        let log = Self {
            producer: Producer::new(settings.producer()),
            timeout: settings.timeout,
            client,
            places,
            topics,
            ends,
        };
        for topic in log.topics.values() {
            log.check_topic(topic, settings.partitions).await?;
        }
        Ok(log)
    }

    async fn check_topic(&self, topic: &Arc<str>, partitions: u32) -> PortResult<()> {
        let (client, name, timeout) = (Arc::clone(&self.client), Arc::clone(topic), self.timeout);
        let count = blocking(move || {
            let metadata = client.fetch_metadata(Some(&name), timeout);
            let metadata =
                metadata.map_err(|error| read_error(format!("asking for topic {name}"), &error))?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == &*name);
            Ok(topic.filter(|topic| topic.error().is_none()).map(|topic| topic.partitions().len()))
        });
        let attempt = || format!("opening topic {topic}");
        match count.await.map_err(|error| self.explain(error))? {
            Some(count) if u32::try_from(count) == Ok(partitions) => Ok(()),
            Some(count) => {
                let reason = format!(
                    "it has {count} partitions and the pipeline {partitions}: records of one zone would lose their order; make the topic anew, or the pipeline with {count}"
                );
                Err(PortError::caused(ErrorKind::Invalid, attempt(), reason))
            }
            None => {
                let reason = "there is no such topic, or this user may not see it";
                Err(PortError::caused(ErrorKind::Invalid, attempt(), reason))
            }
        }
    }

    /// The error, with why no broker could be talked to.
    fn explain(&self, error: PortError) -> PortError {
        match self.client.context().take() {
            Some((trouble, reason)) => {
                tracing::debug!("{error}");
                read_error(format!("{}: {reason}", error.attempt), &trouble)
            }
            None => error,
        }
    }

    fn place(&self, at: StreamPartition) -> PortResult<&Place> {
        self.places.get(&at).ok_or_else(|| at.missing())
    }

    /// Calls the partition's reader, on a thread on which it may block.
    async fn with_reader<T: Send + 'static>(
        &self,
        at: StreamPartition,
        call: impl FnOnce(&mut Reader) -> PortResult<T> + Send + 'static,
    ) -> PortResult<T> {
        let place = self.place(at)?;
        let (client, topic, number) = (Arc::clone(&self.client), Arc::clone(&place.topic), place.number);
        let (known_end, arrived) = (Arc::clone(&place.known_end), Arc::clone(&place.arrived));
        let (reader, timeout) = (Arc::clone(&place.reader), self.timeout);
        blocking(move || {
            let mut slot = reader.blocking_lock();
            if slot.is_none() {
                *slot = Some(Reader::new(&client, &topic, number, &known_end, &arrived, timeout)?);
            }
            slot.as_mut().map_or_else(|| Err(PortError::new(ErrorKind::Closed, "reading")), call)
        })
        .await
    }
}

impl Drop for KafkaEventLog {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
    }
}

/// Hears what the client has to say until the log is dropped.
#[expect(clippy::disallowed_methods, reason = "the library wants a thread that polls")]
fn listen(client: &Arc<Client>, ends: &Arc<AtomicBool>) -> std::io::Result<()> {
    let (client, ends) = (Arc::clone(client), Arc::clone(ends));
    let hear = move || {
        while !ends.load(Ordering::Acquire) {
            if let Some(Err(error)) = BaseConsumer::poll(&client, HEARING) {
                tracing::debug!("kafka reader: {error}");
            }
        }
    };
    thread::Builder::new().name("kafka-reader".to_owned()).spawn(hear).map(drop)
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> PortResult<T> + Send + 'static) -> PortResult<T> {
    let done = task::spawn_blocking(call).await;
    done.map_err(|error| PortError::caused(ErrorKind::Closed, "calling kafka", error))?
}

#[async_trait]
impl EventLog for KafkaEventLog {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        let mut targets = Vec::with_capacity(parts.len());
        for (at, _) in &parts {
            let place = self.place(*at)?;
            targets.push(Target {
                stream: at.stream,
                topic: &place.topic,
                partition: place.number,
                known_end: &place.known_end,
            });
        }
        let mut sent = Vec::with_capacity(parts.len());
        for (target, (_, records)) in targets.iter().zip(&parts) {
            let nothing = records.is_empty();
            sent.push(if nothing { None } else { Some(self.producer.send(target, records).await?) });
        }
        let mut firsts = Vec::with_capacity(parts.len());
        for ((target, (at, _)), delivery) in targets.iter().zip(&parts).zip(&sent) {
            firsts.push(match delivery {
                Some(delivery) => self.producer.confirm(target, delivery).await?,
                None => self.with_reader(*at, |reader| Ok(reader.fetch_bounds()?.end)).await?,
            });
        }
        Ok(firsts)
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.with_reader(at, move |reader| reader.read(from, limit)).await
    }

    #[expect(clippy::disallowed_methods, reason = "what the brokers do not tell is asked for again")]
    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        let arrived = Arc::clone(&self.place(at)?.arrived);
        loop {
            let looked =
                self.with_reader(at, move |reader| Ok((reader.listens_at(offset)?, reader.has(offset)?)));
            match looked.await? {
                (_, true) => return Ok(()),
                (true, false) => drop(tokio::time::timeout(LOOK_AGAIN, arrived.notified()).await),
                (false, false) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        let topic = self.topics.get(&stream).cloned().ok_or_else(|| {
            PortError::new(ErrorKind::Invalid, format!("asking for stream {}", stream.as_str()))
        })?;
        let (client, timeout) = (Arc::clone(&self.client), self.timeout);
        blocking(move || fetch_log_id(&client, &topic, timeout)).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.with_reader(at, |reader| reader.fetch_bounds()).await
    }
}

fn fetch_log_id(client: &Client, topic: &str, timeout: Duration) -> PortResult<Uuid> {
    let attempt = || format!("asking for the id of topic {topic}");
    let cluster = client.client().fetch_cluster_id(timeout).ok_or_else(|| {
        PortError::caused(ErrorKind::Transient, attempt(), "the cluster does not tell its id")
    })?;
    let id = fetch_topic_id(client.client(), topic, timeout);
    let id = id.map_err(|error| read_error(attempt(), &error))?;
    Ok(Uuid::new_v5(&id, cluster.as_bytes()))
}
