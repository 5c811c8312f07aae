//! How the roles run: the loops that move records from port to port.

pub mod alert;
pub mod archive;
pub mod archive_share;
pub mod joint_share;
pub mod live;
pub mod notify;
pub mod notify_share;
pub mod occupancy;
pub mod outputs;
pub mod rest;
pub mod role;
pub mod share;
pub mod snapshot;
pub mod stage;
pub mod standing;
mod tick;
