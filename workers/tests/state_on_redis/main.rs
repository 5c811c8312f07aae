//! The state store on real Redis servers with Sentinel: it keeps every guarantee of its port, and what
//! is promised of it when servers, sentinels and the network fail.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod stage;

use std::sync::{Arc, LazyLock};

use parking_e2e::redis::{Options, Redis};
use parking_workers::{
    adapters::redis::{RedisSettings, RedisStateStore},
    ports::state_store::StateStore,
};

/// One server that no test harms.
pub(crate) static CALM: LazyLock<Redis> = LazyLock::new(|| Redis::start(Options::default()).unwrap());

fn store_of(settings: RedisSettings) -> Arc<dyn StateStore> {
    Arc::new(RedisStateStore::open(settings).unwrap())
}

fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
    let settings = stage::settings(&CALM);
    async move || store_of(settings.clone())
}

parking_workers::state_store_contract!(super::state_store);
