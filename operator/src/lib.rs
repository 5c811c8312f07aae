//! The operator: three custom resources become a running parking platform on Kubernetes.
//!
//! A reconcile is `observe -> validate -> plan -> apply -> status`. Only `observe` and `apply` touch the
//! cluster; `validate`, `plan` and `status` are pure and may name no client, runtime or clock.

pub mod apis;
pub mod backoff;
pub mod error;
pub mod foreign;
pub mod gate;
pub mod labels;
pub mod leader;
pub mod metrics;
pub mod monotonic;
pub mod object;
pub mod outgoing;
pub mod owned_kinds;
pub mod plan;
pub mod poll;
pub mod problem;
pub mod server;
pub mod settings;
pub mod validate;
