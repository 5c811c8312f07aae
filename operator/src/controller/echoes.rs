//! Versions of our objects that a status brought about which the operator wrote itself.
//!
//! A watch tells of such a version as of any other; a look at it would find what the look that wrote it has found.
//! Must not: judge lists, which leave out what came between two versions.
//! Invariant: only the very version that was written is an echo, so that whatever others change is looked at.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Resource, ResourceExt, runtime::watcher::Event};

/// The versions that are awaited, by the uid of their object; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Echoes(Arc<Mutex<BTreeMap<String, u64>>>);

impl Echoes {
    /// The operator wrote a status, and this is the object with it.
    pub(super) fn expect(&self, written: &impl Resource) {
        if let (Some(uid), Some(version)) = (written.uid(), version(written)) {
            self.awaited().insert(uid, version);
        }
    }

    /// Whether the event tells of nothing but a status that the operator wrote.
    pub(super) fn is_echo(&self, event: &Event<impl Resource>) -> bool {
        let (object, gone) = match event {
            Event::Apply(object) | Event::InitApply(object) => (object, false),
            Event::Delete(object) => (object, true),
            Event::Init | Event::InitDone => return false,
        };
        let Some(uid) = object.uid() else { return false };
        let mut awaited = self.awaited();
        let Some(written) = awaited.get(&uid).copied() else { return false };
        let told = version(object);
        if gone || told.is_none_or(|told| told >= written) {
            awaited.remove(&uid);
        }
        matches!(event, Event::Apply(_)) && told == Some(written)
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(object: &impl Resource) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(version: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": "one", "uid": "1", "resourceVersion": version}}))
            .unwrap()
    }

    #[test]
    fn the_version_that_was_written_is_an_echo_once_and_no_other_is() {
        let echoes = Echoes::default();
        assert!(!echoes.is_echo(&Event::Apply(object("9"))));
        echoes.expect(&object("10"));
        assert!(!echoes.is_echo(&Event::Apply(object("9"))), "told late, and not ours");
        assert!(echoes.is_echo(&Event::Apply(object("10"))));
        assert!(!echoes.is_echo(&Event::Apply(object("10"))));
    }

    #[test]
    fn a_list_or_a_newer_version_ends_the_wait() {
        for event in [Event::InitApply(object("10")), Event::Apply(object("11")), Event::Delete(object("12"))]
        {
            let echoes = Echoes::default();
            echoes.expect(&object("10"));
            assert!(!echoes.is_echo(&event), "{event:?}");
            assert!(!echoes.is_echo(&Event::Apply(object("10"))));
        }
    }

    #[test]
    fn a_version_that_is_no_number_is_no_echo() {
        let echoes = Echoes::default();
        echoes.expect(&object("a7"));
        assert!(!echoes.is_echo(&Event::Apply(object("a7"))));
    }
}
