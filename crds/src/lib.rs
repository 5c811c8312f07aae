//! The vocabulary of the parking platform.
#![expect(unreachable_pub, reason = "kube derives copies of the spec structs inside function bodies")]

pub mod alert_rule;
pub mod condition;
pub mod decimal;
pub mod duration;
pub mod event;
pub mod inventory;
pub mod lake_index;
pub mod manifest;
pub mod names;
pub mod pipeline;
pub mod quantity;
pub mod reference;
pub mod role;
pub mod rule_bundle;
mod rules;
mod schema;
pub mod stats_index;
pub mod stats_job;
pub mod stats_run;
pub mod stream;
pub mod time;
pub mod topology;
pub mod version;
pub mod worker_config;
pub mod worker_status;
