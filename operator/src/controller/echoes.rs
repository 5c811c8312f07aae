//! Versions of our objects that a status brought about which the operator wrote itself.
//!
//! A watch tells of such a version as of any other; a look at it would find what the look that wrote it has found.
//! The watch may tell of it before the API server has answered the write: what is told meanwhile is judged afterwards.
//! Must not: judge lists, which leave out what came between two versions.
//! Invariant: only the very versions that were written are echoes, so that whatever others change is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Resource, ResourceExt, runtime::watcher::Event};

use crate::object::ObjectId;

use super::{Ours, Triggers, id_of};

/// The writes of statuses, and what was told of their objects. Clones share them.
#[derive(Clone)]
pub struct Echoes {
    of: Arc<Mutex<BTreeMap<String, Writes>>>,
    triggers: Triggers,
}

/// The writes of one object's status.
#[derive(Debug, Default)]
struct Writes {
    under_way: usize,
    /// What they brought about and was not told yet.
    written: BTreeSet<u64>,
    /// What was told while they were under way.
    told: BTreeSet<u64>,
}

/// A write that is under way; it ends with the value.
#[must_use]
pub(super) struct Writing<'a> {
    echoes: &'a Echoes,
    object: ObjectId,
    uid: String,
}

impl Echoes {
    /// No writes; who asks for looks that were put off.
    pub fn new(triggers: Triggers) -> Self {
        Self { of: Arc::default(), triggers }
    }

    /// Tells of a write before it is sent.
    pub(super) fn begin<K: Ours>(&self, object: &K) -> Writing<'_> {
        let uid = object.uid().unwrap_or_default();
        self.of().entry(uid.clone()).or_default().under_way += 1;
        Writing { echoes: self, object: id_of::<K>(object), uid }
    }

    /// Whether the event tells of nothing but a status that the operator wrote, or is judged when the write has ended.
    pub(super) fn is_echo(&self, event: &Event<impl Resource>) -> bool {
        let (Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = event else {
            return false;
        };
        let Some(uid) = object.uid() else { return false };
        let mut of = self.of();
        let (Some(writes), Some(told)) = (of.get_mut(&uid), version(object)) else { return false };
        let single = matches!(event, Event::Apply(_));
        if single && writes.under_way > 0 {
            return writes.told.insert(told);
        }
        let is_echo = single && writes.written.contains(&told);
        writes.written.retain(|written| *written > told);
        if writes.under_way == 0 && (writes.written.is_empty() || matches!(event, Event::Delete(_))) {
            of.remove(&uid);
        }
        is_echo
    }

    fn of(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Writes>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing<'_> {
    /// The API server has answered: the object as it is now.
    pub(super) fn brought(self, object: &impl Resource) {
        let mut of = self.echoes.of();
        if let (Some(writes), Some(version)) = (of.get_mut(&self.uid), version(object)) {
            writes.written.insert(version);
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut of = self.echoes.of();
        let Some(writes) = of.get_mut(&self.uid) else { return };
        writes.under_way = writes.under_way.saturating_sub(1);
        if writes.under_way > 0 {
            return;
        }
        let told = std::mem::take(&mut writes.told);
        let of_others = told.difference(&writes.written).next().is_some();
        writes.written.retain(|written| told.last().is_none_or(|told| written > told));
        if writes.written.is_empty() {
            of.remove(&self.uid);
        }
        if of_others {
            self.echoes.triggers.look(self.object.clone());
        }
    }
}

fn version(object: &impl Resource) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use parking_crds::stats_job::StatsJob;
    use serde_json::json;

    use super::*;
    use crate::object::ObjectKind;

    fn job(version: &str) -> StatsJob {
        serde_json::from_value(json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob",
            "metadata": {"name": "one", "namespace": "york", "uid": "1", "resourceVersion": version},
            "spec": {
                "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "timeZone": "Europe/London",
                "statistics": ["occupancy"], "sinks": [{"lake": {"table": "hourly"}}],
            },
        }))
        .unwrap()
    }

    fn told(echoes: &Echoes, version: &str) -> bool {
        echoes.is_echo(&Event::Apply(job(version)))
    }

    fn echoes() -> Echoes {
        Echoes::new(Triggers::untold())
    }

    fn asked(echoes: &Echoes) -> Option<ObjectId> {
        echoes.triggers.looks(ObjectKind::StatsJob).try_next()
    }

    fn begin(echoes: &Echoes) -> Writing<'_> {
        echoes.begin(&job("1"))
    }

    #[test]
    fn the_version_that_was_written_is_an_echo_once_and_no_other_is() {
        let echoes = echoes();
        assert!(!told(&echoes, "9"));
        begin(&echoes).brought(&job("10"));
        assert!(!told(&echoes, "9"), "told late, and not ours");
        assert!(told(&echoes, "10"));
        assert!(!told(&echoes, "10"));
        assert!(asked(&echoes).is_none() && echoes.of().is_empty());
    }

    #[test]
    fn an_echo_that_comes_before_the_answer_is_one_as_well() {
        let echoes = echoes();
        let writing = begin(&echoes);
        assert!(told(&echoes, "10"));
        writing.brought(&job("10"));
        assert!(asked(&echoes).is_none() && echoes.of().is_empty());
    }

    #[test]
    fn what_others_change_during_a_write_is_looked_at_after_it() {
        for answered in [true, false] {
            let echoes = echoes();
            let writing = begin(&echoes);
            assert!(told(&echoes, "9"), "put off");
            assert!(asked(&echoes).is_none());
            if answered {
                writing.brought(&job("10"));
            } else {
                drop(writing);
            }
            assert_eq!(asked(&echoes), Some(ObjectId::new(ObjectKind::StatsJob, "york", "one")));
            assert_eq!(told(&echoes, "10"), answered);
        }
    }

    #[test]
    fn of_two_writes_at_once_both_are_echoes() {
        let echoes = echoes();
        let (one, other) = (begin(&echoes), begin(&echoes));
        assert!(told(&echoes, "10"));
        other.brought(&job("11"));
        one.brought(&job("10"));
        assert!(told(&echoes, "11"));
        assert!(asked(&echoes).is_none() && echoes.of().is_empty());
    }

    #[test]
    fn a_list_a_newer_version_or_the_end_of_the_object_ends_the_wait() {
        for event in [Event::InitApply(job("10")), Event::Apply(job("11")), Event::Delete(job("12"))] {
            let echoes = echoes();
            begin(&echoes).brought(&job("10"));
            assert!(!echoes.is_echo(&event), "{event:?}");
            assert!(echoes.of().is_empty());
        }
    }

    #[test]
    fn a_version_that_is_no_number_is_no_echo() {
        let echoes = echoes();
        begin(&echoes).brought(&job("a7"));
        assert!(!told(&echoes, "a7"));
    }
}
