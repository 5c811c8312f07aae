//! The roles of a parking pipeline.

pub mod domain;
pub mod ports;
