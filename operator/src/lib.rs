//! The operator: three custom resources become a running parking platform on Kubernetes.
//!
//! A reconcile is `observe -> validate -> plan -> apply -> status`. Only `observe` and `apply` touch the
//! cluster; `validate`, `plan` and `status` are pure and may name no client, runtime or clock.

pub mod apis;
pub mod apply;
pub mod cluster;
pub mod drift;
pub mod bucket;
pub mod error;
pub mod foreign;
pub mod labels;
pub mod lifecycle;
pub mod live;
pub mod cli;
pub mod error;
pub mod foreign;
pub mod labels;
pub mod offline;
pub mod owned_kinds;
pub mod plan;
pub mod problem;
pub mod rbac;
pub mod settings;
pub mod status;
pub mod uninstall;
pub mod validate;
