//! The lake in memory: keeps the bytes of every file, and which of them each version shows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::locked;
use crate::ports::{
    ErrorKind, PortError, PortResult,
    lake::{Committed, DataFile, Lake, Table, TableCommit, TableSnapshot},
};

/// A file that readers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleFile {
    /// As it was committed.
    pub file: DataFile,
    /// The version that first showed it.
    pub version: u64,
    /// What was put.
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct TableState {
    snapshot: TableSnapshot,
    bodies: BTreeMap<String, Bytes>,
    shown: BTreeMap<String, (u64, DataFile)>,
}

impl TableState {
    fn commit(&mut self, commit: TableCommit) -> PortResult<Committed> {
        let moved =
            |partition| commit.base.positions.get(partition) != self.snapshot.positions.get(partition);
        if commit.positions.keys().any(moved) {
            return Ok(Committed::Conflict);
        }
        if let Some(absent) = commit.files.iter().find(|file| !self.bodies.contains_key(&file.path)) {
            let attempt = format!("committing file {}", absent.path);
            return Err(PortError::caused(ErrorKind::Invalid, attempt, "it was never put"));
        }
        let version = self.snapshot.version.map_or(0, |version| version + 1);
        self.snapshot.version = Some(version);
        self.snapshot.positions.extend(commit.positions);
        self.shown.extend(commit.files.into_iter().map(|file| (file.path.clone(), (version, file))));
        Ok(Committed::Yes(self.snapshot.clone()))
    }
}

/// See the module. A clone is another handle on the same lake.
#[derive(Clone, Debug, Default)]
pub struct MemoryLake {
    tables: Arc<Mutex<BTreeMap<Table, TableState>>>,
}

impl MemoryLake {
    /// What a reader of the newest version sees, in the order of versions, then paths.
    pub fn visible(&self, table: Table) -> Vec<VisibleFile> {
        let tables = locked(&self.tables);
        let Some(state) = tables.get(&table) else { return Vec::new() };
        let with_body = |(version, file): &(u64, DataFile)| {
            let body = state.bodies.get(&file.path).cloned().unwrap_or_default();
            VisibleFile { file: file.clone(), version: *version, body }
        };
        let mut files: Vec<_> = state.shown.values().map(with_body).collect();
        files.sort_by_key(|file| file.version);
        files
    }

    /// Paths that were put and that no version shows.
    pub fn orphans(&self, table: Table) -> Vec<String> {
        let tables = locked(&self.tables);
        let Some(state) = tables.get(&table) else { return Vec::new() };
        state.bodies.keys().filter(|path| !state.shown.contains_key(*path)).cloned().collect()
    }
}

#[async_trait]
impl Lake for MemoryLake {
    async fn snapshot(&self, table: Table) -> PortResult<TableSnapshot> {
        Ok(locked(&self.tables).get(&table).map(|state| state.snapshot.clone()).unwrap_or_default())
    }

    async fn put(&self, table: Table, path: &str, body: Bytes) -> PortResult<()> {
        let mut tables = locked(&self.tables);
        let state = tables.entry(table).or_default();
        if !state.shown.contains_key(path) {
            state.bodies.insert(path.to_owned(), body);
        }
        Ok(())
    }

    async fn commit(&self, table: Table, commit: TableCommit) -> PortResult<Committed> {
        locked(&self.tables).entry(table).or_default().commit(commit)
    }
}
