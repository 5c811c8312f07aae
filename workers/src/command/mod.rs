//! The subcommands of `parking`, one file each.
//!
//! Must not hold domain rules. A command reads its input, calls the domain through the ports and renders.

pub mod bench;
pub mod doctor;
pub mod feed;
pub mod get;
pub mod import;
pub mod inventory;
pub mod progress;
pub mod replay;
mod schedule;
pub mod send;
pub mod simulate;
