//! What a watch tells that asks for a look: pure but for the asking.
//!
//! Invariants: an object is asked for when the store holds it, so what a list shows is asked for when it is complete;
//! what the operator wrote itself and what a new list repeats is no news.

use kube::runtime::{reflector::Store, watcher::Event};

use crate::object::ObjectId;

use super::{Echoes, Guarded, Listed, Ours, Triggers, guarded::is_news, id_of};

/// What is news of one kind.
pub(super) struct News<K: Ours> {
    store: Store<Guarded<K>>,
    listed: Listed,
    echoes: Echoes,
    triggers: Triggers,
    /// What the list that is under way has shown.
    shown: Vec<ObjectId>,
}

impl<K: Ours> News<K> {
    /// Nothing is told yet.
    pub(super) fn new(
        store: Store<Guarded<K>>,
        (listed, echoes, triggers): (Listed, Echoes, Triggers),
    ) -> Self {
        Self { store, listed, echoes, triggers, shown: Vec::new() }
    }

    /// Hears of an event after the store did.
    pub(super) fn hear(&mut self, event: &Event<Guarded<K>>) {
        let is_news = !self.echoes.is_echo(event) && is_news(event, &self.store);
        match event {
            Event::Init => self.shown.clear(),
            Event::InitApply(object) if is_news => self.shown.push(id_of::<K>(object)),
            Event::InitDone => {
                for object in std::mem::take(&mut self.shown) {
                    self.triggers.look(object);
                }
                self.listed.note(K::KIND);
            }
            Event::Apply(object) | Event::Delete(object) if is_news => self.triggers.look(id_of::<K>(object)),
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use parking_crds::stats_job::StatsJob;
    use serde_json::json;

    use super::*;
    use crate::object::ObjectKind;

    fn job(name: &str, version: &str) -> Guarded<StatsJob> {
        serde_json::from_value(json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob",
            "metadata": {"name": name, "namespace": "york", "uid": name, "resourceVersion": version},
            "spec": "not decoded",
        }))
        .unwrap()
    }

    #[test]
    fn what_a_list_shows_is_asked_for_when_the_store_holds_it_and_the_rest_at_once() {
        let triggers = Triggers::untold();
        let (reader, mut writer) = store();
        let shared = (Listed::default(), Echoes::new(triggers.clone()), triggers.clone());
        let mut news = News::<StatsJob>::new(reader, shared);
        let mut asked_after = |event| {
            writer.apply_watcher_event(&event);
            news.hear(&event);
            let looks = triggers.looks(ObjectKind::StatsJob);
            std::iter::from_fn(|| looks.try_next()).map(|id| id.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(asked_after(Event::Init), [""; 0]);
        assert_eq!(asked_after(Event::InitApply(job("hourly", "1"))), [""; 0]);
        assert_eq!(asked_after(Event::InitApply(job("daily", "1"))), [""; 0]);
        assert_eq!(asked_after(Event::InitDone), ["hourly", "daily"]);
        assert_eq!(asked_after(Event::Apply(job("hourly", "2"))), ["hourly"]);
        assert_eq!(asked_after(Event::Delete(job("daily", "3"))), ["daily"]);
    }
}
