//! Every rule of every kind, as the real API server applies it.

use std::collections::BTreeSet;

use futures::future::join_all;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use parking_e2e::{
    kubernetes::{cluster::Cluster, namespace::Namespace, objects},
    locate::repository,
};
use serde_json::{Value, json};

use crate::cases::{self, Case, fixture, job_cases, pipeline_cases, rule_cases};

const DRY: PostParams = PostParams { dry_run: true, field_manager: None };

fn all_cases() -> Vec<Case> {
    pipeline_cases().into_iter().chain(rule_cases()).chain(job_cases()).collect()
}

fn placed(namespace: &Namespace, mut object: Value) -> DynamicObject {
    object["metadata"]["namespace"] = json!(namespace.name());
    serde_json::from_value(object).unwrap()
}

async fn api(namespace: &Namespace, object: &Value) -> Api<DynamicObject> {
    let object = placed(namespace, object.clone());
    objects::api_for(&namespace.client(), &object, namespace.name()).await.unwrap()
}

/// Sets or removes what a JSON pointer leads to.
fn set(object: &mut Value, pointer: &str, to: Option<&Value>) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (object.pointer_mut(parent).unwrap(), to) {
        (Value::Object(map), Some(value)) => drop(map.insert(key.to_owned(), value.clone())),
        (Value::Object(map), None) => drop(map.remove(key).unwrap()),
        (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value.clone(),
        (parent, _) => panic!("{pointer} leads to {parent}"),
    }
}

fn mutated(case: &Case) -> Value {
    let mut object = case.object.clone();
    set(&mut object, case.pointer, case.to.as_ref());
    object
}

