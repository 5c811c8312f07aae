//! The roles of a parking pipeline.

pub mod ports;
