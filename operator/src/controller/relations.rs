//! What a change of one of our objects means for others: a rule is judged by a look at its pipeline, and rules
//! and jobs say so when their pipeline comes, goes or changes.
//!
//! Must not: ask the API server. It hears what the watches of the three kinds hear, before their stores do.
//! Invariant: what a list shows matters when it is complete: until then the store holds the one before.

use std::collections::{BTreeMap, BTreeSet};

use kube::{
    Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};

use crate::object::{ObjectId, ObjectKind};

use super::{Guarded, Triggers, guarded::is_news};

/// Hears of one event before the store does, which still holds what was known.
type Ear<K> = Box<dyn FnMut(&Event<Guarded<K>>, &Store<Guarded<K>>) + Send>;

/// A pipeline's namespace and name.
type Place = (String, String);

/// Looks at the pipelines that a rule names or named. A status that changes concerns no pipeline.
pub fn of_rules(triggers: Triggers) -> Ear<AlertRule> {
    let look = move |place: &Place| triggers.look(ObjectId::new(ObjectKind::Pipeline, &place.0, &place.1));
    // How many rules of each pipeline a new list has shown as they were, and the pipelines of the others.
    let mut unchanged = BTreeMap::<Place, usize>::new();
    let mut shown = BTreeSet::<Place>::new();
    Box::new(move |event, known| match event {
        Event::Apply(rule) => concerned(rule, known).iter().for_each(&look),
        Event::InitApply(rule) => {
            let concerned = concerned(rule, known);
            if let (true, Some(place)) = (concerned.is_empty(), pipeline_of(rule)) {
                *unchanged.entry(place).or_default() += 1;
            }
            shown.extend(concerned);
        }
        Event::Delete(rule) => pipeline_of(rule).iter().for_each(&look),
        // A list that begins anew does not tell what went meanwhile.
        Event::InitDone => {
            let mut before = BTreeMap::<Place, usize>::new();
            for place in known.state().iter().filter_map(|rule| pipeline_of(rule)) {
                *before.entry(place).or_default() += 1;
            }
            let fewer = before.into_iter().filter(|(place, count)| unchanged.get(place) != Some(count));
            shown.extend(fewer.map(|(place, _)| place));
            std::mem::take(&mut shown).iter().for_each(&look);
        }
        Event::Init => {
            unchanged.clear();
            shown.clear();
        }
    })
}

/// The pipelines that a rule names or named; none where it says what it did.
fn concerned(rule: &Guarded<AlertRule>, known: &Store<Guarded<AlertRule>>) -> BTreeSet<Place> {
    let before = known.get(&ObjectRef::from_obj(rule));
    if before.as_deref().is_some_and(|before| says_the_same(before, rule)) {
        return BTreeSet::new();
    }
    before.as_deref().into_iter().chain([rule]).filter_map(pipeline_of).collect()
}

fn says_the_same(before: &Guarded<AlertRule>, rule: &Guarded<AlertRule>) -> bool {
    let text = |rule: &Guarded<AlertRule>| (rule.uid(), rule.meta().generation);
    text(before) == text(rule)
}

fn pipeline_of(rule: &Guarded<AlertRule>) -> Option<Place> {
    let name = rule.0.as_ref().ok()?.spec.pipeline_ref.name.to_string();
    Some((rule.namespace().unwrap_or_default(), name))
}

