//! The Delta tables keep every guarantee of the lake.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "lake_on_s3/readable.rs"]
mod readable;

use std::sync::Arc;

use parking_workers::{adapters::lake::DeltaLake, ports::contract::lake::Visible};
use readable::Readable;

fn lake() -> impl AsyncFn() -> Arc<dyn Visible> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    async move || {
        Arc::new(Readable(DeltaLake::open(folder.path(), "city/log", 3).unwrap())) as Arc<dyn Visible>
    }
}

parking_workers::lake_contract!(lake);
