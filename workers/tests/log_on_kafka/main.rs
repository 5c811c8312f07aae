//! The log in Kafka keeps every guarantee of its port, on a real broker.

#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the tests of workers")]
mod broker;
mod group;
mod topology;
mod trouble;

use std::sync::Arc;

use parking_workers::{adapters::kafka::KafkaEventLog, ports::event_log::EventLog};

use broker::{Broker, Topics};

fn event_log() -> impl AsyncFn() -> Arc<dyn EventLog> {
    let topics = Topics::random(2);
    async move || {
        topics.make(Broker::shared()).await;
        Arc::new(KafkaEventLog::open(topics.settings(Broker::shared())).await.unwrap()) as Arc<dyn EventLog>
    }
}

parking_workers::event_log_contract!(super::event_log);
