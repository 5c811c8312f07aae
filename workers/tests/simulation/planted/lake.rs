//! The lake, and what a careless one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_workers::{
    adapters::memory::MemoryLake,
    ports::{
        PortResult,
        lake::{Committed, Table, TableCommit, TableSnapshot},
    },
};

use super::Plant;

/// See the module. An upload that was cut never replaces a whole file: stores put under a name what
/// they have in full.
#[derive(Clone)]
pub(crate) struct Lake {
    inner: MemoryLake,
    plant: Plant,
    sizes: Arc<Mutex<BTreeMap<(Table, String), usize>>>,
}

impl Lake {
    pub(crate) fn new(inner: MemoryLake, plant: Plant) -> Self {
        Self { inner, plant, sizes: Arc::default() }
    }

    /// Whether what stands under a name gives way to a body of this size.
    fn gives_way(&self, table: Table, path: &str, size: usize) -> bool {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.entry((table, path.to_owned())).or_default();
        let gives_way = *known == 0 || (*known < size && self.plant != Plant::TornFileKept);
        if gives_way {
            *known = size;
        }
        gives_way
    }
}

#[async_trait]
impl parking_workers::ports::lake::Lake for Lake {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        let mut snapshot = self.inner.snapshot(table).await?;
        if self.plant == Plant::LakePositionsIgnored {
            snapshot.positions.clear();
        }
        Ok(snapshot)
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        if self.gives_way(table, path, body.len()) {
            self.inner.put(table, path, body).await?;
        }
        Ok(())
    }

    async fn commit(&self, table: Table, mut commit: TableCommit) -> PortResult<Committed> {
        if matches!(self.plant, Plant::LakePositionsIgnored | Plant::LakeCheckedOnAnotherSnapshot) {
            commit.base = self.inner.snapshot(table).await?;
        }
        self.inner.commit(table, commit).await
    }
}
