//! The state store on real Redis servers with Sentinel: it keeps every guarantee of its port, and what
//! is promised of it when servers, sentinels and the network fail.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real servers run on the wall clock")]

mod fail_over;
mod figures;
mod network;
mod packed;
mod server;
mod stage;
mod wrong_settings;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use parking_e2e::redis::{Options, Redis};
use parking_workers::ports::{contract::live_view::Shown, live_view::LiveKind, state_store::StateStore};

/// One server that no test harms.
static CALM: LazyLock<Redis> = LazyLock::new(|| Redis::start(&Options::default()).unwrap());

fn state_store() -> impl AsyncFn() -> Arc<dyn StateStore> {
    let settings = stage::settings(&CALM);
    async move || stage::open(&settings) as Arc<dyn StateStore>
}

/// The rows as anybody reads them: a hash by id.
fn live_view() -> impl AsyncFn() -> Shown {
    let settings = stage::settings(&CALM);
    async move || {
        let store = stage::open(&settings);
        let prefix = settings.prefix.as_str().to_owned();
        let rows = move |kind: LiveKind| {
            let key = format!("{prefix}live:{}", kind.as_str());
            let read: BTreeMap<String, String> =
                CALM.ask(CALM.master().unwrap(), &["HGETALL", &key]).unwrap();
            read.into_iter().map(|(id, row)| (id.parse().unwrap(), row.into())).collect()
        };
        Shown { store: Arc::clone(&store) as Arc<_>, view: store, rows: Box::new(rows) }
    }
}

parking_workers::state_store_contract!(super::state_store);
parking_workers::live_view_contract!(super::live_view);
