//! The metadata that every object of a pipeline carries.
//!
//! Invariant: the owner labels are always there; the owner reference is, except on what must outlive a
//! foreground deletion of the pipeline (identities, Secrets, Redis), which the finalizer removes in order.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::core::DynamicObject;
use parking_crds::manifest::API_VERSION;
use serde::Serialize;
use serde_json::json;

use crate::{
    labels,
    validate::{Owner, ValidPipeline},
};

/// Metadata of an object that the garbage collector removes with the pipeline.
pub(super) fn owned(pipeline: &ValidPipeline, component: &str, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta { owner_references: owner_reference(&pipeline.owner), ..unowned(pipeline, component, name) }
}

/// Metadata of an object that only the finalizer removes.
pub(super) fn unowned(pipeline: &ValidPipeline, component: &str, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(pipeline.id.namespace.to_string()),
        labels: Some(labels::of(&pipeline.id, component)),
        ..ObjectMeta::default()
    }
}

/// The pods of a component.
pub(super) fn pods_of(pipeline: &ValidPipeline, component: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels::selector(&pipeline.id, component)),
        ..LabelSelector::default()
    }
}

/// An object of metadata and spec, for kinds whose spec is no type of Kubernetes itself.
pub(super) fn with_spec(metadata: ObjectMeta, spec: &impl Serialize) -> DynamicObject {
    DynamicObject { types: None, metadata, data: json!({"spec": spec}) }
}

/// Nothing when planned offline: the owner has no uid yet.
pub(super) fn owner_reference(owner: &Owner) -> Option<Vec<OwnerReference>> {
    (!owner.uid.is_empty()).then(|| {
        vec![OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: owner.kind.to_owned(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]
    })
}
