//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

mod bundled_rule;
pub mod kafka;
mod offline;
mod pipeline;
pub mod redis;
pub mod rule;
mod stats_job;
pub mod topic;

pub use offline::offline;
pub use pipeline::{
    Authentication, BundledRule, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster,
    ValidKafka, ValidPipeline, ValidRedis,
};
pub use stats_job::{JobSurroundings, RunEnvironment, ValidJob, referenced_secrets, stats_job};
