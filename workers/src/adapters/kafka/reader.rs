//! Reads one partition, ahead of whoever asks.
//!
//! Must not wait for records that are not there: at the end of the partition a read finds nothing. Invariants:
//! a record is answered once for each time that its offset is asked for; where a reader is asked for another
//! offset than the next one it starts over there, and what was on its way is dropped.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset as Place, TopicPartitionList,
    client::ClientContext,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, base_consumer::PartitionQueue},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::sync::Notify;

use super::error::read_error;
use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{Bounds, Fetched, Offset, Records, RecordsBuilder},
};

/// The reading client; it belongs to no group.
pub(super) type Client = BaseConsumer<Troubles>;

/// Remembers what connections failed of: a call that waited for one only says that it took too long.
#[derive(Default)]
pub(super) struct Troubles(Mutex<Option<(KafkaError, String)>>);

impl Troubles {
    /// What the last trouble was, since this was asked last.
    pub(super) fn take(&self) -> Option<(KafkaError, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Troubles {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka reader: {error}: {reason}");
        // That all brokers are down follows from why each of them is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Troubles {}

/// One wait for records that are known to be there.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a partition is known to hold, shared with those who append to it.
#[derive(Debug, Default)]
pub(super) struct KnownEnd(AtomicU64);

impl KnownEnd {
    /// The partition reaches to `end` at least.
    pub(super) fn reaches(&self, end: Offset) {
        self.0.fetch_max(end, Ordering::AcqRel);
    }

    fn get(&self) -> Offset {
        self.0.load(Ordering::Acquire)
    }
}

/// See the module. Its calls block.
pub(super) struct Reader {
    client: Arc<Client>,
    queue: PartitionQueue<Troubles>,
    topic: Arc<str>,
    partition: i32,
    known_end: Arc<KnownEnd>,
    timeout: Duration,
    /// Offset of the next record that the queue gives; `None` where it reads nothing.
    next: Option<Offset>,
    /// A record that was taken from the queue and not yet asked for.
    ahead: Option<(Offset, Bytes)>,
    /// All that there was at the last look was read.
    at_end: bool,
}

impl Reader {
    /// A reader that reads nothing yet; it signals `arrived` when something came.
    pub(super) fn new(
        client: &Arc<Client>,
        topic: &Arc<str>,
        partition: i32,
        known_end: &Arc<KnownEnd>,
        arrived: &Arc<Notify>,
        timeout: Duration,
    ) -> PortResult<Self> {
        // Before it is assigned: else records could come by the client's own queue.
        let queue = client.split_partition_queue(topic, partition);
        let mut queue = queue.ok_or_else(|| PortError::new(ErrorKind::Closed, "opening a partition"))?;
        let arrived = Arc::clone(arrived);
        queue.set_nonempty_callback(move || arrived.notify_one());
        Ok(Self {
            client: Arc::clone(client),
            queue,
            topic: Arc::clone(topic),
            partition,
            known_end: Arc::clone(known_end),
            timeout,
            next: None,
            ahead: None,
            at_end: false,
        })
    }

    /// At least one record from `from` on if there is one, about `limit` bytes at most.
    pub(super) fn read(&mut self, from: Offset, limit: usize) -> PortResult<Fetched> {
        if self.next != Some(from) && !self.start_at(from)? {
            return Ok(Fetched { first_offset: from, records: Records::default() });
        }
        let fetched = self.take_run(from, limit);
        if fetched.is_err() {
            self.stop();
        }
        fetched
    }

    /// Whether a record stands at `offset` or beyond, as far as it is known without a question.
    pub(super) fn has(&mut self, offset: Offset) -> PortResult<bool> {
        if self.known_end.get() > offset {
            return Ok(true);
        }
        if self.next != Some(offset) {
            return Ok(self.fetch_bounds()?.end > offset);
        }
        if self.ahead.is_none() {
            let found = self.poll(offset, Duration::ZERO);
            let found = found.map(|found| found.map(|message| (offset_of(&message), copy_of(&message))));
            match found {
                Ok(found) => self.ahead = found,
                Err(error) => {
                    self.stop();
                    return Err(error);
                }
            }
        }
        Ok(self.ahead.is_some())
    }

    /// Whether news of a record at `offset` come by themselves.
    pub(super) fn listens_at(&mut self, offset: Offset) -> PortResult<bool> {
        if self.next != Some(offset) {
            self.start_at(offset)?;
        }
        Ok(self.next == Some(offset))
    }

    /// As the brokers tell them now.
    pub(super) fn fetch_bounds(&self) -> PortResult<Bounds> {
        let ends = self.client.fetch_watermarks(&self.topic, self.partition, self.timeout);
        let (start, end) = ends.map_err(|error| self.failed(&error))?;
        let (start, end) = (start.try_into().unwrap_or_default(), end.try_into().unwrap_or_default());
        self.known_end.reaches(end);
        Ok(Bounds { start, end })
    }

    /// Starts over at an offset; answers whether a record stands there.
    fn start_at(&mut self, from: Offset) -> PortResult<bool> {
        let Bounds { start, end } = self.fetch_bounds()?;
        if from < start {
            let reason = format!("its records up to {start} were removed");
            return Err(PortError::caused(ErrorKind::Invalid, self.attempt(from), reason));
        }
        if from > end {
            return Ok(false);
        }
        self.stop();
        let offset = i64::try_from(from)
            .map_err(|error| PortError::caused(ErrorKind::Invalid, self.attempt(from), error))?;
        let assigned =
            self.place(Place::Offset(offset)).and_then(|place| self.client.incremental_assign(&place));
        assigned.map_err(|error| self.failed(&error))?;
        self.next = Some(from);
        self.at_end = from == end;
        Ok(from < end)
    }

    /// Reads nothing any more.
    fn stop(&mut self) {
        (self.ahead, self.at_end) = (None, false);
        if self.next.take().is_some() {
            // Fails only where it is not assigned, which is what is wanted.
            let _ = self.place(Place::Invalid).and_then(|place| self.client.incremental_unassign(&place));
        }
    }

    fn place(&self, place: Place) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition, place)?;
        Ok(list)
    }

    fn take_run(&mut self, from: Offset, limit: usize) -> PortResult<Fetched> {
        let mut run = Run { first: from, records: RecordsBuilder::default(), limit };
        let mut waits = 0_u32;
        if let Some((offset, record)) = self.ahead.take() {
            run.push(offset, &record);
        }
        while run.records.size() < limit {
            let patience = if waits > 0 { PATIENCE } else { Duration::ZERO };
            let Some(message) = self.poll(run.next(), patience)? else {
                if !run.records.is_empty() || self.is_drained(from)? {
                    break;
                }
                if PATIENCE * waits > self.timeout {
                    let attempt = self.attempt(from);
                    return Err(PortError::caused(ErrorKind::Transient, attempt, "the brokers send nothing"));
                }
                waits += 1;
                continue;
            };
            let (offset, record) = (offset_of(&message), message.payload().unwrap_or_default());
            if !run.takes(offset, record) {
                let record = copy_of(&message);
                drop(message);
                self.ahead = Some((offset, record));
                break;
            }
            run.push(offset, record);
        }
        let fetched = Fetched { first_offset: run.first, records: run.records.finish() };
        self.next = Some(fetched.next_offset().max(from));
        self.known_end.reaches(fetched.next_offset());
        Ok(fetched)
    }

    /// Whether nothing stands at `from`, where the queue is empty.
    fn is_drained(&mut self, from: Offset) -> PortResult<bool> {
        if !self.at_end || self.known_end.get() > from {
            self.at_end = self.fetch_bounds()?.end <= from;
        }
        Ok(self.at_end)
    }

    /// The next record from `from` on that the queue gives; `None` where none comes within `patience`.
    fn poll(&mut self, from: Offset, patience: Duration) -> PortResult<Option<BorrowedMessage<'_>>> {
        while let Some(polled) = self.queue.poll(patience) {
            match polled {
                // One that is older was on its way when the reader started over.
                Ok(message) if offset_of(&message) < from => {}
                Ok(message) => {
                    self.at_end = false;
                    return Ok(Some(message));
                }
                Err(KafkaError::PartitionEOF(_)) => self.at_end = true,
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(None)
    }

    fn attempt(&self, from: Offset) -> String {
        format!("reading {}/{} at offset {from}", self.topic, self.partition)
    }

    fn failed(&self, error: &KafkaError) -> PortError {
        read_error(format!("reading {}/{}", self.topic, self.partition), error)
    }
}

fn offset_of(message: &BorrowedMessage<'_>) -> Offset {
    message.offset().try_into().unwrap_or_default()
}

fn copy_of(message: &BorrowedMessage<'_>) -> Bytes {
    Bytes::copy_from_slice(message.payload().unwrap_or_default())
}

/// Consecutive records.
struct Run {
    first: Offset,
    records: RecordsBuilder,
    limit: usize,
}

impl Run {
    fn next(&self) -> Offset {
        self.first + self.records.len() as Offset
    }

    /// Whether a record goes on with it: none is missing between (transactions leave gaps), and it fits.
    fn takes(&self, offset: Offset, record: &[u8]) -> bool {
        self.records.is_empty() || (offset == self.next() && self.records.size() + record.len() <= self.limit)
    }

    fn push(&mut self, offset: Offset, record: &[u8]) {
        if self.records.is_empty() {
            self.first = offset;
        }
        self.records.push(record);
    }
}
