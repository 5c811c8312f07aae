//! Rules say what became of them.

use kube::{Api, api::DeleteParams};
use parking_crds::alert_rule::AlertRule;
use parking_e2e::kubernetes::wait::eventually;
use serde_json::{Value, json};

use crate::city::{City, LIMIT, PIPELINE};

fn rule(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut rule = json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule", "metadata": {"name": name},
        "spec": {
            "pipelineRef": {"name": PIPELINE}, "severity": "warning",
            "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.98"}},
        },
    });
    change(&mut rule);
    rule.to_string()
}

async fn until(city: &City, name: &str, condition: &str, status: &str) -> AlertRule {
    let rules: Api<AlertRule> = city.namespace.api();
    eventually(&format!("{condition} of {name} is {status}"), LIMIT, async || {
        let rule = rules.get(name).await.map_err(|error| error.to_string())?;
        let conditions = rule.status.clone().unwrap_or_default().conditions;
        let found = conditions.iter().find(|found| found.type_ == condition);
        match found {
            Some(found)
                if found.status == status && found.observed_generation == rule.metadata.generation =>
            {
                Ok(rule)
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()))
}

fn message(rule: &AlertRule, condition: &str) -> (String, String) {
    let conditions = &rule.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|found| found.type_ == condition).unwrap();
    (found.reason.clone(), found.message.clone())
}

#[tokio::test]
async fn a_rule_before_its_pipeline_waits_for_it_and_is_accepted_and_loaded_later() {
    let city = City::start().await;
    city.namespace.apply(&rule("full", |_| ())).await.unwrap();
    let early = until(&city, "full", "Accepted", "False").await;
    let (reason, text) = message(&early, "Accepted");
    assert_eq!(reason, "RefNotFound");
    assert!(text.contains("ParkingPipeline") && text.contains("create it"), "{text}");

    city.ready_with(1).await;
    until(&city, "full", "Accepted", "True").await;
    let active = until(&city, "full", "Active", "True").await;
    assert_eq!(active.status.unwrap().loaded.as_deref(), Some("1/1"));
}

#[tokio::test]
async fn a_bad_rule_is_refused_alone_and_heals_when_it_is_mended() {
    let city = City::start().await;
    city.namespace.apply(&rule("good", |_| ())).await.unwrap();
    let unknown_route = |rule: &mut Value| rule["spec"]["notify"] = json!({"routes": ["nowhere"]});
    city.namespace.apply(&rule("bad", unknown_route)).await.unwrap();
    city.ready_with(1).await;
    until(&city, "good", "Accepted", "True").await;
    let bad = until(&city, "bad", "Accepted", "False").await;
    assert!(message(&bad, "Accepted").1.contains("nowhere"), "{:?}", message(&bad, "Accepted"));

    city.namespace.apply(&rule("bad", |_| ())).await.unwrap();
    until(&city, "bad", "Accepted", "True").await;
}

#[tokio::test]
async fn a_rule_whose_pipeline_goes_says_so() {
    let city = City::start().await;
    city.namespace.apply(&rule("full", |_| ())).await.unwrap();
    city.ready_with(1).await;
    until(&city, "full", "Accepted", "True").await;
    city.delete().await;
    let orphan = until(&city, "full", "Accepted", "False").await;
    assert_eq!(message(&orphan, "Accepted").0, "RefNotFound");
}

#[tokio::test]
async fn a_deleted_rule_leaves_the_bundle() {
    let city = City::start().await;
    city.namespace.apply(&rule("full", |_| ())).await.unwrap();
    city.ready_with(1).await;
    let rules: Api<AlertRule> = city.namespace.api();
    rules.delete("full", &DeleteParams::default()).await.unwrap();
    city.load_rules(0).await;
}
