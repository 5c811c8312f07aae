//! The event log: streams of partitions of records.
//!
//! Guarantees:
//! - **L1** An append that was answered is durable: it is found after any crash.
//! - **L2** Offsets of a new partition begin at 0 and grow by one with each record, in the order of appends.
//!   The oldest records may be removed in time; the bounds tell where a partition begins.
//! - **L3** (a [`MarkedLog`] alone) The parts and the mark of one append become visible together or not at all.
//! - **L4** What was read at an offset never changes.
//! - **L5** A stream keeps its `log_id`, and one that was made anew has another.

use std::fmt;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
pub use parking_crds::stream::Stream;
use uuid::Uuid;

use super::{ErrorKind, PortError, PortResult};

/// Position of a record in its partition, from 0.
pub type Offset = u64;

/// Number of a partition, from 0.
pub type Partition = u32;

/// One partition of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPartition {
    /// The stream.
    pub stream: Stream,
    /// The partition.
    pub partition: Partition,
}

impl StreamPartition {
    /// What a log answers that does not have it.
    pub fn missing(self) -> PortError {
        let attempt = format!("using {self}");
        PortError::caused(ErrorKind::Invalid, attempt, "the stream has no such partition")
    }
}

impl fmt::Display for StreamPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} of stream {}", self.partition, self.stream.as_str())
    }
}

/// Records packed end to end in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Bytes,
    ends: Vec<u32>,
}

impl Records {
    /// Wraps a buffer and the end of each record in it; `None` if the ends do not fit it.
    pub fn from_parts(bytes: Bytes, ends: Vec<u32>) -> Option<Self> {
        let grows = ends.iter().zip(ends.iter().skip(1)).all(|(a, b)| a <= b);
        let fits = ends.last().copied().unwrap_or(0) as usize == bytes.len();
        (grows && fits).then_some(Self { bytes, ends })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All bytes, without bounds.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// End of each record in [`Self::bytes`].
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The records from `start` on, at least one and about `limit` bytes at most, sharing the buffer;
    /// `None` if there is none.
    pub fn part(&self, start: usize, limit: usize) -> Option<Self> {
        let wanted = self.ends.get(start..).filter(|ends| !ends.is_empty())?;
        let base = start.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let fits = wanted.partition_point(|end| (end - base) as usize <= limit).max(1);
        if start == 0 && fits == self.ends.len() {
            return Some(self.clone());
        }
        let ends: Vec<u32> = wanted.iter().take(fits).map(|end| end - base).collect();
        let length = ends.last().copied().unwrap_or(0) as usize;
        let bytes = self.bytes.slice(base as usize..base as usize + length);
        Some(Self { bytes, ends })
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.bytes.get(start as usize..*end as usize).unwrap_or_default())
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for Records {
    fn from_iter<I: IntoIterator<Item = B>>(records: I) -> Self {
        let mut builder = RecordsBuilder::default();
        for record in records {
            builder.push(record.as_ref());
        }
        builder.finish()
    }
}

/// Packs records.
#[derive(Debug, Default)]
pub struct RecordsBuilder {
    bytes: BytesMut,
    ends: Vec<u32>,
}

impl RecordsBuilder {
    /// Adds one record.
    pub fn push(&mut self, record: &[u8]) {
        self.bytes.put_slice(record);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The packed records.
    pub fn finish(self) -> Records {
        Records { bytes: self.bytes.freeze(), ends: self.ends }
    }
}

/// A run of consecutive records as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Offset of the first record; where nothing was there to read, the offset asked for.
    pub first_offset: Offset,
    /// The records.
    pub records: Records,
}

impl Fetched {
    /// The offset after the last record.
    pub fn next_offset(&self) -> Offset {
        self.first_offset + self.records.len() as Offset
    }

    /// The records with their offsets.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, &[u8])> {
        (self.first_offset..).zip(self.records.iter())
    }
}

/// Records by partition.
pub type Parts = Vec<(StreamPartition, Records)>;

/// A producer's position in its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The producer.
    pub name: String,
    /// Its position, opaque to the log.
    pub position: Bytes,
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Offset of the oldest record; the end where it holds none.
    pub start: Offset,
    /// Offset after the last record.
    pub end: Offset,
}

/// The port. See the module for its guarantees.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Writes; answers when durable (L1) with the first offset of each part. After an error any part may
    /// have been written; one that names a missing partition writes nothing.
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>>;

    /// Reads from `from`: at least one record if there is one, else none; about `limit` bytes at most.
    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched>;

    /// Completes once a record stands at `offset` or beyond.
    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()>;

    /// The stream's identity (L5).
    async fn log_id(&self, stream: Stream) -> PortResult<Uuid>;

    /// Where the partition begins and ends; another one that cannot be reached does not matter.
    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds>;
}

/// The bounds of the first `partitions` of a stream, in their order; one that cannot be reached is an error.
pub async fn all_bounds(
    log: &dyn EventLog,
    stream: Stream,
    partitions: Partition,
) -> PortResult<Vec<Bounds>> {
    let mut bounds = Vec::new();
    for partition in 0..partitions {
        bounds.push(log.bounds(StreamPartition { stream, partition }).await?);
    }
    Ok(bounds)
}

/// A log whose appends are atomic and keep a producer's position with its records.
#[async_trait]
pub trait MarkedLog: EventLog {
    /// Writes all parts and the mark, or nothing (L3); answers as [`EventLog::append`].
    async fn append_marked(&self, parts: Parts, mark: Mark) -> PortResult<Vec<Offset>>;

    /// The position that the producer's last append carried.
    async fn mark(&self, name: &str) -> PortResult<Option<Bytes>>;
}
