//! Appends: many records in, one answer out when all of them are durable.
//!
//! Must not answer before every record has its delivery report. Invariants: the records of one part stand one after
//! the other; a producer that the brokers declared dead is replaced by the next append, as nothing else revives it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use rdkafka::{
    Message as _,
    client::ClientContext,
    config::{ClientConfig, FromClientConfigAndContext as _},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{
    envelope::Envelope,
    error::{read_error, write_error},
    reader::KnownEnd,
};
use crate::ports::{
    PortResult,
    event_log::{Offset, Records, Stream},
};

/// Tells appends what became of their records, and those who wait for room that there is some.
struct Deliveries {
    room: Arc<Notify>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka producer: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        match result {
            Ok(message) => delivery.stands_at(message.offset().try_into().unwrap_or_default()),
            Err((error, _)) => delivery.failed(error.clone()),
        }
        self.room.notify_waiters();
    }
}

/// What is known of the records of one part.
pub(super) struct Delivery {
    left: AtomicUsize,
    first: AtomicU64,
    end: AtomicU64,
    failure: Mutex<Option<KafkaError>>,
    done: Notify,
}

impl Delivery {
    fn of(records: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(records),
            first: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(0),
            failure: Mutex::default(),
            done: Notify::new(),
        })
    }

    fn stands_at(&self, offset: Offset) {
        self.first.fetch_min(offset, Ordering::AcqRel);
        self.end.fetch_max(offset + 1, Ordering::AcqRel);
        self.count(1);
    }

    fn failed(&self, error: KafkaError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.count(1);
    }

    /// So many records have their answer.
    fn count(&self, records: usize) {
        if self.left.fetch_sub(records, Ordering::AcqRel) == records {
            self.done.notify_one();
        }
    }

    /// First offset and end, once every record has its answer.
    async fn answered(&self) -> Result<(Offset, Offset), KafkaError> {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok((self.first.load(Ordering::Acquire), self.end.load(Ordering::Acquire))),
        }
    }
}

/// Where one part goes.
pub(super) struct Target<'a> {
    pub(super) stream: Stream,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) known_end: &'a KnownEnd,
}

type Client = ThreadedProducer<Deliveries>;

/// See the module.
pub(super) struct Producer {
    config: ClientConfig,
    room: Arc<Notify>,
    /// Held while records are handed over, so that those of one part stay together.
    client: AsyncMutex<Option<Arc<Client>>>,
}

impl Producer {
    /// A producer that connects with its first append.
    pub(super) fn new(config: ClientConfig) -> Self {
        Self { config, room: Arc::new(Notify::new()), client: AsyncMutex::new(None) }
    }

    /// Hands the records over; the answer of the brokers comes later.
    pub(super) async fn send(&self, target: &Target<'_>, records: &Records) -> PortResult<Arc<Delivery>> {
        let mut client = self.client.lock().await;
        let producer = self.living(&mut client)?;
        let delivery = Delivery::of(records.len());
        for (number, record) in records.iter().enumerate() {
            let Envelope { key, headers } = Envelope::of(target.stream, record);
            let mut message = BaseRecord::with_opaque_to(target.topic, Arc::clone(&delivery))
                .partition(target.partition)
                .payload(record);
            message.headers = headers;
            message.key = key.as_deref();
            if let Err(error) = self.hand_over(&producer, message).await {
                // Those after it are not sent, and it is told when those before it have their answers.
                delivery.failed(error);
                delivery.count(records.len() - number - 1);
                break;
            }
        }
        Ok(delivery)
    }

    /// First offset of what was sent, once it is durable.
    pub(super) async fn confirm(&self, target: &Target<'_>, delivery: &Delivery) -> PortResult<Offset> {
        let failed =
            |error| write_error(format!("appending to {}/{}", target.topic, target.partition), &error);
        let (first, end) = delivery.answered().await.map_err(failed)?;
        target.known_end.reaches(end);
        Ok(first)
    }

    /// Appends records under their keys, each to the partition that its key falls to; answers once all are durable.
    pub(super) async fn append_keyed(&self, topic: &str, records: &[(String, String)]) -> PortResult<()> {
        let delivery = Delivery::of(records.len());
        {
            let mut client = self.client.lock().await;
            let producer = self.living(&mut client)?;
            for (number, (key, record)) in records.iter().enumerate() {
                let message = BaseRecord::with_opaque_to(topic, Arc::clone(&delivery))
                    .key(key.as_str())
                    .payload(record.as_bytes());
                if let Err(error) = self.hand_over(&producer, message).await {
                    delivery.failed(error);
                    delivery.count(records.len() - number - 1);
                    break;
                }
            }
        }
        let failed = |error| write_error(format!("appending to {topic}"), &error);
        delivery.answered().await.map(|_| ()).map_err(failed)
    }

    fn living(&self, client: &mut Option<Arc<Client>>) -> PortResult<Arc<Client>> {
        if let Some(living) = client.as_ref() {
            let Some((code, reason)) = living.client().fatal_error() else { return Ok(Arc::clone(living)) };
            tracing::error!(%code, "the kafka producer is replaced: {reason}");
        }
        let context = Deliveries { room: Arc::clone(&self.room) };
        let new = Client::from_config_and_context(&self.config, context);
        let new = Arc::new(new.map_err(|error| read_error("starting a producer", &error))?);
        *client = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn hand_over(
        &self,
        producer: &Client,
        mut message: BaseRecord<'_, str, [u8], Arc<Delivery>>,
    ) -> Result<(), KafkaError> {
        loop {
            // Before the attempt, so that room that comes right after it is heard of.
            let room = self.room.notified();
            match producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    message = refused;
                    room.await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}
