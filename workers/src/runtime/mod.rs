//! How the roles run: the loops that move records from port to port.

pub mod alert;
pub mod archive;
pub mod notify;
pub mod occupancy;
pub mod outputs;
pub mod rest;
pub mod role;
pub mod share;
pub mod snapshot;
pub mod stage;
mod tick;
