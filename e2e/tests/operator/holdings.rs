//! What the operator has made, told so that two runs can be compared: nothing that time, chance or the namespace's
//! name decides.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::city::City;

/// Every object by kind and name.
pub(crate) type Holdings = BTreeMap<String, Value>;

/// What controllers of Kubernetes derive.
const DERIVED: [&str; 7] =
    ["ControllerRevision", "EndpointSlice", "Endpoints", "Event", "Lease", "Pod", "ReplicaSet"];
/// Kinds of ours, whose status is compared as well.
const OURS: [&str; 3] = ["AlertRule", "ParkingPipeline", "StatsJob"];
/// How many hexadecimal digits make a hash.
const HASH: usize = 10;
/// How often a Deployment has changed.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Everything of ours in the city's namespace.
pub(crate) async fn holdings(city: &City) -> Holdings {
    let content = city.namespace.content_of(|kind| !DERIVED.contains(&kind)).await.unwrap();
    let ours = content.into_iter().filter(|object| {
        let label = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by");
        let kind = text(object, "/kind");
        // What Strimzi makes for a user carries the user's labels.
        let foreign = object.pointer("/metadata/labels/strimzi.io~1kind").is_some();
        !foreign && (OURS.contains(&kind) || label.and_then(Value::as_str) == Some("parking-operator"))
    });
    ours.map(|object| {
        let name = format!("{} {}", text(&object, "/kind"), text(&object, "/metadata/name"));
        (without(&name, city), serde_json::from_str(&without(&comparable(object).to_string(), city)).unwrap())
    })
    .collect()
}

/// How one differs from the other, in lines.
pub(crate) fn difference(found: &Holdings, expected: &Holdings) -> Vec<String> {
    let names = found.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing = names.into_iter().filter(|name| found.get(*name) != expected.get(*name));
    differing
        .map(|name| match (found.get(name), expected.get(name)) {
            (Some(found), Some(expected)) => format!("{name}:\n   found {found}\n  expected {expected}"),
            (Some(_), None) => format!("{name}: too much"),
            (None, _) => format!("{name}: missing"),
        })
        .collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text without the namespace's name, and without hashes, in which it is.
fn without(text: &str, city: &City) -> String {
    let text = text.replace(city.namespace.name(), "NAMESPACE");
    let (mut kept, mut digits) = (String::new(), String::new());
    for character in text.chars().chain(['\0']) {
        if matches!(character, '0'..='9' | 'a'..='f') {
            digits.push(character);
            continue;
        }
        kept.push_str(if digits.len() < HASH { &digits } else { "HASH" });
        digits.clear();
        kept.push(character);
    }
    kept.trim_end_matches('\0').to_owned()
}

fn comparable(mut object: Value) -> Value {
    let ours = OURS.contains(&text(&object, "/kind"));
    let secret = text(&object, "/kind") == "Secret";
    let metadata = metadata(&object["metadata"]);
    let status = if ours { status(&object["status"]) } else { Value::Null };
    let Value::Object(members) = &mut object else { return object };
    if let Some(Value::Object(data)) = members.get_mut("data").filter(|_| secret) {
        data.values_mut().for_each(|value| *value = json!("…"));
    }
    for member in ["status", "types", "apiVersion", "kind"] {
        members.remove(member);
    }
    if let Some(Value::Object(spec)) = members.get_mut("spec") {
        spec.retain(|key, value| !key.starts_with("clusterIP") || *value == json!("None"));
    }
    members.insert("metadata".to_owned(), metadata);
    members.insert("status".to_owned(), status);
    object
}

fn metadata(found: &Value) -> Value {
    let mut annotations = found["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(REVISION);
    }
    let owners = found["ownerReferences"].as_array().map(|owners| {
        owners
            .iter()
            .map(|owner| format!("{} {}", text(owner, "/kind"), text(owner, "/name")))
            .collect::<Vec<_>>()
    });
    json!({
        "labels": found["labels"], "annotations": annotations, "finalizers": found["finalizers"],
        "owners": owners,
    })
}

fn status(found: &Value) -> Value {
    let conditions: BTreeMap<&str, [&str; 2]> = found["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|condition| (text(condition, "/type"), [text(condition, "/status"), text(condition, "/reason")]))
        .collect();
    json!({
        "conditions": conditions, "phase": found["phase"], "workers": found["workers"], "loaded": found["loaded"],
    })
}
