//! Asks the API server what it would store, without storing it.

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::{
    change::{Change, Verb},
    compare::{FieldChange, changes},
};
use crate::{
    apis::Apis,
    apply::{changes_claims, hands_over_replicas, with_hash},
    cluster, labels,
    live::{Live, is_ours},
    plan::Planned,
    plugin::{Failure, MANAGER},
};

/// What would become of an object of the files; none where nothing would.
pub(super) async fn of_file(
    client: &Client,
    resource: &ApiResource,
    file: &DynamicObject,
) -> Result<Option<Change>, Failure> {
    let (namespace, name) = (file.namespace().unwrap_or_default(), file.name_any());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
    let what = format!("{} {namespace}/{name}", resource.kind);
    let live = api.get_opt(&name).await.map_err(Failure::request(format!("reading {what}")))?;
    let would_be = match &live {
        None => {
            let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
            api.create(&params, file).await
        }
        // As if the file were applied again: what it no longer says goes.
        Some(_) if file.data.get("spec").is_some() => {
            let patch = json!([{"op": "replace", "path": "/spec", "value": file.data.get("spec")}]);
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            match serde_json::from_value::<json_patch::Patch>(patch) {
                Ok(patch) => api.patch(&name, &params, &Patch::Json::<()>(patch)).await,
                Err(error) => Err(kube::Error::SerdeError(error)),
            }
        }
        Some(_) => {
            let params = PatchParams { dry_run: true, ..PatchParams::apply(MANAGER).force() };
            api.patch(&name, &params, &Patch::Apply(file)).await
        }
    };
    let verb = verb(&what, live.as_ref(), would_be, |_| true)?;
    Ok(verb.map(|verb| Change { kind: resource.kind.clone(), namespace, name, verb }))
}

/// What would become of an object that the operator makes; none where nothing would.
pub(super) async fn of_plan(
    client: &Client,
    apis: &Apis,
    seen: &Live,
    planned: &Planned,
) -> Result<Option<Change>, Failure> {
    let key = planned.key();
    let api = cluster::objects(client, planned.kind, apis, &planned.namespace);
    let live = match seen.get(&key) {
        Some(live) => Some(live.clone()),
        None => api.get_opt(&planned.name).await.map_err(Failure::request(format!("reading {key}")))?,
    };
    let change = |verb| Change {
        kind: planned.kind.row().name.to_owned(),
        namespace: planned.namespace.clone(),
        name: planned.name.clone(),
        verb,
    };
    if let Some(live) = &live {
        if !is_ours(live) {
            let why =
                "it exists and was not made by the operator: rename or delete it, or rename the pipeline";
            return Ok(Some(change(Verb::Refused(why.to_owned()))));
        }
        let stored = serde_json::to_value(live).unwrap_or_default();
        if changes_claims(planned, &stored) {
            let fields = changes(&stored, &planned.manifest);
            let fields = fields.into_iter().filter(|field| field.new.is_some()).collect();
            return Ok(Some(change(Verb::Remade(fields))));
        }
    }
    let mut manifest = with_hash(&planned.manifest);
    if let Some(version) = manifest.get_mut("apiVersion") {
        *version = cluster::resource(planned.kind, apis).api_version.into();
    }
    let params = PatchParams { dry_run: true, ..PatchParams::apply(labels::MANAGER).force() };
    let would_be = api.patch(&planned.name, &params, &Patch::Apply(&manifest)).await;
    // Another manager holds the replicas from the moment at which the operator lets go of them.
    let handed_over = live.as_ref().is_some_and(|live| hands_over_replicas(planned, live));
    let counts = |field: &FieldChange| !(handed_over && field.is_below(&["spec", "replicas"]));
    Ok(verb(&key.to_string(), live.as_ref(), would_be, counts)?.map(change))
}

fn verb(
    what: &str,
    live: Option<&DynamicObject>,
    would_be: Result<DynamicObject, kube::Error>,
    counts: impl Fn(&FieldChange) -> bool,
) -> Result<Option<Verb>, Failure> {
    let would_be = match would_be {
        Ok(object) => object,
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404 | 409 | 422) => {
            return Ok(Some(Verb::Refused(status.message.clone())));
        }
        Err(error) => return Err(Failure::request(format!("a dry run of {what}"))(error)),
    };
    let Some(live) = live else { return Ok(Some(Verb::Created)) };
    let value = |object: &DynamicObject| serde_json::to_value(object).unwrap_or(Value::Null);
    let fields: Vec<FieldChange> =
        changes(&value(live), &value(&would_be)).into_iter().filter(|field| counts(field)).collect();
    Ok((!fields.is_empty()).then_some(Verb::Changed(fields)))
}
