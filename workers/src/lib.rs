//! The roles of a parking pipeline.
