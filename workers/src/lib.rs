//! The roles of a parking pipeline.

pub mod adapters;
pub mod command;
pub mod deployment;
pub mod http;
pub mod ingest;
pub mod metrics;
pub mod ports;
pub mod rows;
pub mod runtime;
pub mod sentence;
mod stage_metrics;
pub mod stop;
pub mod up;
pub mod view;
pub mod worker;

pub use parking_domain as domain;
