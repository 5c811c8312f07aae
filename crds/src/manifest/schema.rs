//! The structural part of what the API server checks: known fields, types, bounds, enumerations.
//!
//! Patterns are left to the types themselves, whose messages say more.

use std::{collections::BTreeSet, sync::LazyLock};

use kube::core::CustomResourceExt;
use serde_json::{Map, Value};

use crate::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};

/// A field's path and what is wrong with it.
pub(super) type Finding = (String, String);

const METADATA: [&str; 15] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

fn schema_of<T: CustomResourceExt>() -> Value {
    let versions = T::crd().spec.versions;
    let schema = versions.into_iter().next().and_then(|version| version.schema);
    serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema)).unwrap_or_default()
}

macro_rules! schema {
    ($name:ident, $kind:ty) => {
        pub(super) fn $name() -> &'static Value {
            static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<$kind>);
            &SCHEMA
        }
    };
}

schema!(pipeline, ParkingPipeline);
schema!(alert_rule, AlertRule);
schema!(stats_job, StatsJob);

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Checks what every object has: `apiVersion`, `kind`, `metadata` and the kind's own fields.
pub(super) fn check_envelope(object: &Value, fields: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    let unknown = |path: &str, object: Option<&Value>, known: &dyn Fn(&str) -> bool| -> Vec<Finding> {
        let keys = object.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        keys.filter(|key| !known(key.as_str())).map(|key| (join(path, key), UNKNOWN.to_owned())).collect()
    };
    let known = |key: &str| ["apiVersion", "kind", "metadata"].contains(&key) || fields.contains(&key);
    found.extend(unknown("", Some(object), &known));
    found.extend(unknown("metadata", object.get("metadata"), &|key| METADATA.contains(&key)));
    if object.pointer("/metadata/name").and_then(Value::as_str).is_none_or(str::is_empty) {
        found.push(("metadata.name".to_owned(), "is missing".to_owned()));
    }
    found
}

const UNKNOWN: &str = "is not a known field";

/// Checks the fields that the schema describes.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(key)) {
            check_value(schema, value, key, &mut found);
        }
    }
    check_required(schema, object, "", &mut found);
    found
}

fn check_value(schema: &Value, value: &Value, path: &str, found: &mut Vec<Finding>) {
    let mut report = |message: String| found.push((path.to_owned(), message));
    match (kind(schema), value) {
        (_, Value::Null) if schema.get("nullable") == Some(&Value::Bool(true)) => {}
        (Some("object"), Value::Object(entries)) => check_object(schema, value, entries, path, found),
        (Some("array"), Value::Array(items)) => check_list(schema, items, path, found),
        (Some("string"), Value::String(text)) => {
            check_bounds(schema, ["minLength", "maxLength"], count(text.chars()), "characters", &mut report);
            check_enum(schema, value, &mut report);
        }
        (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {
            check_bounds(
                schema,
                ["minimum", "maximum"],
                number.as_i64().unwrap_or(i64::MAX),
                "",
                &mut report,
            );
        }
        (Some("boolean"), Value::Bool(_)) | (None, _) => {}
        (Some("string"), Value::Number(_) | Value::Bool(_)) => {
            report(format!("must be a string: write \"{value}\""));
        }
        (Some(expected), _) => report(format!("must be {}, not {}", article(expected), describe(value))),
    }
}

fn kind(schema: &Value) -> Option<&str> {
    schema.get("type").and_then(Value::as_str)
}

fn check_object(
    schema: &Value,
    object: &Value,
    entries: &Map<String, Value>,
    path: &str,
    found: &mut Vec<Finding>,
) {
    let size = count(entries.iter());
    check_bounds(schema, ["minProperties", "maxProperties"], size, "entries", &mut |message| {
        found.push((path.to_owned(), message));
    });
    let keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let additional = schema.get("additionalProperties").filter(|additional| additional.is_object());
    for (key, value) in entries {
        let field = join(path, key);
        let known = schema.get("properties").and_then(|properties| properties.get(key));
        match known.or(additional) {
            Some(schema) => check_value(schema, value, &field, found),
            None if keeps_unknown => {}
            None => found.push((field, UNKNOWN.to_owned())),
        }
    }
    check_required(schema, object, path, found);
}

fn check_required(schema: &Value, object: &Value, path: &str, found: &mut Vec<Finding>) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for key in required.filter_map(Value::as_str).filter(|key| object.get(key).is_none()) {
        found.push((join(path, key), "is missing".to_owned()));
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Finding>) {
    check_bounds(schema, ["minItems", "maxItems"], count(items.iter()), "entries", &mut |message| {
        found.push((path.to_owned(), message));
    });
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let field = format!("{path}[{index}]");
        if let Some(schema) = schema.get("items") {
            check_value(schema, item, &field, found);
        }
        if is_set && !seen.insert(("", item.as_str().unwrap_or_default())) {
            found.push((field.clone(), format!("{item} stands in this list twice")));
        }
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            let name = item.get(key).and_then(Value::as_str).unwrap_or_default();
            if !seen.insert((key, name)) {
                found.push((join(&field, key), format!("`{name}` stands in this list twice")));
            }
        }
    }
}

fn check_bounds(
    schema: &Value,
    [low, high]: [&str; 2],
    size: i64,
    unit: &str,
    report: &mut dyn FnMut(String),
) {
    let bound =
        |name| schema.get(name).and_then(|bound| bound.as_i64().or_else(|| bound.as_f64().map(whole)));
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    if let Some(low) = bound(low).filter(|low| size < *low) {
        report(format!("must be at least {low}{unit}, not {size}"));
    }
    if let Some(high) = bound(high).filter(|high| size > *high) {
        report(format!("must be at most {high}{unit}, not {size}"));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounds of integer fields are whole numbers")]
fn whole(bound: f64) -> i64 {
    bound as i64
}

fn check_enum(schema: &Value, value: &Value, report: &mut dyn FnMut(String)) {
    let Some(allowed) = schema.get("enum").and_then(Value::as_array) else { return };
    if !allowed.contains(value) {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        report(format!("{value} is not one of {}", names.join(", ")));
    }
}

fn count(items: impl Iterator) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn article(kind: &str) -> &str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "string" => "a string",
        other => other,
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "this number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
