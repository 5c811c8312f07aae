//! Plans as text, for people and for tools.
//!
//! Must not: write anywhere. Invariant: no text holds the content of a Secret.

use std::collections::BTreeMap;

use parking_crds::topology::PipelineId;
use serde_json::{Value, json};

use crate::{
    labels,
    owned_kinds::OwnedKind,
    plan::{Plan, Planned},
};

/// What stands where a Secret has content.
const HIDDEN: &str = "(hidden)";

/// One YAML document for each object, in the order in which they are applied.
pub fn yaml(plans: &[(PipelineId, Plan)]) -> Result<String, serde_saphyr::SerializeError> {
    let mut text = String::new();
    for object in plans.iter().flat_map(|(_, plan)| &plan.objects) {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&shown(object))?);
    }
    Ok(text)
}

/// One `List` with every object.
pub fn json(plans: &[(PipelineId, Plan)]) -> String {
    let items: Vec<Value> = plans.iter().flat_map(|(_, plan)| &plan.objects).map(shown).collect();
    format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

/// Pipelines, under each the components that it consists of, under each the objects that make it.
pub fn tree(plans: &[(PipelineId, Plan)]) -> String {
    let mut text = String::new();
    for (id, plan) in plans {
        text.extend(["ParkingPipeline ", id.namespace.as_str(), "/", id.name.as_str(), "\n"]);
        let mut components = BTreeMap::<&str, Vec<&Planned>>::new();
        for object in &plan.objects {
            components.entry(component(object)).or_default().push(object);
        }
        branches(&mut text, "", components.into_iter(), |text, indent, (name, objects)| {
            text.extend([name, "\n"]);
            branches(text, indent, objects.into_iter(), |text, _, object| {
                text.extend([object.kind.row().name, " ", &object.namespace, "/", &object.name, "\n"]);
            });
        });
    }
    text
}

/// Writes each item after a branch; what the item writes below itself begins with the indent that it is given.
fn branches<T>(
    text: &mut String,
    indent: &str,
    items: impl ExactSizeIterator<Item = T>,
    write: impl Fn(&mut String, &str, T),
) {
    let count = items.len();
    for (number, item) in (1..).zip(items) {
        let (branch, below) = if number == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text.push_str(indent);
        text.push_str(branch);
        write(text, &format!("{indent}{below}"), item);
    }
}

fn component(object: &Planned) -> &str {
    let labels = object.manifest.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(labels::COMPONENT)).and_then(Value::as_str).unwrap_or("pipeline")
}

/// The manifest without what a Secret keeps.
fn shown(object: &Planned) -> Value {
    let mut manifest = object.manifest.clone();
    if object.kind == OwnedKind::Secret {
        for member in ["data", "stringData"] {
            let kept = manifest.get_mut(member).and_then(Value::as_object_mut);
            for value in kept.into_iter().flat_map(|kept| kept.values_mut()) {
                *value = HIDDEN.into();
            }
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> Vec<(PipelineId, Plan)> {
        let id = PipelineId { namespace: "parking".parse().unwrap(), name: "city".parse().unwrap() };
        let object = |kind: OwnedKind, component: &str, name: &str| {
            let mut manifest = json!({
                "apiVersion": kind.api_version(),
                "kind": kind.row().name,
                "metadata": {"namespace": "parking", "name": name, "labels": labels::of(&id, component)},
            });
            if kind == OwnedKind::Secret {
                manifest["data"] = json!({"password": "c2VjcmV0"});
                manifest["stringData"] = json!({"user": "secret"});
            }
            Planned { kind, namespace: "parking".to_owned(), name: name.to_owned(), manifest }
        };
        let objects = vec![
            object(OwnedKind::Secret, "redis", "city-redis"),
            object(OwnedKind::ConfigMap, "ingest", "city-ingest"),
            object(OwnedKind::StatefulSet, "redis", "city-redis"),
        ];
        vec![(id, Plan { objects })]
    }

    #[test]
    fn a_tree_shows_components_and_their_objects() {
        let expected = "ParkingPipeline parking/city\n\
                        ├─ ingest\n\
                        │  └─ ConfigMap parking/city-ingest\n\
                        └─ redis\n   ├─ Secret parking/city-redis\n   └─ StatefulSet parking/city-redis\n";
        assert_eq!(tree(&plans()), expected);
    }

    #[test]
    fn yaml_and_json_hold_the_same_objects_in_the_order_of_the_plan() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml(&plans()).unwrap()).unwrap();
        let list: Value = serde_json::from_str(&json(&plans())).unwrap();
        assert_eq!(list["items"].as_array(), Some(&documents));
        let kinds: Vec<_> = documents.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Secret", "ConfigMap", "StatefulSet"]);
    }

    #[test]
    fn what_a_secret_keeps_is_never_shown() {
        for text in [yaml(&plans()).unwrap(), json(&plans()), tree(&plans())] {
            assert!(!text.contains("c2VjcmV0") && !text.contains("secret"), "{text}");
        }
    }
}
