//! The object store, and what a careless one, or a careless keeper of snapshots, does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_workers::{
    adapters::memory::MemoryObjectStore,
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Offset, Partition},
        object_store::{ObjectStore, PutNew},
    },
    runtime::snapshot::Snapshot,
};

use super::Plant;
use crate::{faults::FaultKind, trace::Trace};

const SNAPSHOTS: &str = "snapshots/";
/// One snapshot of so many is cut short, and its writer is told that it may have been made.
const TORN_OF: u64 = 6;

/// See the module.
#[derive(Clone)]
pub(crate) struct Objects {
    inner: MemoryObjectStore,
    plant: Plant,
    trace: Trace,
    snapshots: Arc<AtomicU64>,
}

impl Objects {
    pub(crate) fn new(plant: Plant, trace: Trace) -> Self {
        Self { inner: MemoryObjectStore::default(), plant, trace, snapshots: Arc::default() }
    }

    /// Offset of the newest whole snapshot that a stage has of its state.
    pub(crate) async fn newest_snapshot(&self, role: &str, partition: Partition) -> Option<Offset> {
        let of_partition = |key: &&String| key.split('/').nth(3) == Some(partition.to_string().as_str());
        let keys = self.inner.list(&format!("{SNAPSHOTS}{role}/")).await.ok()?;
        for key in keys.iter().filter(of_partition).rev() {
            let snapshot = self.inner.get(key).await.ok()?;
            if let Some(Ok(snapshot)) = snapshot.as_deref().map(Snapshot::decode) {
                return Some(snapshot.next_offset);
            }
        }
        None
    }

    async fn put_snapshot(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        let body = match self.plant {
            Plant::SnapshotOffsetTooLate => self.with_older_blocks(key, &body).await?,
            _ => body,
        };
        if self.snapshots.fetch_add(1, Ordering::Relaxed) % TORN_OF != TORN_OF - 1 {
            return self.inner.put_new(key, body).await;
        }
        let torn = match self.plant {
            Plant::TornSnapshotBelieved => half_of_the_blocks(&body),
            _ => body.slice(..body.len() / 2),
        };
        if self.inner.put_new(key, torn).await? == PutNew::Created {
            self.trace.struck(FaultKind::TornSnapshot, 1);
        }
        Err(PortError::new(ErrorKind::Ambiguous, "making a snapshot"))
    }

    /// The snapshot with the blocks of the one before it.
    async fn with_older_blocks(&self, key: &str, body: &Bytes) -> PortResult<Bytes> {
        let older = self.inner.list(folder(key)).await?.pop();
        let older = self.inner.get(older.as_deref().unwrap_or(key)).await?;
        let older = older.as_deref().and_then(|older| Snapshot::decode(older).ok());
        let blocks = older.map(|older| older.blocks).unwrap_or_default();
        Ok(Snapshot { blocks, ..Snapshot::decode(body).unwrap() }.encode())
    }

    /// The snapshot with the blocks of another partition.
    async fn with_foreign_blocks(&self, body: Option<Bytes>) -> PortResult<Option<Bytes>> {
        let Some(Ok(own)) = body.as_deref().map(Snapshot::decode) else { return Ok(body) };
        for key in self.inner.list(&format!("{SNAPSHOTS}{}/", own.role)).await? {
            let other = self.inner.get(&key).await?;
            if let Some(Ok(other)) = other.as_deref().map(Snapshot::decode)
                && other.partition != own.partition
            {
                return Ok(Some(Snapshot { blocks: other.blocks, ..own }.encode()));
            }
        }
        Ok(body)
    }
}

fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn half_of_the_blocks(body: &Bytes) -> Bytes {
    let mut snapshot = Snapshot::decode(body).unwrap();
    snapshot.blocks.truncate(snapshot.blocks.len() / 2);
    snapshot.encode()
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        if key.starts_with(SNAPSHOTS) {
            return self.put_snapshot(key, body).await;
        }
        self.inner.put_new(key, body).await
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        match self.plant {
            Plant::NewestMemoryTaken if !key.starts_with(SNAPSHOTS) => {
                let newest = self.inner.list(&format!("{}/", folder(key))).await?.pop();
                self.inner.get(newest.as_deref().unwrap_or(key)).await
            }
            // An encoded `None`: no output was kept yet.
            Plant::OriginsForgotten if !key.starts_with("archive/events/") && !key.starts_with(SNAPSHOTS) => {
                Ok(Some(Bytes::from_static(&[0])))
            }
            Plant::SnapshotOfAnotherPartition if key.starts_with(SNAPSHOTS) => {
                self.with_foreign_blocks(self.inner.get(key).await?).await
            }
            _ => self.inner.get(key).await,
        }
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        if self.plant == Plant::SnapshotsNotFound && prefix.starts_with(SNAPSHOTS) {
            return Ok(Vec::new());
        }
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        self.inner.delete(key).await
    }
}
