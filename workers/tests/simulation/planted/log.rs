//! The event log, and what a careless one does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use parking_workers::{
    adapters::memory::MemoryEventLog,
    ports::{
        PortResult,
        event_log::{Bounds, EventLog, Fetched, Offset, Parts, Stream, StreamPartition},
    },
};
use uuid::Uuid;

use super::Plant;

/// See the module.
#[derive(Clone)]
pub(crate) struct Log {
    inner: MemoryEventLog,
    plant: Plant,
    appends: Arc<AtomicU64>,
}

impl Log {
    pub(crate) fn new(inner: MemoryEventLog, plant: Plant) -> Self {
        Self { inner, plant, appends: Arc::default() }
    }
}

#[async_trait]
impl EventLog for Log {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        if self.plant == Plant::AnsweredBeforeDurable && number % 50 == 49 {
            return Ok(vec![0; parts.len()]);
        }
        self.inner.append(parts).await
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.inner.read(at, from, limit).await
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.inner.arrived(at, offset).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        self.inner.log_id(stream).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.inner.bounds(at).await
    }
}
