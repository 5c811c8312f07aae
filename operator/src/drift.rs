//! Whether a live object still is what was planned, judged without asking the server.
//!
//! Must not: name a client.
//! Invariants: fields that others added are no drift; a planned field that changed or vanished is.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Hash of a manifest, equal for equal manifests whatever the order of their members.
pub fn plan_hash(manifest: &Value) -> String {
    let mut text = String::new();
    write_sorted(manifest, &mut text);
    let digest: [u8; 32] = Sha256::digest(text).into();
    HEXLOWER.encode(digest.first_chunk::<10>().unwrap_or(&[0; 10]))
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (key, member) in sorted {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(member, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// Whether everything that was planned stands in the live object.
///
/// Lists whose items have names are matched by name, as the server merges them; others item by item.
pub fn covers(live: &Value, planned: &Value) -> bool {
    match (live, planned) {
        (Value::Object(live), Value::Object(planned)) => {
            planned.iter().all(|(key, wanted)| {
                live.get(key).is_some_and(|found| match key.as_str() {
                    // One label more selects other pods.
                    "selector" if is_flat(wanted) => found == wanted,
                    _ => covers(found, wanted),
                })
            })
        }
        (Value::Array(live), Value::Array(planned)) => match list_key(planned) {
            Some(key) => planned.iter().all(|wanted| {
                live.iter().any(|found| found.get(key) == wanted.get(key) && covers(found, wanted))
            }),
            None => {
                live.len() == planned.len()
                    && live.iter().zip(planned).all(|(found, wanted)| covers(found, wanted))
            }
        },
        (Value::Number(live), Value::Number(planned)) => live.as_f64() == planned.as_f64(),
        (live, planned) => live == planned,
    }
}

/// Whether a value is a map of texts, as a Service's selector is.
fn is_flat(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().all(Value::is_string))
}

/// The member by which items of a list are told apart, if all have one and no two share it.
pub(crate) fn list_key(items: &[Value]) -> Option<&'static str> {
    ["name", "mountPath", "containerPort", "ip"].into_iter().find(|key| {
        let mut seen: Vec<&Value> = Vec::new();
        !items.is_empty()
            && items.iter().all(|item| match item.as_object().and_then(|item: &Map<_, _>| item.get(*key)) {
                Some(value) if !seen.contains(&value) => {
                    seen.push(value);
                    true
                }
                _ => false,
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_no_drift() {
        let planned = json!({"spec": {"containers": [{"name": "worker", "image": "a"}], "replicas": 2}});
        let live = json!({
            "metadata": {"resourceVersion": "7"},
            "spec": {
                "replicas": 2,
                "containers": [
                    {"name": "mesh", "image": "proxy"},
                    {"name": "worker", "image": "a", "imagePullPolicy": "IfNotPresent"},
                ],
            },
        });
        assert!(covers(&live, &planned));
    }

    #[test]
    fn a_changed_or_missing_member_is_drift() {
        let planned = json!({"spec": {"replicas": 2, "ports": [{"name": "http", "port": 80}]}});
        assert!(!covers(
            &json!({"spec": {"replicas": 3, "ports": [{"name": "http", "port": 80}]}}),
            &planned
        ));
        assert!(!covers(&json!({"spec": {"replicas": 2}}), &planned));
        assert!(!covers(&json!({"spec": {"replicas": 2, "ports": []}}), &planned));
    }

    #[test]
    fn a_label_more_in_a_selector_is_drift() {
        let planned = json!({"spec": {"selector": {"app": "city"}}});
        assert!(!covers(&json!({"spec": {"selector": {"app": "city", "x": "y"}}}), &planned));
        assert!(covers(&planned, &planned));
    }

    #[test]
    fn unnamed_lists_must_be_equally_long() {
        assert!(!covers(&json!(["a", "b"]), &json!(["a"])));
        assert!(covers(&json!(["a"]), &json!(["a"])));
    }

    fn manifest() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-z]{0,4}".prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_manifest_covers_itself(value in manifest()) {
            prop_assert!(covers(&value, &value));
        }

        #[test]
        fn equal_hashes_mean_equal_manifests(left in manifest(), right in manifest()) {
            prop_assert_eq!(plan_hash(&left) == plan_hash(&right), left == right);
        }
    }
}
