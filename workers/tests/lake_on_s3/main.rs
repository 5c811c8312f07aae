//! The lake and the object store on a real S3 endpoint: the contract suites, races, faults.
#![cfg(feature = "s3")]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and races need tasks"
)]

mod endpoint;
mod faults;
mod maintenance;
mod proxy;
mod races;
mod readable;
mod statistics;
mod upkeep;

use std::sync::Arc;

use parking_workers::{
    adapters::{
        lake::DeltaLake,
        s3::{S3ObjectStore, S3Settings},
    },
    ports::{contract::lake::Visible, object_store::ObjectStore},
};

use self::{endpoint::settings, readable::Readable};

/// Settings of one place, the same ones each time.
async fn same(kept: &tokio::sync::OnceCell<S3Settings>) -> S3Settings {
    kept.get_or_init(settings).await.clone()
}

fn lake() -> impl AsyncFn() -> Arc<dyn Visible> {
    let kept = Arc::new(tokio::sync::OnceCell::new());
    async move || {
        Arc::new(Readable(DeltaLake::open(same(&kept).await, "city/log", 3).unwrap())) as Arc<dyn Visible>
    }
}

fn object_store() -> impl AsyncFn() -> Arc<dyn ObjectStore> {
    let kept = Arc::new(tokio::sync::OnceCell::new());
    async move || Arc::new(S3ObjectStore::open(&same(&kept).await).unwrap()) as Arc<dyn ObjectStore>
}

parking_workers::lake_contract!(lake);
parking_workers::object_store_contract!(object_store);
