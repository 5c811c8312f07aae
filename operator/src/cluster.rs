//! Access to the API server for each kind of the table: which resource, in which version and namespace.

use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use crate::{
    apis::{Apis, StrimziVersion},
    owned_kinds::OwnedKind,
};

/// The resource that stands for a kind, in the version that the cluster serves.
pub fn resource(kind: OwnedKind, apis: &Apis) -> ApiResource {
    let row = kind.row();
    let version = match kind {
        OwnedKind::KafkaTopic | OwnedKind::KafkaUser => {
            apis.strimzi.map_or(row.version, StrimziVersion::as_str)
        }
        _ => row.version,
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(row.group, version, row.name), row.plural)
}

/// Objects of a kind in one namespace.
pub fn objects(client: &Client, kind: OwnedKind, apis: &Apis, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind, apis))
}
