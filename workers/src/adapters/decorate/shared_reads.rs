//! One read for several readers of the same partition.
//!
//! Must not hold more than one batch of each partition. Invariant: what is answered out of the memory is what the log
//! answered for these offsets, which never changes (L4).

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::ports::{
    PortResult,
    event_log::{Bounds, EventLog, Fetched, Offset, Parts, Records, Stream, StreamPartition},
};

/// See the module.
pub struct SharedReads {
    inner: Arc<dyn EventLog>,
    newest: Mutex<BTreeMap<StreamPartition, Arc<Mutex<Option<Fetched>>>>>,
}

impl SharedReads {
    /// Readers of a log, who go about the same pace.
    pub fn new(inner: Arc<dyn EventLog>) -> Self {
        Self { inner, newest: Mutex::default() }
    }

    async fn of(&self, at: StreamPartition) -> Arc<Mutex<Option<Fetched>>> {
        Arc::clone(self.newest.lock().await.entry(at).or_default())
    }
}

/// What of it stands at `from` and beyond, if its first record does.
fn rest_of(fetched: &Fetched, from: Offset) -> Option<Fetched> {
    if from < fetched.first_offset || from >= fetched.next_offset() {
        return None;
    }
    let records: Records =
        fetched.iter().filter(|(offset, _)| *offset >= from).map(|(_, record)| record).collect();
    Some(Fetched { first_offset: from, records })
}

#[async_trait]
impl EventLog for SharedReads {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.inner.append(parts).await
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        let newest = self.of(at).await;
        let mut newest = newest.lock().await;
        if let Some(known) = newest.as_ref().and_then(|newest| rest_of(newest, from)) {
            return Ok(known);
        }
        let fetched = self.inner.read(at, from, limit).await?;
        if !fetched.records.is_empty() {
            *newest = Some(fetched.clone());
        }
        Ok(fetched)
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        let newest = self.of(at).await;
        if newest.lock().await.as_ref().is_some_and(|newest| newest.next_offset() > offset) {
            return Ok(());
        }
        self.inner.arrived(at, offset).await
    }

    async fn log_id(&self, stream: Stream) -> PortResult<Uuid> {
        self.inner.log_id(stream).await
    }

    async fn bounds(&self, at: StreamPartition) -> PortResult<Bounds> {
        self.inner.bounds(at).await
    }
}
