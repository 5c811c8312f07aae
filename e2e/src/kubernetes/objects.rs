//! Manifests as tests write them: YAML of one or more documents, of any kind.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{Scope, oneshot::pinned_kind},
};
use serde_json::Value;

use super::error::{Error, Result};

/// The field manager that tests apply with, as `kubectl apply --server-side` would.
pub const FIELD_MANAGER: &str = "e2e";

/// The objects of a text.
///
/// # Errors
/// When it is no YAML or an object lacks its kind.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|error| Error::Manifest(error.to_string()))?;
    let objects = documents.into_iter().filter(|document| !document.is_null());
    objects
        .map(|document| serde_json::from_value(document).map_err(|error| Error::Manifest(error.to_string())))
        .collect()
}

/// Where objects of this one's kind live; the namespace is used unless the object names its own.
///
/// # Errors
/// When the cluster does not serve the kind.
pub async fn api_for(client: &Client, object: &DynamicObject, namespace: &str) -> Result<Api<DynamicObject>> {
    let types =
        object.types.as_ref().ok_or_else(|| Error::Manifest("apiVersion and kind are missing".to_owned()))?;
    let gvk = GroupVersionKind::try_from(types).map_err(|error| Error::Manifest(error.to_string()))?;
    let (resource, capabilities) = pinned_kind(client, &gvk).await?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
    Ok(api_of(client, &resource, &capabilities.scope, namespace))
}

/// Where objects of a kind live.
#[must_use]
pub fn api_of(client: &Client, resource: &ApiResource, scope: &Scope, namespace: &str) -> Api<DynamicObject> {
    match scope {
        Scope::Cluster => Api::all_with(client.clone(), resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// Applies every object in order, as the field manager `e2e`, and answers with what is stored.
///
/// # Errors
/// When the text is no manifest or the API server refuses an object.
pub async fn apply(client: &Client, namespace: &str, yaml: &str) -> Result<Vec<DynamicObject>> {
    let how = PatchParams::apply(FIELD_MANAGER).force();
    let mut stored = Vec::new();
    for object in parse(yaml)? {
        let api = api_for(client, &object, namespace).await?;
        let name = object
            .metadata
            .name
            .clone()
            .ok_or_else(|| Error::Manifest("metadata.name is missing".to_owned()))?;
        stored.push(api.patch(&name, &how, &Patch::Apply(&object)).await?);
    }
    Ok(stored)
}
