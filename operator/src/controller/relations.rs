//! What a change of one of our objects means for others: a rule is judged by a look at its pipeline, and rules
//! and jobs say so when their pipeline comes, goes or changes.
//!
//! Must not: ask the API server. It hears what the watches of the three kinds hear, before their stores do.

use kube::{
    Resource, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::Event,
    },
};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};

use crate::object::{ObjectId, ObjectKind};

use super::{Guarded, Triggers};

/// Looks at the pipelines that a rule names or named. A status that changes concerns no pipeline.
pub fn of_rules(triggers: Triggers) -> impl Fn(&Event<Guarded<AlertRule>>, &Store<Guarded<AlertRule>>) {
    move |event, known| match event {
        Event::Apply(rule) | Event::InitApply(rule) => {
            let before = known.get(&ObjectRef::from_obj(rule));
            if before.as_deref().is_some_and(|before| before.meta().generation == rule.meta().generation) {
                return;
            }
            look_at_pipelines([before.as_deref(), Some(rule)].into_iter().flatten(), &triggers);
        }
        Event::Delete(rule) => look_at_pipelines([rule], &triggers),
        // A list that begins anew does not tell what went meanwhile.
        Event::InitDone => look_at_pipelines(known.state().iter().map(AsRef::as_ref), &triggers),
        Event::Init => {}
    }
}

fn look_at_pipelines<'a>(rules: impl IntoIterator<Item = &'a Guarded<AlertRule>>, triggers: &Triggers) {
    let decoded = rules.into_iter().filter_map(|rule| rule.0.as_ref().ok());
    for rule in decoded {
        let namespace = rule.namespace().unwrap_or_default();
        let pipeline = rule.spec.pipeline_ref.name.as_str();
        triggers.look(ObjectId::new(ObjectKind::Pipeline, &namespace, pipeline));
    }
}

/// Looks at the rules and jobs that name a pipeline: they tell what its status tells of them.
pub fn of_pipelines(
    rules: Store<Guarded<AlertRule>>,
    jobs: Store<Guarded<StatsJob>>,
    triggers: Triggers,
) -> impl Fn(&Event<Guarded<ParkingPipeline>>, &Store<Guarded<ParkingPipeline>>) {
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
    move |event, known| match event {
        Event::Apply(pipeline) | Event::InitApply(pipeline) | Event::Delete(pipeline) => {
            look_at_dependents(pipeline);
        }
        Event::InitDone => known.state().iter().for_each(|pipeline| look_at_dependents(pipeline)),
        Event::Init => {}
    }
}

#[cfg(test)]
mod tests {
    use kube::{
        core::DeserializeGuard,
        runtime::reflector::{store, store::Writer},
    };
    use serde_json::json;
    use tokio::sync::mpsc::UnboundedReceiver;

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
        DeserializeGuard(Ok(serde_json::from_value(rule).unwrap()))
    }

    fn asked(channel: &mut UnboundedReceiver<ObjectId>) -> Vec<String> {
        std::iter::from_fn(|| channel.try_recv().ok()).map(|object| object.to_string()).collect()
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
        let (triggers, mut heard) = Triggers::new();
        let (store, _writer) = known(&[rule("full", "city", 1)]);
        let hear = of_rules(triggers);
        let mut asked_by = |event| {
            hear(&event, &store);
            asked(&mut heard.pipelines)
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
    fn a_pipeline_that_comes_or_goes_asks_for_its_rules_alone() {
        let (triggers, mut heard) = Triggers::new();
        let (rules, _writer) = known(&[rule("full", "city", 1), rule("other", "county", 1)]);
        let (jobs, _jobs) = store();
        let (pipelines, _pipelines) = store();
        let hear = of_pipelines(rules, jobs, triggers);
        let pipeline = json!({
            "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
            "metadata": {"name": "city", "namespace": "york"},
            "spec": {
                "kafka": {"strimzi": {"cluster": "events"}},
                "redis": {"external": {"sentinels": ["sentinel:26379"]}},
                "objectStore": {"bucket": "city", "credentialsSecretRef": {"name": "keys"}},
                "inventory": {"configMapRef": {"name": "inventory"}},
                "events": {"partitions": 3},
            },
        });
        let pipeline = DeserializeGuard(Ok(serde_json::from_value(pipeline).unwrap()));
        hear(&Event::Delete(pipeline), &pipelines);
        let full = ObjectId::new(ObjectKind::AlertRule, "york", "full").to_string();
        assert_eq!(asked(&mut heard.rules), [full]);
    }
}
