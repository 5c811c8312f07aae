//! Plans without a cluster: manifests in, the whole planned system out.
//!
//! Must not: talk to a cluster. Only `read` opens files.

mod gather;
mod plan;
pub mod print;
mod read;
mod system;

pub use gather::{Gathered, gather};
pub use plan::{PlanError, Shown, plan};
pub use read::{Placed, ReadError, read};
pub use system::{System, systems};
