//! The event log in a data folder.
//!
//! Appends are packed and checksummed on the caller's side and written by the writer's groups; reads
//! share the stored buffer, and only small batches that follow each other are copied together.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::oneshot, task};
use uuid::Uuid;

use super::{
    batch,
    database::{Shared, Tables, closed, read_error},
    keys,
    writer::Work,
};
use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{
        Bounds, EventLog, Fetched, Mark, MarkedLog, Offset, Parts, Records, RecordsBuilder, Stream,
        StreamPartition,
    },
};

/// A read that finds less than this goes on to the next batch.
const SMALL_BYTES: usize = 32 * 1024;

/// See the module. A clone is another handle on the same log.
#[derive(Clone)]
pub struct EmbeddedEventLog {
    shared: Arc<Shared>,
}

impl EmbeddedEventLog {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn write(&self, parts: Parts, mark: Option<Mark>) -> PortResult<Vec<Offset>> {
        let attempt = "appending to the log";
        let mut encoded = Vec::with_capacity(parts.len());
        for (at, records) in parts {
            self.end(at)?;
            let batches = batch::encode(&records)
                .map_err(|error| PortError::caused(ErrorKind::Transient, attempt, error))?;
            encoded.push((at, batches));
        }
        let (reply, answer) = oneshot::channel();
        if !self.shared.send(Work::Append { parts: encoded, mark, reply }).await {
            return Err(closed(attempt));
        }
        answer.await.map_err(|_| closed(attempt))?
    }

    fn end(&self, at: StreamPartition) -> PortResult<&tokio::sync::watch::Sender<Offset>> {
        self.shared.ends.of(at).ok_or_else(|| at.missing())
    }
}

#[async_trait]
impl EventLog for EmbeddedEventLog {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.write(parts, None).await
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        let end = *self.end(at)?.borrow();
        if from >= end {
            return Ok(Fetched { first_offset: from, records: Records::default() });
        }
        let tables = self.shared.tables.clone();
        let read = task::spawn_blocking(move || read(&tables, at, from, end, limit));
        read.await.map_err(|error| PortError::caused(ErrorKind::Closed, "reading the log", error))?
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        let mut end = self.end(at)?.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = end.wait_for(|end| *end > offset).await;
        Ok(())
    }

    async fn log_id(&self, _: Stream) -> PortResult<Uuid> {
        Ok(self.shared.log_id)
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        Ok(Bounds { start: 0, end: *self.end(at)?.borrow() })
    }
}

#[async_trait]
impl MarkedLog for EmbeddedEventLog {
    async fn append_marked(&self, parts: Parts, mark: Mark) -> PortResult<Vec<Offset>> {
        self.write(parts, Some(mark)).await
    }

    async fn mark(&self, name: &str) -> PortResult<Option<Bytes>> {
        let stored = self.shared.tables.meta.get(keys::mark(name));
        let stored = stored.map_err(|error| read_error("reading a producer's mark", error))?;
        Ok(stored.map(Bytes::from))
    }
}

/// Reads where a record is known to stand at `from`, and none at `end`.
fn read(
    tables: &Tables,
    at: StreamPartition,
    from: Offset,
    end: Offset,
    limit: usize,
) -> PortResult<Fetched> {
    let upto = tables.records.range(keys::batch(at, 0)..=keys::batch(at, from)).next_back();
    let (first, stored) =
        upto.map(|found| open_batch(at, found)).transpose()?.ok_or_else(|| lost(at, from))?;
    let skip = usize::try_from(from - first).map_err(|_| lost(at, from))?;
    let records = stored.part(skip, limit).ok_or_else(|| lost(at, from))?;
    let fetched = Fetched { first_offset: from, records };
    let whole = first + stored.len() as Offset == fetched.next_offset();
    if whole && fetched.next_offset() < end && fetched.records.bytes().len() < SMALL_BYTES.min(limit) {
        return join_small(tables, at, &fetched, end, limit);
    }
    Ok(fetched)
}

fn join_small(
    tables: &Tables,
    at: StreamPartition,
    start: &Fetched,
    end: Offset,
    limit: usize,
) -> PortResult<Fetched> {
    let mut joined = RecordsBuilder::default();
    start.records.iter().for_each(|record| joined.push(record));
    let mut next = start.next_offset();
    for found in tables.records.range(keys::batch(at, next)..keys::batch(at, end)) {
        let (first, records) = open_batch(at, found)?;
        if first != next {
            return Err(lost(at, next));
        }
        if joined.size() + records.bytes().len() > limit.min(batch::BATCH_BYTES as usize) {
            break;
        }
        records.iter().for_each(|record| joined.push(record));
        next += records.len() as Offset;
    }
    Ok(Fetched { first_offset: start.first_offset, records: joined.finish() })
}

fn open_batch(at: StreamPartition, found: fjall::Guard) -> PortResult<(Offset, Records)> {
    let (key, value) = found.into_inner().map_err(|error| read_error(&format!("reading {at}"), error))?;
    let first = keys::first_offset(&key).ok_or_else(|| lost(at, 0))?;
    let records = batch::decode(value).ok_or_else(|| lost(at, first))?;
    Ok((first, records))
}

fn lost(at: StreamPartition, offset: Offset) -> PortError {
    let attempt = format!("reading offset {offset} of {at}");
    PortError::caused(ErrorKind::Corrupt, attempt, "the stored batch is not what was written")
}
