//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

mod assemble;
pub mod kafka;
mod offline;
mod pipeline;
pub mod redis;
mod redis_login;
pub mod rule;
mod stats_job;
pub mod topic;

pub use assemble::{Assembled, Facts, assemble};
pub use kafka::{SeenKafka, authority_secret, kafka, observed_log};
pub use offline::{offline, runs};
pub use pipeline::{
    Authentication, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster, ValidKafka,
    ValidPipeline, ValidRedis,
};
pub use redis::{ExistingClaim, storage};
pub use redis_login::RedisLogin;
pub use rule::accept;
pub use stats_job::{JobSurroundings, RunEnvironment, ValidJob, referenced_secrets, stats_job};
pub(crate) use topic::{topic_ids, topics};
