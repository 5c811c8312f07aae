//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

pub mod kafka;
mod pipeline;
pub mod topic;

pub use pipeline::{
    Authentication, BundledRule, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster,
    ValidKafka, ValidPipeline, ValidRedis,
};
