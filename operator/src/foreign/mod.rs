//! The parts of other projects' resources that the operator sets or reads; nothing more of them is typed.

pub mod strimzi;
pub mod keda;
pub mod monitoring;
