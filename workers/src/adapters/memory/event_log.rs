//! The event log in memory.
//!
//! Keeps each appended batch as it came, so a read answers a part of it without a copy.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::locked;
use crate::ports::{
    ErrorKind, PortError, PortResult,
    event_log::{
        Bounds, EventLog, Fetched, Mark, MarkedLog, Offset, Partition, Parts, Records, Stream,
        StreamPartition,
    },
};

/// Batches by first offset.
#[derive(Debug, Default)]
struct PartitionLog {
    /// Records before it were removed.
    start: Offset,
    batches: BTreeMap<Offset, Records>,
}

impl PartitionLog {
    fn end(&self) -> Offset {
        self.batches.last_key_value().map_or(self.start, |(first, records)| first + records.len() as Offset)
    }

    fn push(&mut self, records: Records) -> Offset {
        let first = self.end();
        if !records.is_empty() {
            self.batches.insert(first, records);
        }
        first
    }

    fn read(&self, from: Offset, limit: usize) -> Fetched {
        let records = self
            .batches
            .range(..=from)
            .next_back()
            .and_then(|(first, batch)| batch.part(usize::try_from(from - first).ok()?, limit))
            .unwrap_or_default();
        Fetched { first_offset: from, records }
    }

    fn expire(&mut self, before: Offset) {
        self.start = before.clamp(self.start, self.end());
        let start = self.start;
        self.batches.retain(|first, records| first + records.len() as Offset > start);
    }
}

#[derive(Debug)]
struct Log {
    id: Uuid,
    logs: Mutex<Stored>,
    ends: BTreeMap<(Stream, Partition), watch::Sender<Offset>>,
}

#[derive(Debug, Default)]
struct Stored {
    logs: BTreeMap<(Stream, Partition), PartitionLog>,
    marks: BTreeMap<String, Bytes>,
}

/// See the module. A clone is another handle on the same log.
#[derive(Clone, Debug)]
pub struct MemoryEventLog {
    log: Arc<Log>,
}

impl MemoryEventLog {
    /// An empty log. `log_id` is given, not drawn, so that runs repeat.
    pub fn new(log_id: Uuid, partitions: Partition) -> Self {
        let keys = Stream::ALL.into_iter().flat_map(|stream| (0..partitions).map(move |p| (stream, p)));
        let ends = keys.map(|key| (key, watch::Sender::new(0))).collect();
        Self { log: Arc::new(Log { id: log_id, logs: Mutex::default(), ends }) }
    }

    /// Removes the records before an offset, as retention does.
    pub fn expire(&self, at: StreamPartition, before: Offset) {
        let mut stored = locked(&self.log.logs);
        stored.logs.entry((at.stream, at.partition)).or_default().expire(before);
    }

    fn write(&self, parts: Parts, mark: Option<Mark>) -> PortResult<Vec<Offset>> {
        for (at, _) in &parts {
            self.end_of(*at)?;
        }
        let mut stored = locked(&self.log.logs);
        let mut firsts = Vec::with_capacity(parts.len());
        let mut grown = Vec::with_capacity(parts.len());
        for (at, records) in parts {
            let log = stored.logs.entry((at.stream, at.partition)).or_default();
            firsts.push(log.push(records));
            grown.push((at, log.end()));
        }
        if let Some(mark) = mark {
            stored.marks.insert(mark.name, mark.position);
        }
        drop(stored);
        for (at, end) in grown {
            self.end_of(at)?.send_replace(end);
        }
        Ok(firsts)
    }

    fn end_of(&self, at: StreamPartition) -> PortResult<&watch::Sender<Offset>> {
        self.log.ends.get(&(at.stream, at.partition)).ok_or_else(|| at.missing())
    }
}

fn expired(at: StreamPartition, from: Offset, start: Offset) -> PortError {
    PortError::caused(
        ErrorKind::Invalid,
        format!("reading {at}"),
        format!("it begins at {start}, after {from}"),
    )
}

#[async_trait]
impl EventLog for MemoryEventLog {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.write(parts, None)
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.end_of(at)?;
        let stored = locked(&self.log.logs);
        let nothing = || Fetched { first_offset: from, records: Records::default() };
        match stored.logs.get(&(at.stream, at.partition)) {
            Some(log) if from < log.start => Err(expired(at, from, log.start)),
            log => Ok(log.map_or_else(nothing, |log| log.read(from, limit))),
        }
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        let mut end = self.end_of(at)?.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = end.wait_for(|end| *end > offset).await;
        Ok(())
    }

    async fn log_id(&self, _: Stream) -> PortResult<Uuid> {
        Ok(self.log.id)
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        let end = *self.end_of(at)?.borrow();
        let stored = locked(&self.log.logs);
        let start = stored.logs.get(&(at.stream, at.partition)).map_or(0, |log| log.start);
        Ok(Bounds { start, end })
    }
}

#[async_trait]
impl MarkedLog for MemoryEventLog {
    async fn append_marked(&self, parts: Parts, mark: Mark) -> PortResult<Vec<Offset>> {
        self.write(parts, Some(mark))
    }

    async fn mark(&self, name: &str) -> PortResult<Option<Bytes>> {
        Ok(locked(&self.log.logs).marks.get(name).cloned())
    }
}
