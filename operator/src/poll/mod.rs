//! What is asked again and again because it cannot be watched: Secrets by name, and the workers' own status.

pub mod secrets;
pub mod workers;
