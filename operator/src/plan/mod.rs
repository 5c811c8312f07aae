//! What must exist for a pipeline: infallible and pure, one produced kind a file.
//!
//! Must not: name a client, a runtime or a clock.
//! Invariants: the same input gives the same objects; names are unique; every object carries the owner labels
//! and is of a kind in `owned_kinds`; no member of an object is null or an empty list that a server would drop.

use serde::Serialize;
use serde_json::Value;

use crate::owned_kinds::OwnedKind;

mod job;
mod spark_application;

pub use job::{stats_objects, stats_run};
pub use spark_application::PROGRAM as SPARK_PROGRAM;

/// One object as it shall be, without anything that the server adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its kind.
    pub kind: OwnedKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole manifest, with `apiVersion`, `kind` and `metadata`.
    pub manifest: Value,
}

/// Everything that must exist for one object of our kinds, in the order of the owned-kinds table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The objects.
    pub objects: Vec<Planned>,
}

impl Plan {
    /// Adds an object of a Kubernetes type.
    pub fn add<T: Serialize + kube::ResourceExt>(&mut self, kind: OwnedKind, object: &T) {
        let mut manifest = serde_json::to_value(object).unwrap_or_default();
        if let Some(map) = manifest.as_object_mut() {
            map.insert("apiVersion".to_owned(), kind.api_version().into());
            map.insert("kind".to_owned(), kind.row().name.into());
        }
        self.objects.push(Planned {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            manifest,
        });
    }
}
