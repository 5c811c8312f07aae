//! What commands tell an object: annotations under the plug-in's own field manager.
//!
//! Invariant: an apply gives up what it leaves out, so each one names every annotation that the plug-in holds there;
//! those of others are left to them.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Failure, MANAGER, Session, connect::manifest};

/// Gives an annotation of an object a value, or gives it up; returns the object as it is then.
pub(super) async fn tell<K>(
    session: &Session,
    object: &K,
    name: &str,
    value: Option<impl Serialize>,
) -> Result<K, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let doing = format!("annotating {} {}/{}", K::kind(&()), session.namespace, object.name_any());
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(told(object, name, value));
    let stored = session.api::<K>().patch(&object.name_any(), &params, &patch).await;
    stored.map_err(Failure::request(doing))
}

/// The manifest that gives an annotation a value, or gives it up, and keeps the others that the plug-in holds.
fn told<K: Resource<DynamicType = ()>>(object: &K, name: &str, value: Option<impl Serialize>) -> Value {
    let mut annotations = held(object);
    match value {
        Some(value) => annotations.insert(name.to_owned(), json!(value)),
        None => annotations.remove(name),
    };
    let mut metadata = json!({
        "name": object.name_any(), "namespace": object.namespace(), "uid": object.uid(),
    });
    if let (false, Some(members)) = (annotations.is_empty(), metadata.as_object_mut()) {
        members.insert("annotations".to_owned(), json!(annotations));
    }
    manifest::<K>(&metadata)
}

/// Whether the fields that a manager holds have the annotation among them.
pub(super) fn are_held(fields: &Value, name: &str) -> bool {
    let annotations = fields.pointer("/f:metadata/f:annotations");
    annotations.is_some_and(|annotations| annotations.get(format!("f:{name}")).is_some())
}

fn held<K: Resource>(object: &K) -> BTreeMap<String, Value> {
    let ours = object.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    let fields: Vec<&Value> = ours.filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0)).collect();
    let is_ours = |name: &String| fields.iter().any(|fields| are_held(fields, name));
    let all = object.annotations().iter().filter(|(name, _)| is_ours(name));
    all.map(|(name, value)| (name.clone(), json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use parking_crds::pipeline::{ParkingPipeline, Phase};

    use super::*;
    use crate::labels::{PHASE, ROTATE_REDIS_PASSWORD as ROTATE};

    /// A pipeline that was paused by one manager and given a new password by another.
    fn pipeline(paused_by: &str, rotated_by: &str) -> ParkingPipeline {
        let holds = |manager: &str, name: &str| {
            let mut fields = json!({"f:metadata": {"f:annotations": {}}});
            fields["f:metadata"]["f:annotations"][format!("f:{name}")] = json!({});
            json!({"manager": manager, "fieldsV1": fields})
        };
        serde_json::from_value(json!({
            "metadata": {
                "name": "city", "namespace": "parking", "uid": "u",
                "annotations": {PHASE: "Paused", ROTATE: "1", "team": "operations"},
                "managedFields": [holds(paused_by, PHASE), holds(rotated_by, ROTATE)],
            },
            "spec": {
                "kafka": {"external": {"bootstrapServers": "k1:9092"}}, "redis": {"managed": {}},
                "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake"},
                "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
            },
        }))
        .unwrap()
    }

    fn annotations(manifest: &Value) -> Value {
        manifest["metadata"].get("annotations").cloned().unwrap_or_default()
    }

    #[test]
    fn what_the_plug_in_has_told_before_is_kept_and_what_others_told_left_to_them() {
        let both = pipeline(MANAGER, MANAGER);
        assert_eq!(annotations(&told(&both, ROTATE, Some("2"))), json!({PHASE: "Paused", ROTATE: "2"}));
        assert_eq!(annotations(&told(&both, PHASE, None::<Phase>)), json!({ROTATE: "1"}));
        let one = pipeline("kubectl", MANAGER);
        assert_eq!(annotations(&told(&one, ROTATE, Some("2"))), json!({ROTATE: "2"}));
    }

    #[test]
    fn nothing_but_annotations_is_claimed_and_none_where_none_is_left() {
        let none = pipeline("kubectl", "kubectl");
        assert_eq!(
            told(&none, PHASE, Some(Phase::Stopped)),
            json!({
                "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
                "metadata": {
                    "name": "city", "namespace": "parking", "uid": "u", "annotations": {PHASE: "Stopped"},
                },
            })
        );
        assert_eq!(annotations(&told(&none, PHASE, None::<Phase>)), Value::Null);
    }
}
