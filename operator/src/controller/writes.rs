//! Writes on our own three kinds: status and finalizer.
//!
//! Invariants: a status that says the same is not written; a finalizer is patched with a test of what was seen.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    error::{Class, Classify},
    labels,
    status::transitions,
};

use super::{Context, Ours};

/// A write on one of our own objects failed.
#[derive(Debug, thiserror::Error)]
#[error("{what} of {object} could not be written: {source}")]
pub struct WriteError {
    what: &'static str,
    object: String,
    source: kube::Error,
}

impl Classify for WriteError {
    fn class(&self) -> Class {
        self.source.class()
    }
}

impl WriteError {
    /// A write of something on an object failed.
    pub(super) fn new(what: &'static str, object: &str, source: kube::Error) -> Self {
        Self { what, object: object.to_owned(), source }
    }

    /// The request's own error.
    pub const fn request(&self) -> &kube::Error {
        &self.source
    }
}

fn api<K: Ours>(client: &Client, object: &K) -> Api<K> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Writes the status of an object where it says something else than before, and tells what changed. An object that is
/// gone needs none.
pub(super) async fn status<K: Ours>(
    context: &Context,
    object: &K,
    status: &K::Status,
) -> Result<(), WriteError> {
    if object.status() == Some(status) {
        return Ok(());
    }
    put_status(context, object, None, status).await?;
    let before = object.status().map_or(&[][..], K::conditions);
    context.events.tell(object, &transitions(before, K::conditions(status))).await;
    Ok(())
}

/// Writes the status of an object that nobody changed since; a conflict otherwise.
pub(super) async fn status_as_seen<K: Ours>(
    context: &Context,
    object: &K,
    status: &K::Status,
) -> Result<(), WriteError> {
    put_status(context, object, object.resource_version(), status).await
}

async fn put_status<K: Ours>(
    context: &Context,
    object: &K,
    version: Option<String>,
    status: &K::Status,
) -> Result<(), WriteError> {
    let metadata = ObjectMeta {
        name: Some(object.name_any()),
        namespace: object.namespace(),
        uid: object.uid(),
        resource_version: version,
        ..ObjectMeta::default()
    };
    let patch = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "status": status,
    });
    let params = PatchParams::apply(labels::STATUS_MANAGER).force();
    let api = api(&context.client, object);
    let writing = context.stores.echoes.begin(object);
    let written = api.patch_status(&object.name_any(), &params, &Patch::Apply(&patch)).await;
    ended("the status", object, written.map(|written| writing.brought(&written)))
}

/// Adds our finalizer where it is missing.
pub(super) async fn add_finalizer<K: Ours>(client: &Client, object: &K) -> Result<(), WriteError> {
    if object.finalizers().iter().any(|finalizer| finalizer == labels::FINALIZER) {
        return Ok(());
    }
    let added: Vec<&str> =
        object.finalizers().iter().map(String::as_str).chain([labels::FINALIZER]).collect();
    patch_finalizers(client, object, &added).await
}

/// Removes our finalizer: the object goes.
pub(super) async fn remove_finalizer<K: Ours>(client: &Client, object: &K) -> Result<(), WriteError> {
    let others = object.finalizers().iter().map(String::as_str).filter(|name| *name != labels::FINALIZER);
    patch_finalizers(client, object, &others.collect::<Vec<_>>()).await
}

async fn patch_finalizers<K: Ours>(
    client: &Client,
    object: &K,
    finalizers: &[&str],
) -> Result<(), WriteError> {
    let mut steps = vec![json!({"op": "test", "path": "/metadata/uid", "value": object.uid()})];
    if !object.finalizers().is_empty() {
        steps.push(json!({"op": "test", "path": "/metadata/finalizers", "value": object.finalizers()}));
    }
    steps.push(json!({"op": "add", "path": "/metadata/finalizers", "value": finalizers}));
    let steps: Result<json_patch::Patch, _> = serde_json::from_value(Value::from(steps));
    let Ok(steps) = steps else { return Ok(()) };
    let params = PatchParams { field_manager: Some(labels::MANAGER.to_owned()), ..PatchParams::default() };
    let written = api(client, object).patch(&object.name_any(), &params, &Patch::Json::<()>(steps)).await;
    ended("the finalizer", object, written.map(|_| ()))
}

fn ended<K: Resource<DynamicType = ()>>(
    what: &'static str,
    object: &K,
    written: Result<(), kube::Error>,
) -> Result<(), WriteError> {
    match written {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(WriteError {
            what,
            object: format!(
                "{} {}/{}",
                K::kind(&()),
                object.namespace().unwrap_or_default(),
                object.name_any()
            ),
            source,
        }),
        Ok(()) => Ok(()),
    }
}
