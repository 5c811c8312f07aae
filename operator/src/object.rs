//! Which of our objects something is about: the key of queues, polls, back-off and metrics.

use std::{fmt, sync::Arc};

/// One of the three kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A `ParkingPipeline`.
    Pipeline,
    /// An `AlertRule`.
    AlertRule,
    /// A `StatsJob`.
    StatsJob,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Pipeline, Self::AlertRule, Self::StatsJob];

    /// The kind as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "ParkingPipeline",
            Self::AlertRule => "AlertRule",
            Self::StatsJob => "StatsJob",
        }
    }
}

/// One of our objects. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectId {
    /// The object of that kind, namespace and name.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}
