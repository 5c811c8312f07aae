//! What was read, checked: whoever holds these types need not check again.
//!
//! Must not: name a client, a runtime or a clock.

mod pipeline;

pub use pipeline::{
    Authentication, BundledRule, Credentials, ExternalCluster, KeptSecret, Owner, Run, StrimziCluster,
    ValidKafka, ValidPipeline, ValidRedis,
};
