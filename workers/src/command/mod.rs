//! The subcommands of `parking`, one file each.
//!
//! Must not hold domain rules. A command reads its input, calls the domain through the ports and renders.

pub mod import;
pub mod progress;
pub mod replay;
