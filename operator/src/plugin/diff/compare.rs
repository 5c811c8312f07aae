//! What differs between two objects, field by field: pure.
//!
//! Invariants: equal objects differ in nothing; a value below `data` of a Secret is never part of a difference.

use std::fmt;

use serde_json::{Map, Value};

use crate::{drift::list_key, labels};

/// Longest value that is shown whole, in characters.
const LONGEST: usize = 80;
/// What stands where a Secret has content.
const HIDDEN: &str = "(hidden)";

/// A field whose value differs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FieldChange {
    /// Members and items that lead to it.
    pub(super) path: Vec<String>,
    /// What stands there; none where nothing does.
    pub(super) old: Option<Value>,
    /// What would stand there; none where nothing would.
    pub(super) new: Option<Value>,
}

impl FieldChange {
    /// Whether the field lies below a path such as `spec.template`.
    pub(super) fn is_below(&self, path: &[&str]) -> bool {
        self.path.len() >= path.len() && self.path.iter().zip(path).all(|(step, wanted)| step == wanted)
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.path.iter().enumerate() {
            let is_word = step.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
            match (index, is_word) {
                (_, false) => write!(f, "[{step}]")?,
                (0, true) => f.write_str(step)?,
                (_, true) => write!(f, ".{step}")?,
            }
        }
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, ": {} → {}", brief(old), brief(new)),
            (None, Some(new)) => write!(f, ": added {}", brief(new)),
            (Some(old), None) => write!(f, ": removed {}", brief(old)),
            (None, None) => Ok(()),
        }
    }
}

/// A value on one line, cut where it is long.
fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.is_empty() && !text.contains('\n') => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let kept: String = text.chars().take(LONGEST).collect();
    format!("{kept}… ({} characters)", text.chars().count())
}

/// What differs, as far as people decide about it: what the server keeps for itself is left out.
pub(super) fn changes(live: &Value, wanted: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    walk(&mut Vec::new(), Some(&decided(live)), Some(&decided(wanted)), &mut found);
    if wanted.get("kind").or_else(|| live.get("kind")).is_some_and(|kind| kind == "Secret") {
        found.iter_mut().for_each(hide);
    }
    found
}

fn hide(change: &mut FieldChange) {
    if change.is_below(&["data"]) || change.is_below(&["stringData"]) {
        for value in [&mut change.old, &mut change.new].into_iter().flatten() {
            *value = HIDDEN.into();
        }
    }
}

/// The object without its status, without what the server notes in the metadata, and without its kind and version,
/// which items of a list do not repeat.
fn decided(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(members) = object.as_object_mut() else { return object };
    for told_elsewhere in ["apiVersion", "kind", "status"] {
        members.remove(told_elsewhere);
    }
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| {
            matches!(
                key.as_str(),
                "name" | "namespace" | "labels" | "annotations" | "ownerReferences" | "finalizers"
            )
        });
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(labels::PLAN_HASH);
        }
        metadata.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
    }
    object
}

fn walk(path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                step(path, key, old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => lists(path, old, new, found),
        _ => found.push(FieldChange { path: path.clone(), old: old.cloned(), new: new.cloned() }),
    }
}

fn step(
    path: &mut Vec<String>,
    key: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    found: &mut Vec<FieldChange>,
) {
    path.push(key.to_owned());
    walk(path, old, new, found);
    path.pop();
}

/// Items with names are matched by name, others by their place.
fn lists(path: &mut Vec<String>, old: &[Value], new: &[Value], found: &mut Vec<FieldChange>) {
    let key = list_key(new).or_else(|| list_key(old));
    let Some(key) =
        key.filter(|key| [old, new].iter().all(|all| all.is_empty() || list_key(all) == Some(key)))
    else {
        for index in 0..old.len().max(new.len()) {
            step(path, &format!("#{index}"), old.get(index), new.get(index), found);
        }
        return;
    };
    let of = |all: &[Value], name: &Value| all.iter().find(|item| item.get(key) == Some(name)).cloned();
    let mut names: Vec<&Value> = old.iter().chain(new).filter_map(|item| item.get(key)).collect();
    let mut seen: Vec<&Value> = Vec::new();
    names.retain(|name| {
        let fresh = !seen.contains(name);
        seen.push(name);
        fresh
    });
    for name in names {
        let text = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        step(path, &format!("{key}={text}"), of(old, name).as_ref(), of(new, name).as_ref(), found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn told(live: &Value, wanted: &Value) -> Vec<String> {
        changes(live, wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_server_keeps_for_itself_is_no_difference() {
        let live = json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "annotations": {labels::PLAN_HASH: "x"}},
            "spec": {"replicas": 2}, "status": {"replicas": 1},
        });
        let wanted = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "a", "resourceVersion": "8"}, "spec": {"replicas": 2},
        });
        assert_eq!(told(&live, &wanted), [""; 0], "an item of a list has no kind of its own");
    }

    #[test]
    fn fields_are_named_with_old_and_new_value() {
        let container = |image: &str| json!({"name": "worker", "image": image});
        let live = json!({
            "metadata": {"annotations": {"parking.tinyx.io/config-hash": "a"}},
            "spec": {"containers": [container("a"), {"name": "mesh"}], "args": ["x"]},
        });
        let wanted = json!({
            "metadata": {"annotations": {"parking.tinyx.io/config-hash": "b"}},
            "spec": {"containers": [container("b")], "args": ["x", "y"], "replicas": 2},
        });
        assert_eq!(
            told(&live, &wanted),
            [
                "metadata.annotations[parking.tinyx.io/config-hash]: a → b",
                "spec.args[#1]: added y",
                "spec.containers[name=worker].image: a → b",
                r#"spec.containers[name=mesh]: removed {"name":"mesh"}"#,
                "spec.replicas: added 2",
            ]
        );
    }

    #[test]
    fn what_a_secret_holds_is_never_shown() {
        let secret = |data: &Value| json!({"kind": "Secret", "data": data, "type": "Opaque"});
        let (live, wanted) =
            (secret(&json!({"key": "b2xk"})), secret(&json!({"key": "bmV3", "more": "bmV3"})));
        assert_eq!(told(&live, &wanted), ["data.key: (hidden) → (hidden)", "data.more: added (hidden)"]);
        let whole = told(&json!({"kind": "Secret"}), &wanted);
        assert_eq!(whole, ["data: added (hidden)", "type: added Opaque"]);
    }

    #[test]
    fn long_values_are_cut() {
        let text = told(&json!({"data": "a"}), &json!({"data": "b".repeat(500)})).join("");
        assert!(text.ends_with("… (500 characters)") && text.chars().count() < 120, "{text}");
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("name|a|b", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn there_are_changes_exactly_where_objects_differ(left in object(), right in object()) {
            let (left, right) = (json!({"spec": left}), json!({"spec": right}));
            prop_assert!(changes(&left, &left).is_empty());
            let differ = !changes(&left, &right).is_empty();
            // The order of items that have names says nothing.
            if left == right { prop_assert!(!differ); }
            if !left.to_string().contains("name") { prop_assert_eq!(differ, left != right); }
        }
    }
}
