//! `kubectl parking`: what people ask of pipelines and tell them, with their own rights and kubeconfig.
//!
//! One file a command; what is said is made by pure functions, and only what is named `read` or takes a [`Session`]
//! talks to the cluster.
//!
//! Must not: write an object that the operator makes, or a field that a manifest holds. What a command changes is an
//! annotation under its own field manager, [`MANAGER`], so a GitOps tool that applies its manifests again undoes
//! nothing; `release` alone removes something, the operator's finalizer.

pub mod acknowledge;
mod annotations;
pub mod backfill;
pub mod cli;
pub mod connect;
pub mod diff;
mod failure;
pub mod phase;
pub mod release;
pub mod rotate;
pub mod status;
mod tree;

pub use connect::Session;
pub use failure::Failure;
pub use tree::{Branch, Tone};

/// Field manager of the annotations that commands write.
pub const MANAGER: &str = "kubectl-parking";

/// What a command ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// For standard error.
    pub notes: String,
    /// The exit code.
    pub code: u8,
}

impl Answer {
    /// It went well.
    pub fn fine(text: impl Into<String>) -> Self {
        Self { text: text.into(), notes: String::new(), code: 0 }
    }
}
