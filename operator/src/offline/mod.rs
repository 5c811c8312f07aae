//! Plans without a cluster: manifests in, the whole planned system out.
//!
//! Must not: talk to a cluster. Only `read` opens files.

mod gather;
pub mod print;
mod read;

pub use gather::{Gathered, gather};
pub use read::{Placed, ReadError, read};
