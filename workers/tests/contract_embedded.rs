//! The adapters on a data folder keep every guarantee of their ports.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use parking_workers::{
    adapters::embedded::{FolderObjectStore, SystemClock, open},
    ports::{
        clock::Clock,
        event_log::{EventLog, MarkedLog},
        object_store::ObjectStore,
        state_store::StateStore,
    },
};
use tempfile::tempdir;

fn event_log() -> impl AsyncFn() -> Arc<dyn EventLog> {
    let folder = tempdir().unwrap();
    async move || Arc::new(open(folder.path(), "city", 2).unwrap().event_log()) as Arc<dyn EventLog>
}

fn marked_log() -> impl AsyncFn() -> Arc<dyn MarkedLog> {
    let folder = tempdir().unwrap();
    async move || Arc::new(open(folder.path(), "city", 2).unwrap().event_log()) as Arc<dyn MarkedLog>
}

fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
    let folder = tempdir().unwrap();
    async move || Arc::new(open(folder.path(), "city", 2).unwrap().state_store()) as Arc<dyn StateStore>
}

fn object_store() -> impl AsyncFn() -> Arc<dyn ObjectStore> {
    let folder = tempdir().unwrap();
    async move || Arc::new(FolderObjectStore::new(folder.path().join("objects"))) as Arc<dyn ObjectStore>
}

fn clock() -> (Arc<dyn Clock>, impl Future<Output = ()>) {
    (Arc::new(SystemClock::new()), std::future::pending())
}

parking_workers::event_log_contract!(super::event_log);
parking_workers::marked_log_contract!(super::marked_log);
parking_workers::state_store_contract!(super::state_store);
parking_workers::object_store_contract!(super::object_store);
parking_workers::clock_contract!(super::clock);
