//! The operator: three custom resources become a running parking platform on Kubernetes.
//!
//! A reconcile is `observe -> validate -> plan -> apply -> status`. Only `observe` and `apply` touch the
//! cluster; `validate`, `plan` and `status` are pure and may name no client, runtime or clock.

pub mod apis;
pub mod apply;
pub mod architecture;
pub mod backoff;
pub mod bucket;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod discovery;
pub mod drift;
pub mod error;
pub mod foreign;
pub mod gate;
pub mod labels;
pub mod leader;
pub mod lifecycle;
pub mod live;
pub mod metrics;
pub mod monotonic;
pub mod object;
pub mod observe;
pub mod offline;
pub mod outgoing;
pub mod owned_kinds;
pub mod plan;
pub mod plugin;
pub mod poll;
pub mod problem;
pub mod rbac;
pub mod redis;
pub mod removal;
pub mod rollout;
pub mod run;
pub mod server;
pub mod settings;
pub mod stats_job;
pub mod status;
pub mod uninstall;
pub mod validate;
pub mod versions;
pub mod wall_clock;
