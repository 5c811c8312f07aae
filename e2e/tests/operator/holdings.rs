//! What the operator has made, told so that two runs can be compared: nothing that time, chance or the namespace's
//! name decides.

use std::collections::BTreeMap;

use parking_crds::topology::PipelineId;
use serde_json::{Map, Value, json};

use crate::city::{City, PIPELINE};

/// Every object by kind and name.
pub(crate) type Holdings = BTreeMap<String, Value>;

/// What controllers of Kubernetes derive.
const DERIVED: [&str; 7] =
    ["ControllerRevision", "EndpointSlice", "Endpoints", "Event", "Lease", "Pod", "ReplicaSet"];
/// Kinds of ours, whose status is compared as well.
const OURS: [&str; 3] = ["AlertRule", "ParkingPipeline", "StatsJob"];
/// Hashes of plans and configuration, in which the namespace's name is.
const HASHES: [&str; 3] =
    ["parking.tinyx.io/config-hash", "parking.tinyx.io/plan-hash", "deployment.kubernetes.io/revision"];

/// Everything of ours in the city's namespace.
pub(crate) async fn holdings(city: &City) -> Holdings {
    let content = city.namespace.content().await.unwrap();
    let ours = content.into_iter().filter(|object| {
        let label = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by");
        let kind = text(object, "/kind");
        // What Strimzi makes for a user carries the user's labels.
        let foreign = object.pointer("/metadata/labels/strimzi.io~1kind").is_some();
        !DERIVED.contains(&kind)
            && !foreign
            && (OURS.contains(&kind) || label.and_then(Value::as_str) == Some("parking-operator"))
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

/// The text without the namespace's name, and without its hash, which is in the names of users.
fn without(text: &str, city: &City) -> String {
    let namespace = city.namespace.name();
    let id = PipelineId { namespace: namespace.parse().unwrap(), name: PIPELINE.parse().unwrap() };
    let user = id.scaler_user().to_string();
    let (_, hash) = user.rsplit_once('-').unwrap();
    text.replace(namespace, "NAMESPACE").replace(hash, "HASH")
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
    hide_hashes(&mut object);
    object
}

fn metadata(found: &Value) -> Value {
    let owners = found["ownerReferences"].as_array().map(|owners| {
        owners
            .iter()
            .map(|owner| format!("{} {}", text(owner, "/kind"), text(owner, "/name")))
            .collect::<Vec<_>>()
    });
    json!({
        "labels": found["labels"], "annotations": found["annotations"], "finalizers": found["finalizers"],
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

fn hide_hashes(value: &mut Value) {
    match value {
        Value::Object(members) => hide_in(members),
        Value::Array(items) => items.iter_mut().for_each(hide_hashes),
        _ => {}
    }
}

fn hide_in(members: &mut Map<String, Value>) {
    for (key, value) in members {
        if HASHES.contains(&key.as_str()) {
            *value = json!("…");
        } else {
            hide_hashes(value);
        }
    }
}
