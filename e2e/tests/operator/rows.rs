//! Tables of edits: each row names a field, the object that shows it, and how.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use parking_e2e::kubernetes::wait::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::city::{City, LIMIT};

/// A field, the object that shows it (its kind and the beginning of its name), and a text that appears there.
pub(crate) type Row<'a> = (&'a str, &'a str, &'a str);

/// The field of rules and jobs whose change the API server refuses.
pub(crate) const PIPELINE_REF: &str = "pipelineRef.name";

/// Fails where a field is in no row, or a row names no field.
pub(crate) fn are_named(fields: &BTreeSet<String>, named: &BTreeSet<String>) {
    assert_eq!(fields.difference(named).collect::<Vec<_>>(), Vec::<&String>::new(), "no row");
    assert_eq!(named.difference(fields).collect::<Vec<_>>(), Vec::<&String>::new(), "no field");
}

/// Every object's text, by kind and name.
pub(crate) async fn shown(city: &City) -> BTreeMap<String, String> {
    let content = city.namespace.content().await.unwrap();
    let name = |object: &Value| {
        format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    content.iter().map(|object| (name(object), object.to_string())).collect()
}

/// Whether an object of the row's place has its text.
fn shows(objects: &BTreeMap<String, String>, (_, place, text): &Row<'_>) -> bool {
    let mut of_place = objects.iter().filter(|(name, _)| name.starts_with(place));
    of_place.any(|(_, object)| object.contains(text))
}

/// Fails where a row shows before the edit that it is about.
pub(crate) async fn do_not_show_yet<'a>(city: &City, rows: impl IntoIterator<Item = Row<'a>>) {
    let before = shown(city).await;
    let early: Vec<_> = rows.into_iter().filter(|row| shows(&before, row)).collect();
    assert!(early.is_empty(), "these prove nothing: {early:#?}");
}

/// Waits until every row shows.
pub(crate) async fn reach(city: &City, rows: &[Row<'_>]) {
    eventually("every edit reaches its object", 2 * LIMIT, async || {
        let objects = shown(city).await;
        let missing: Vec<_> = rows.iter().filter(|row| !shows(&objects, row)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:#?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

/// The API server refuses to point an object at another pipeline, and names the cure.
pub(crate) async fn stays_with_its_pipeline<K>(city: &City, name: &str, cure: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let elsewhere = Patch::Merge(json!({"spec": {"pipelineRef": {"name": "town"}}}));
    let objects: Api<K> = city.namespace.api();
    let refused = objects.patch(name, &PatchParams::default(), &elsewhere).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("spec.{PIPELINE_REF}")) && refused.contains(cure), "{refused}");
}
