//! Ports on Kafka.
//!
//! Must not know what records mean. One process has one client of each kind: a reader that is told where to read
//! and belongs to no group, a producer, and a member of the role's group that reads nothing (see `group`). So
//! the group decides who owns a partition, the state store decides where it goes on, and neither waits for the
//! other. What a client of librdkafka blocks on runs on threads for blocking work.

mod envelope;
mod error;
mod event_log;
mod group;
mod keyed;
mod producer;
mod reader;
mod settings;
mod topic_id;

pub use event_log::KafkaEventLog;
pub use group::KafkaGroup;
pub use keyed::KeyedTopic;
pub use settings::{KafkaLogin, KafkaSettings};
