//! An object of ours as the API server sent it.
//!
//! Invariant: clones share what was decoded, so that an object stands in memory once however many hold it.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource, ResourceExt,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};
use serde::{Deserialize, Deserializer};

/// Where `kubectl apply` keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A decoded object, or why it cannot be decoded.
#[derive(Debug)]
pub struct Guarded<K>(pub Result<Arc<K>, Arc<InvalidObject>>);

impl<K> Guarded<K> {
    fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
            (Err(one), Err(other)) => Arc::ptr_eq(one, other),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        }
    }
}

impl<K> Clone for Guarded<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'de, K: Deserialize<'de> + Resource> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DeserializeGuard(decoded) = DeserializeGuard::<K>::deserialize(deserializer)?;
        Ok(Self(decoded.map(Arc::new).map_err(Arc::new)))
    }
}

impl<K: Resource + Clone> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(known: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(known)
    }

    fn group(known: &Self::DynamicType) -> Cow<'_, str> {
        K::group(known)
    }

    fn version(known: &Self::DynamicType) -> Cow<'_, str> {
        K::version(known)
    }

    fn plural(known: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(known)
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(invalid) => &invalid.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => Arc::make_mut(object).meta_mut(),
            Err(invalid) => &mut Arc::make_mut(invalid).metadata,
        }
    }
}

/// What is kept of an object that was heard of: nothing that the operator never reads, and no second copy of one
/// that a new list shows unchanged.
pub(super) fn kept<K>(event: Event<Guarded<K>>, known: &Store<Guarded<K>>) -> Event<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::InitApply(object) => Event::InitApply(match known.get(&ObjectRef::from_obj(&object)) {
            Some(before) if is_unchanged(&before, &object) => before.as_ref().clone(),
            _ => pruned(object),
        }),
        Event::Apply(object) => Event::Apply(pruned(object)),
        Event::Delete(_) | Event::Init | Event::InitDone => event,
    }
}

/// Whether an event tells something: a new list repeats what is known.
pub(super) fn is_news<K>(event: &Event<Guarded<K>>, known: &Store<Guarded<K>>) -> bool
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let Event::InitApply(object) = event else { return true };
    known.get(&ObjectRef::from_obj(object)).is_none_or(|before| !before.is_same(object))
}

fn is_unchanged<K: Resource + Clone>(before: &Guarded<K>, object: &Guarded<K>) -> bool {
    let version = |object: &Guarded<K>| object.uid().zip(object.resource_version());
    version(object).is_some_and(|new| version(before) == Some(new))
}

fn pruned<K: Resource + Clone>(mut object: Guarded<K>) -> Guarded<K> {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove(LAST_APPLIED);
    object
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{store, store::Writer};
    use parking_crds::stats_job::StatsJob;
    use serde_json::json;

    use super::*;

    fn job(name: &str, uid: &str, version: &str) -> Guarded<StatsJob> {
        serde_json::from_value(json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob",
            "metadata": {
                "name": name, "namespace": "york", "uid": uid, "resourceVersion": version,
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {LAST_APPLIED: "{}", "team": "operations"},
            },
            "spec": "not decoded",
        }))
        .unwrap()
    }

    fn hear(writer: &mut Writer<Guarded<StatsJob>>, event: Event<Guarded<StatsJob>>) -> bool {
        let known = writer.as_reader();
        let event = kept(event, &known);
        let news = is_news(&event, &known);
        writer.apply_watcher_event(&event);
        news
    }

    #[test]
    fn a_new_list_keeps_what_it_shows_unchanged_and_tells_the_rest() {
        let (reader, mut writer) = store();
        for name in ["same", "edited", "made-anew"] {
            assert!(hear(&mut writer, Event::Apply(job(name, "1", "7"))));
        }
        let before = reader.state();
        hear(&mut writer, Event::Init);
        assert!(!hear(&mut writer, Event::InitApply(job("same", "1", "7"))));
        assert!(hear(&mut writer, Event::InitApply(job("edited", "1", "8"))));
        assert!(hear(&mut writer, Event::InitApply(job("made-anew", "2", "7"))));
        assert!(hear(&mut writer, Event::InitApply(job("new", "3", "9"))));
        hear(&mut writer, Event::InitDone);
        let after = reader.state();
        assert_eq!(after.len(), 4);
        let shared: Vec<String> = after
            .iter()
            .filter(|object| before.iter().any(|before| before.is_same(object)))
            .map(|object| object.name_any())
            .collect();
        assert_eq!(shared, ["same"], "it stands in memory once");
    }

    #[test]
    fn what_the_operator_never_reads_is_not_kept() {
        let (reader, mut writer) = store();
        hear(&mut writer, Event::Apply(job("one", "1", "7")));
        let kept = reader.state().remove(0);
        assert_eq!(kept.meta().managed_fields, None);
        assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["team"]);
    }
}
