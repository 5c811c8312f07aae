//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

mod pipeline;
mod stats_job;

pub use pipeline::{
    Authentication, BundledRule, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster,
    ValidKafka, ValidPipeline, ValidRedis,
};
pub use stats_job::{JobSurroundings, RunEnvironment, ValidJob, referenced_secrets, stats_job};
