//! The user's part of a pod template, merged over the operator's as a strategic merge does it.
//!
//! Invariants: maps merge; the lists of [`KEYS`] merge by their key, with the operator's entries first; every
//! other list and every text is replaced; null removes. So a setting of ours goes only if the user names it.
//! What selects and owns the pods is written again after the merge and cannot be changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Lists of a pod that merge, and the member that tells their entries apart.
const KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
];

/// Lists of which an entry has one source: another source replaces it instead of standing beside it.
const ONE_SOURCE: &[&str] = &["volumes", "env"];

/// What of the template may not be overridden.
pub(super) struct Fixed {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Merges `written` over `planned`. Of a template only `metadata.labels`, `metadata.annotations` and `spec`
/// exist; anything else in `written` is left out.
pub(super) fn merge(mut planned: Value, written: &Map<String, Value>, fixed: Fixed) -> Value {
    let metadata = written.get("metadata").and_then(Value::as_object);
    let texts = |part: &str| metadata.and_then(|metadata| metadata.get(part)).cloned();
    let mut patch = Map::new();
    let mut kept = Map::new();
    for part in ["labels", "annotations"] {
        kept.extend(texts(part).map(|value| (part.to_owned(), value)));
    }
    patch.insert("metadata".to_owned(), kept.into());
    patch.extend(written.get("spec").map(|spec| ("spec".to_owned(), spec.clone())));
    merge_value("", &mut planned, &patch.into());
    for (part, values) in [("labels", fixed.labels), ("annotations", fixed.annotations)] {
        overwrite(&mut planned, part, values);
    }
    planned
}

fn overwrite(template: &mut Value, part: &str, values: BTreeMap<String, String>) {
    let metadata = entry(template, "metadata");
    let target = entry(metadata, part);
    if let Some(target) = target.as_object_mut() {
        target.extend(values.into_iter().map(|(key, value)| (key, value.into())));
    }
}

/// The member of a map, which is made if there is none.
fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Map::new().into();
    }
    let Value::Object(map) = value else {
        unreachable!("made above");
    };
    map.entry(key).or_insert_with(|| Map::new().into())
}

fn merge_value(field: &str, ours: &mut Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => merge_map(ours, theirs),
        (Value::Array(ours), Value::Array(theirs)) => match key_of(field) {
            Some(key) => merge_list(field, key, ours, theirs),
            None => ours.clone_from(theirs),
        },
        (ours, theirs) => *ours = theirs.clone(),
    }
}

fn merge_map(ours: &mut Map<String, Value>, theirs: &Map<String, Value>) {
    for (field, value) in theirs {
        if value.is_null() {
            ours.remove(field);
            continue;
        }
        match ours.get_mut(field) {
            Some(present) => merge_value(field, present, value),
            None => {
                ours.insert(field.clone(), value.clone());
            }
        }
    }
}

fn key_of(list: &str) -> Option<&'static str> {
    KEYS.iter().find(|(field, _)| *field == list).map(|(_, key)| *key)
}

fn merge_list(list: &str, key: &str, ours: &mut Vec<Value>, theirs: &[Value]) {
    for value in theirs {
        let name = value.get(key);
        match ours.iter_mut().find(|item| name.is_some() && item.get(key) == name) {
            Some(item) => {
                if ONE_SOURCE.contains(&list) {
                    keep_named_source(key, item, value);
                }
                merge_value("", item, value);
            }
            None => ours.push(value.clone()),
        }
    }
}

/// Drops our source of an entry if theirs names another one.
fn keep_named_source(key: &str, ours: &mut Value, theirs: &Value) {
    let (Some(ours), Some(theirs)) = (ours.as_object_mut(), theirs.as_object()) else {
        return;
    };
    if theirs.keys().any(|member| member != key) {
        ours.retain(|member, _| member == key || theirs.contains_key(member));
    }
}