/// Looks at the rules and jobs that name a pipeline: they tell what its status tells of them.
pub fn of_pipelines(
    rules: Store<Guarded<AlertRule>>,
    jobs: Store<Guarded<StatsJob>>,
    triggers: Triggers,
) -> Ear<ParkingPipeline> {
    let look_at_dependents = move |pipeline: &Guarded<ParkingPipeline>| {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let here = |object: Option<String>| object.as_deref() == Some(namespace.as_str());
        for rule in rules.state() {
            let names = rule.0.as_ref().is_ok_and(|rule| rule.spec.pipeline_ref.name.as_str() == name);
            if names && here(rule.namespace()) {
                triggers.look(ObjectId::new(ObjectKind::AlertRule, &namespace, &rule.name_any()));
            }
        }
        for job in jobs.state() {
            let names = job.0.as_ref().is_ok_and(|job| job.spec.pipeline_ref.name.as_str() == name);
            if names && here(job.namespace()) {
                triggers.look(ObjectId::new(ObjectKind::StatsJob, &namespace, &job.name_any()));
            }
        }
    };
    // What a new list has shown, and what of it is news.
    let mut listed = BTreeSet::<Place>::new();
    let mut news = Vec::<Guarded<ParkingPipeline>>::new();
    let place =
        |pipeline: &Guarded<ParkingPipeline>| (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
    Box::new(move |event, known| match event {
        Event::Apply(pipeline) | Event::Delete(pipeline) => look_at_dependents(pipeline),
        Event::InitApply(pipeline) => {
            listed.insert(place(pipeline));
            if is_news(event, known) {
                news.push(pipeline.clone());
            }
        }
        Event::InitDone => {
            std::mem::take(&mut news).iter().for_each(&look_at_dependents);
            let known = known.state();
            let gone = known.iter().filter(|pipeline| !listed.contains(&place(pipeline)));
            gone.for_each(|pipeline| look_at_dependents(pipeline));
        }
        Event::Init => {
            listed.clear();
            news.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{store, store::Writer};
    use serde_json::json;

    use super::*;

    fn rule(name: &str, pipeline: &str, generation: i64) -> Guarded<AlertRule> {
        let rule = json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule",
            "metadata": {"name": name, "namespace": "york", "generation": generation},
            "spec": {
                "pipelineRef": {"name": pipeline}, "severity": "warning",
                "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.98"}},
            },
        });
        serde_json::from_value(rule).unwrap()
    }

    fn pipeline(name: &str) -> Guarded<ParkingPipeline> {
        let pipeline = json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
            "metadata": {"name": name, "namespace": "york"},
            "spec": {
                "kafka": {"strimzi": {"cluster": "events"}},
                "redis": {"external": {"sentinels": ["sentinel:26379"]}},
                "objectStore": {"bucket": "city", "credentialsSecretRef": {"name": "keys"}},
                "inventory": {"configMapRef": {"name": "inventory"}},
                "events": {"partitions": 3},
            },
        });
        serde_json::from_value(pipeline).unwrap()
    }

    fn asked(triggers: &Triggers, kind: ObjectKind) -> Vec<String> {
        std::iter::from_fn(|| triggers.looks(kind).try_next()).map(|object| object.to_string()).collect()
    }

    fn known(rules: &[Guarded<AlertRule>]) -> (Store<Guarded<AlertRule>>, Writer<Guarded<AlertRule>>) {
        let (reader, mut writer) = store();
        for rule in rules {
            writer.apply_watcher_event(&Event::Apply(rule.clone()));
        }
        (reader, writer)
    }

    #[test]
    fn a_rule_that_comes_moves_or_goes_asks_for_its_pipelines_and_a_new_status_for_none() {
        let triggers = Triggers::untold();
        let (store, _writer) = known(&[rule("full", "city", 1)]);
        let mut hear = of_rules(triggers.clone());
        let mut asked_by = |event| {
            hear(&event, &store);
            asked(&triggers, ObjectKind::Pipeline)
        };
        let city = ObjectId::new(ObjectKind::Pipeline, "york", "city").to_string();
        let county = ObjectId::new(ObjectKind::Pipeline, "york", "county").to_string();
        assert_eq!(asked_by(Event::Apply(rule("full", "city", 1))), Vec::<String>::new());
        assert_eq!(asked_by(Event::Apply(rule("full", "county", 2))), [city.clone(), county.clone()]);
        assert_eq!(asked_by(Event::Apply(rule("new", "county", 1))), [county]);
        assert_eq!(asked_by(Event::Delete(rule("full", "city", 1))), std::slice::from_ref(&city));
        assert_eq!(asked_by(Event::InitDone), [city], "what a new list leaves out is gone");
    }

    #[test]
    fn a_new_list_asks_for_the_pipelines_alone_whose_rules_went_or_changed() {
        let triggers = Triggers::untold();
        let rules = [rule("full", "city", 1), rule("late", "city", 1), rule("stale", "county", 1)];
        let (store, _writer) = known(&rules);
        let mut hear = of_rules(triggers.clone());
        let mut asked_by = |events: &[Event<Guarded<AlertRule>>]| {
            for event in events {
                hear(event, &store);
            }
            asked(&triggers, ObjectKind::Pipeline)
        };
        let list = |rules: &[Guarded<AlertRule>]| {
            let listed = rules.iter().cloned().map(Event::InitApply);
            [Event::Init].into_iter().chain(listed).chain([Event::InitDone]).collect::<Vec<_>>()
        };
        let city = ObjectId::new(ObjectKind::Pipeline, "york", "city").to_string();
        let county = ObjectId::new(ObjectKind::Pipeline, "york", "county").to_string();
        assert_eq!(asked_by(&list(&rules)), Vec::<String>::new());
        assert_eq!(asked_by(&list(&rules[1..])), [city]);
        let edited = [rules[0].clone(), rules[1].clone(), rule("stale", "county", 2)];
        let until_complete = &list(&edited)[..4];
        assert_eq!(asked_by(until_complete), [""; 0], "the store does not hold the new list yet");
        assert_eq!(asked_by(&list(&edited)).into_iter().collect::<BTreeSet<_>>(), [county].into());
    }

    #[test]
    fn a_pipeline_that_comes_or_goes_asks_for_its_rules_alone() {
        let triggers = Triggers::untold();
        let (rules, _writer) = known(&[rule("full", "city", 1), rule("other", "county", 1)]);
        let (jobs, _jobs) = store();
        let (pipelines, _pipelines) = store();
        let mut hear = of_pipelines(rules, jobs, triggers.clone());
        hear(&Event::Delete(pipeline("city")), &pipelines);
        let full = ObjectId::new(ObjectKind::AlertRule, "york", "full").to_string();
        assert_eq!(asked(&triggers, ObjectKind::AlertRule), [full]);
    }

    #[test]
    fn a_new_list_of_pipelines_asks_for_the_rules_alone_whose_pipeline_came_or_went() {
        let triggers = Triggers::untold();
        let (rules, _writer) =
            known(&[rule("full", "city", 1), rule("stale", "county", 1), rule("new", "town", 1)]);
        let (jobs, _jobs) = store();
        let (pipelines, mut writer) = store();
        let city = pipeline("city");
        writer.apply_watcher_event(&Event::Apply(city.clone()));
        writer.apply_watcher_event(&Event::Apply(pipeline("county")));
        let mut hear = of_pipelines(rules, jobs, triggers.clone());
        for event in
            [Event::Init, Event::InitApply(city), Event::InitApply(pipeline("town")), Event::InitDone]
        {
            hear(&event, &pipelines);
        }
        let rule = |name| ObjectId::new(ObjectKind::AlertRule, "york", name).to_string();
        assert_eq!(asked(&triggers, ObjectKind::AlertRule), [rule("new"), rule("stale")]);
    }
}
