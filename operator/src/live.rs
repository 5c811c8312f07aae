//! Objects as the cluster holds them now.
//!
//! Must not: name a client; `observe` fills it, `apply` and the deciding steps read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{ResourceExt, core::DynamicObject};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{foreign::strimzi, labels, owned_kinds::OwnedKind, versions::Versions};

/// Which object is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: OwnedKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The object of a kind with the given namespace and name.
    pub fn new(kind: OwnedKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.row().name, self.namespace, self.name)
    }
}

/// The objects of one pipeline that exist.
#[derive(Clone, Debug, Default)]
pub struct Live {
    objects: BTreeMap<Key, DynamicObject>,
}

impl Live {
    /// Adds an object that was read.
    pub fn insert(&mut self, kind: OwnedKind, object: DynamicObject) {
        let key = Key::new(kind, object.namespace().unwrap_or_default(), object.name_any());
        self.objects.insert(key, object);
    }

    /// The object, if it exists.
    pub fn get(&self, key: &Key) -> Option<&DynamicObject> {
        self.objects.get(key)
    }

    /// The object as a Kubernetes type; none also when it does not read as one.
    pub fn typed<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        typed(self.get(key)?)
    }

    /// Every object, by kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &DynamicObject)> {
        self.objects.iter()
    }

    /// Objects of one kind.
    pub fn of_kind(&self, kind: OwnedKind) -> impl Iterator<Item = &DynamicObject> {
        self.objects.iter().filter(move |(key, _)| key.kind == kind).map(|(_, object)| object)
    }
}

/// What was seen of a pipeline's surroundings.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Objects that the operator made for the pipeline.
    pub live: Live,
    /// The `Kafka` resource, where the pipeline names one that exists.
    pub kafka: Option<strimzi::Kafka>,
    /// Secrets by namespace and name; those that do not exist are absent.
    pub secrets: BTreeMap<(String, String), Secret>,
    /// Which Secrets were looked for: a change of any of them matters.
    pub secret_names: BTreeSet<(String, String)>,
    /// The ConfigMap with the inventory, where the pipeline names one that exists.
    pub inventory: Option<ConfigMap>,
    /// Pods of the pipeline.
    pub pods: Vec<Pod>,
    /// How new the lists of `live` are.
    pub versions: Versions,
}

impl Observed {
    /// A Secret, if it exists and was looked for.
    pub fn secret(&self, namespace: &impl ToString, name: &impl ToString) -> Option<&Secret> {
        self.secrets.get(&(namespace.to_string(), name.to_string()))
    }
}

/// The object as a Kubernetes type; none when it does not read as one.
pub fn typed<T: DeserializeOwned>(object: &DynamicObject) -> Option<T> {
    serde_json::to_value(object).ok().and_then(|value: Value| serde_json::from_value(value).ok())
}

/// Whether the operator made the object: its field manager cannot be taken away by hand, as a label can, and its
/// labels outlive a backup, as the field manager does not. Strimzi copies the labels of a user onto the Secret that it
/// makes for it: what others made of an object of ours is theirs.
pub fn is_ours(object: &DynamicObject) -> bool {
    let labels = object.labels();
    let labelled = labels.get(labels::MANAGED_BY).is_some_and(|manager| manager == labels::MANAGER)
        && labels.contains_key(labels::PIPELINE);
    let derived = object.owner_references().iter().any(|owner| !owner.api_version.starts_with(labels::GROUP));
    object.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some(labels::MANAGER))
        || labelled && !derived
}

/// Whether the object is on its way out.
pub fn is_terminating(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(metadata: &Value) -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).unwrap()
    }

    fn labels() -> Value {
        json!({labels::MANAGED_BY: labels::MANAGER, labels::PIPELINE: "city"})
    }

    #[test]
    fn an_object_is_known_by_its_manager_or_after_a_restore_by_its_labels() {
        let written = json!({"managedFields": [{"manager": labels::MANAGER, "operation": "Apply"}]});
        assert!(is_ours(&secret(&written)), "its labels may have been taken away");
        let restored = json!({"labels": labels(), "managedFields": [{"manager": "backup"}]});
        assert!(is_ours(&secret(&restored)));
        assert!(!is_ours(&secret(&json!({"labels": {labels::PIPELINE: "city"}}))));
        assert!(!is_ours(&secret(&json!({}))));
    }

    #[test]
    fn what_another_operator_made_of_an_object_of_ours_is_not_ours() {
        let owner =
            json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "name": "u", "uid": "1"});
        assert!(!is_ours(&secret(&json!({"labels": labels(), "ownerReferences": [owner]}))));
    }
}
