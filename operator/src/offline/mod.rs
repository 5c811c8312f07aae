//! Plans without a cluster: manifests in, the whole planned system out.
//!
//! Must not: talk to a cluster. Only `read` opens files.

pub mod print;
pub mod read;
