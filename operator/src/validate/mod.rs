//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

mod bundled_rule;
mod offline;
mod pipeline;

pub use offline::offline;
pub use pipeline::{
    Authentication, BundledRule, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster,
    ValidKafka, ValidPipeline, ValidRedis,
};
