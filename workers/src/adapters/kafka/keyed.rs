//! A topic that others read: records under keys, none of them a stream of the pipeline.
//!
//! Must not know what records mean. Invariant: records of one key fall to one partition, the one that every client of
//! Kafka finds for it, so that the newest of them is the last.

use super::{producer::Producer, settings::KafkaSettings};
use crate::ports::PortResult;

/// See the module.
pub struct KeyedTopic {
    producer: Producer,
    topic: String,
}

impl KeyedTopic {
    /// A topic of the cluster; it is connected to with the first append.
    pub fn new(settings: &KafkaSettings, topic: &str) -> Self {
        let mut config = settings.producer();
        config.set("partitioner", "murmur2_random");
        Self { producer: Producer::new(config), topic: topic.to_owned() }
    }

    /// Appends records under their keys; answers once all of them are durable.
    pub async fn append(&self, records: &[(String, String)]) -> PortResult<()> {
        self.producer.append_keyed(&self.topic, records).await
    }
}
