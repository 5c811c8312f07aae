//! Which optional APIs the cluster serves.

use std::collections::BTreeSet;

use crate::owned_kinds::OwnedKind;

/// The Strimzi version that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrimziVersion {
    /// Strimzi 0.49 and later.
    V1,
    /// Strimzi up to 0.51.
    V1Beta2,
}

impl StrimziVersion {
    /// The version within `kafka.strimzi.io`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta2 => "v1beta2",
        }
    }
}

/// Which optional APIs the cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apis {
    /// The newest Strimzi API, if there is one.
    pub strimzi: Option<StrimziVersion>,
    /// Optional kinds that are served; kinds of Kubernetes itself are always there.
    pub optional: BTreeSet<OwnedKind>,
}

impl Apis {
    /// A cluster with every optional API, as offline planning assumes.
    pub fn all() -> Self {
        Self {
            strimzi: Some(StrimziVersion::V1),
            optional: OwnedKind::all().filter(|kind| kind.row().optional).collect(),
        }
    }

    /// Whether objects of the kind can exist.
    pub fn serve(&self, kind: OwnedKind) -> bool {
        !kind.row().optional || self.optional.contains(&kind)
    }
}