/// What a refusal names: field and message of each cause.
fn causes(outcome: Result<DynamicObject, kube::Error>) -> Result<Vec<(String, String)>, String> {
    match outcome {
        Ok(_) => Err("accepted".to_owned()),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let causes = status.details.map(|details| details.causes);
            Ok(causes.into_iter().flatten().map(|cause| (cause.field, cause.message)).collect())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Stores every valid object that an update starts from.
async fn store_fixtures(namespace: &Namespace) {
    for text in [cases::PIPELINE, cases::RULES, cases::STATS] {
        for object in cases::documents(text) {
            let api = api(namespace, &object).await;
            api.create(&PostParams::default(), &placed(namespace, object)).await.unwrap();
        }
    }
}

async fn refusal(namespace: &Namespace, case: &Case) -> Result<Vec<(String, String)>, String> {
    let mut object = placed(namespace, mutated(case));
    if !case.update {
        // Where the valid object is not stored; a dry run stores nothing.
        object.metadata.namespace = Some("default".to_owned());
        let api = objects::api_for(&namespace.client(), &object, "default").await.unwrap();
        return causes(api.create(&DRY, &object).await);
    }
    let api = api(namespace, &case.object).await;
    let name = object.metadata.name.clone().unwrap();
    object.metadata.resource_version = api.get(&name).await.unwrap().metadata.resource_version;
    causes(api.replace(&name, &DRY, &object).await)
}

#[tokio::test]
async fn each_rule_refuses_its_mutation_and_names_the_field() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    store_fixtures(&namespace).await;
    let cases = all_cases();
    let outcomes = join_all(cases.iter().map(|case| refusal(&namespace, case))).await;
    for (case, outcome) in cases.iter().zip(outcomes) {
        let name = format!("{} = {:?}", case.pointer, case.to);
        let found = outcome.unwrap_or_else(|other| panic!("{name}: {other}"));
        let named = |field: &str| field.trim_start_matches('.') == case.field.trim_start_matches('.');
        assert!(
            found.iter().any(
                |(field, message)| (named(field) || case.field.is_empty()) && message.contains(case.says)
            ),
            "{name}: expected {} … {}, found {found:?}",
            case.field,
            case.says
        );
    }
}

/// The message of every rule in the committed definitions.
fn committed_rules() -> BTreeSet<String> {
    fn below(schema: &Value, found: &mut BTreeSet<String>) {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            found.insert(rule["message"].as_str().unwrap().to_owned());
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| below(value, found)),
            Value::Array(list) => list.iter().for_each(|value| below(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for file in ["parkingpipelines", "alertrules", "statsjobs"] {
        let path = repository().join(format!("crds/generated/{file}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        below(&serde_saphyr::from_str(&text).unwrap(), &mut found);
    }
    found
}

/// A job that computes nothing, which takes two removals and so is no case.
fn idle_job() -> Value {
    let (mut job, _) = fixture("hourly");
    for field in ["statistics", "queries"] {
        job["spec"].as_object_mut().unwrap().remove(field).unwrap();
    }
    job["metadata"]["name"] = json!("idle");
    job
}

#[tokio::test]
async fn no_rule_of_a_committed_definition_is_without_a_refusal_by_the_server() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    store_fixtures(&namespace).await;
    let cases = all_cases();
    let mut outcomes = join_all(cases.iter().map(|case| refusal(&namespace, case))).await;
    let idle = idle_job();
    outcomes.push(causes(api(&namespace, &idle).await.create(&DRY, &placed(&namespace, idle)).await));
    let said: Vec<String> =
        outcomes.into_iter().flat_map(Result::unwrap).map(|(_, message)| message).collect();
    let rules = committed_rules();
    assert!(rules.len() > 30, "{}", rules.len());
    let silent: Vec<&String> =
        rules.iter().filter(|rule| !said.iter().any(|text| text.contains(*rule))).collect();
    assert_eq!(silent, Vec::<&String>::new());
}

/// Immutable fields: where, and another value.
fn immutable() -> Vec<(Value, &'static str, Option<Value>)> {
    // The replication factor may grow, and left out it is what the example says.
    let updates = all_cases().into_iter().filter(|case| case.update && case.says != "shrink");
    updates.map(|case| (case.object, case.pointer, case.to)).collect()
}

async fn patched(
    namespace: &Namespace,
    object: &Value,
    patch: Value,
) -> Result<Vec<(String, String)>, String> {
    let api = api(namespace, object).await;
    let name = object["metadata"]["name"].as_str().unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::<DynamicObject>::Json(serde_json::from_value(patch).unwrap());
    causes(api.patch(name, &dry, &patch).await)
}

#[tokio::test]
async fn an_immutable_field_cannot_be_removed_nor_anything_that_holds_it() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    store_fixtures(&namespace).await;
    let mut tried = BTreeSet::new();
    for (object, pointer, _) in immutable() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut path = pointer;
        while path != "/spec" && tried.insert((name.clone(), path.to_owned())) {
            let removed = patched(&namespace, &object, json!([{"op": "remove", "path": path}])).await;
            assert!(removed.is_ok(), "{name}: removing {path}: {removed:?}");
            path = path.rsplit_once('/').unwrap().0;
        }
    }
    assert!(tried.len() > 8, "{tried:?}");
}

#[tokio::test]
async fn an_immutable_field_cannot_be_removed_and_added_again_in_one_step() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    store_fixtures(&namespace).await;
    for (object, pointer, to) in immutable() {
        let Some(to) = to else { continue };
        let steps = json!([{"op": "remove", "path": pointer}, {"op": "add", "path": pointer, "value": to}]);
        let outcome = patched(&namespace, &object, steps).await;
        assert!(outcome.is_ok(), "{pointer}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_immutable_field_that_was_left_out_cannot_be_added_later() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let mut added = 0;
    for (number, (object, pointer, to)) in immutable().into_iter().enumerate() {
        let value = to.unwrap_or_else(|| object.pointer(pointer).unwrap().clone());
        let mut without = object.clone();
        set(&mut without, pointer, None);
        without["metadata"]["name"] = json!(format!("later{number}"));
        // A field that cannot be left out at first is the business of the schema.
        if api(&namespace, &without)
            .await
            .create(&PostParams::default(), &placed(&namespace, without.clone()))
            .await
            .is_err()
        {
            continue;
        }
        added += 1;
        let outcome =
            patched(&namespace, &without, json!([{"op": "add", "path": pointer, "value": value}])).await;
        assert!(outcome.is_ok(), "{pointer}: {outcome:?}");
    }
    assert!(added > 0, "no immutable field is optional any more: this test is void");
}
