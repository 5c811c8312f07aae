//! What goes wrong around a test, as against what a test finds.

use std::{io, time::Duration};

/// Why the surroundings of a test failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program or file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An answer of the API server.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// A kubeconfig that cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A manifest that is no object.
    #[error("this manifest cannot be applied: {0}")]
    Manifest(String),
    /// Something that a test does not have here.
    #[error("{0}")]
    Unavailable(String),
    /// A condition that did not come to hold.
    #[error("{what}: not within {limit:?}; last seen: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was there instead.
        last: String,
    },
    /// A condition that held no longer.
    #[error("{what}: broken after {after:?}: {last}")]
    Broken {
        /// What had to hold.
        what: String,
        /// For how long it did.
        after: Duration,
        /// What was there instead.
        last: String,
    },
}

/// The outcome of a step of the surroundings.
pub type Result<T> = std::result::Result<T, Error>;
