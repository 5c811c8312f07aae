//! An edit of any field of a rule that may change reaches the bundle that alert workers load, and the rule's status.
//!
//! A field of the definition that no table names fails the test.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use parking_crds::alert_rule::AlertRule;
use parking_e2e::kubernetes::surroundings::INVENTORY;
use serde_json::{Value, json};

use crate::{
    city::City,
    fields::fields_of,
    rows::{PIPELINE_REF, Row, are_named, do_not_show_yet, reach, stays_with_its_pipeline},
};

const BUNDLE: &str = "ConfigMap city-rules-";

/// Fields that workers read.
const EDITED: &[Row<'_>] = &[
    ("severity", BUNDLE, "severity: critical"),
    ("scope.zoneSelector.matchLabels", BUNDLE, "district: cbd"),
    ("scope.zoneSelector.matchExpressions[].key", BUNDLE, "key: kerb"),
    ("scope.zoneSelector.matchExpressions[].operator", BUNDLE, "operator: NotIn"),
    ("scope.zoneSelector.matchExpressions[].values", BUNDLE, "- granite"),
    ("scope.spaceClasses", BUNDLE, "- general"),
    ("instanceKey", BUNDLE, "- curb_area_id"),
    ("condition.threshold.metric", BUNDLE, "metric: free"),
    ("condition.threshold.op", BUNDLE, "op: <"),
    ("condition.threshold.value", BUNDLE, r#"value: \"5\""#),
    ("condition.threshold.recover", BUNDLE, r#"recover: \"6\""#),
    ("condition.threshold.aggregate", BUNDLE, "aggregate: last"),
    ("condition.threshold.window", BUNDLE, "window: 2m"),
    ("condition.threshold.minCoverage", BUNDLE, r#"minCoverage: \"0.75\""#),
    ("condition.dwell.limit", BUNDLE, "limit: policy"),
    ("condition.dwell.fallback", BUNDLE, "fallback: 2h"),
    ("condition.dwell.grace", BUNDLE, "grace: 7m"),
    ("condition.dwell.closeAfter", BUNDLE, "closeAfter: 12h"),
    ("condition.absence.of.deviceTypes", BUNDLE, "- camera"),
    ("condition.absence.expectedInterval", BUNDLE, "expectedInterval: 1m"),
    ("condition.absence.missed", BUNDLE, "missed: 5"),
    ("for", BUNDLE, "for: 4m"),
    ("keepFiringFor", BUNDLE, "keepFiringFor: 5m"),
    ("noData", BUNDLE, "noData: Alerting"),
    ("onError", BUNDLE, "onError: KeepState"),
    ("time.basis", BUNDLE, "basis: event"),
    ("time.allowedLateness", BUNDLE, "allowedLateness: 45s"),
    ("time.idleAfter", BUNDLE, "idleAfter: 3m"),
    ("time.zone", BUNDLE, "zone: Europe/Paris"),
    ("activeWindows[].days_of_week", BUNDLE, "- mon"),
    ("activeWindows[].time_of_day_start", BUNDLE, "08:15"),
    ("activeWindows[].time_of_day_end", BUNDLE, "09:45"),
    ("labels", BUNDLE, "team: ops"),
    ("annotations", BUNDLE, "{{ zone.name }}"),
    ("notify.routes", BUNDLE, "- board"),
    ("notify.groupBy", BUNDLE, "- alertname"),
    ("notify.groupWait", BUNDLE, "groupWait: 10s"),
    ("notify.groupInterval", BUNDLE, "groupInterval: 6m"),
    ("notify.repeatInterval", BUNDLE, "repeatInterval: 1h"),
    ("notify.sendResolved", BUNDLE, "sendResolved: false"),
    ("notify.digestAt", BUNDLE, "digestAt: 07:30"),
    ("inhibitedBy[].ruleRef", BUNDLE, "ruleRef: silent"),
    ("inhibitedBy[].equal", BUNDLE, "- curb_zone_id"),
    ("limits.maxActive", BUNDLE, "maxActive: 11"),
];

/// The rule is switched off.
const DISABLED: &[Row<'_>] = &[("enabled", "AlertRule silent", r#""reason":"Paused""#)];

/// Conditions that no engine of this version runs: the rule says so, and names the member.
fn unsupported() -> Vec<(&'static str, Value)> {
    let after = |first: Value, then: Value| json!({"first": first, "notFollowedBy": then, "correlateOn": ["curb_space_id"], "within": "10m"});
    let (event, record) = (json!({"eventType": "park_start"}), json!({"recordType": "payment.captured"}));
    vec![
        ("rate", json!({"match": {"eventTypes": ["park_start"]}, "count": 6, "window": "10m"})),
        ("sequence", after(event.clone(), record.clone())),
        ("entitlement", json!({"spaceClass": "disabled", "anyOf": ["permit"], "onLookupError": "Assume"})),
        ("sequence", after(record, event)),
        ("anomaly", json!({"metric": "free", "baseline": "hourOfWeekMedian", "mads": "4", "minWeeks": 8})),
        ("cel", json!({"expression": "true"})),
    ]
}

/// The members without further ones.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| leaves(member, &format!("{path}.{name}"), found));
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn every_field_of_a_rule_has_a_row() {
    let all = fields_of::<AlertRule>();
    assert!(all.len() > 60, "{all:#?}");
    let mut named: BTreeSet<String> =
        EDITED.iter().chain(DISABLED).map(|(field, ..)| (*field).to_owned()).collect();
    named.insert(PIPELINE_REF.to_owned());
    for (member, condition) in unsupported() {
        leaves(&condition, &format!("condition.{member}"), &mut named);
    }
    are_named(&all, &named);
}

async fn apply(city: &City, name: &str, spec: Value) {
    let mut rule = json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule", "metadata": {"name": name},
        "spec": {"pipelineRef": {"name": "city"}, "severity": "warning"},
    });
    let members = rule["spec"].as_object_mut().unwrap();
    members.extend(spec.as_object().unwrap().clone());
    city.namespace.apply(&rule.to_string()).await.unwrap();
}

/// Three rules that say as little as they can.
async fn apply_plain(city: &City) {
    let threshold = json!({"metric": "occupancy_now", "op": ">=", "value": "0.98"});
    apply(city, "full", json!({"condition": {"threshold": threshold}})).await;
    apply(city, "overstay", json!({"condition": {"dwell": {"limit": "1h"}}})).await;
    apply(city, "silent", json!({"condition": {"absence": {}}})).await;
}

/// The same, with every other field.
async fn apply_edited(city: &City) {
    apply(city, "full", edited()).await;
    let dwell = json!({"limit": "policy", "fallback": "2h", "grace": "7m", "closeAfter": "12h"});
    apply(city, "overstay", json!({"condition": {"dwell": dwell}})).await;
    let absence = json!({"of": {"deviceTypes": ["camera"]}, "expectedInterval": "1m", "missed": 5});
    apply(city, "silent", json!({"condition": {"absence": absence}})).await;
}

fn edited() -> Value {
    let kerb = json!({"key": "kerb", "operator": "NotIn", "values": ["granite"]});
    json!({
        "severity": "critical",
        "scope": {
            "zoneSelector": {"matchLabels": {"district": "cbd"}, "matchExpressions": [kerb]},
            "spaceClasses": ["general"],
        },
        "instanceKey": ["curb_zone_id", "curb_area_id"],
        "condition": {"threshold": {
            "metric": "free", "op": "<", "value": "5", "recover": "6", "aggregate": "last", "window": "2m",
            "minCoverage": "0.75",
        }},
        "for": "4m",
        "keepFiringFor": "5m",
        "noData": "Alerting",
        "onError": "KeepState",
        "time": {"basis": "event", "allowedLateness": "45s", "idleAfter": "3m", "zone": "Europe/Paris"},
        "activeWindows": [
            {"days_of_week": ["mon"], "time_of_day_start": "08:15", "time_of_day_end": "09:45"},
        ],
        "labels": {"team": "ops"},
        "annotations": {"summary": "{{ zone.name }}"},
        "notify": {
            "routes": ["board"], "groupBy": ["alertname"], "groupWait": "10s", "groupInterval": "6m",
            "repeatInterval": "1h", "sendResolved": false, "digestAt": "07:30",
        },
        "inhibitedBy": [{"ruleRef": "silent", "equal": ["curb_zone_id"]}],
        "limits": {"maxActive": 11},
    })
}

/// Zones with labels, as selectors need them.
async fn label_zones(city: &City) {
    let maps: Api<ConfigMap> = city.namespace.api();
    let inventory = maps.get(INVENTORY).await.unwrap().data.unwrap()["inventory.yaml"].clone();
    let labelled = inventory.replace("name: First", "name: First\n    labels: {district: cbd, kerb: stone}");
    assert_ne!(labelled, inventory);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INVENTORY},
        "data": {"inventory.yaml": labelled},
    });
    city.namespace.apply(&map.to_string()).await.unwrap();
}

async fn says(city: &City, rule: &str, texts: &[&str]) {
    let place = format!("AlertRule {rule}");
    let rows: Vec<Row<'_>> = texts.iter().map(|text| ("status", place.as_str(), *text)).collect();
    reach(city, &rows).await;
}

#[tokio::test]
async fn an_edit_of_any_field_of_a_rule_reaches_the_bundle_and_the_status() {
    let mut city = City::without_operator().await;
    label_zones(&city).await;
    apply_plain(&city).await;
    city.start_operator().await;
    city.apply(|pipeline| pipeline["spec"]["routes"] = json!([{"name": "board", "console": {}}])).await;
    city.load_rules(3).await;
    for rule in ["full", "overstay", "silent"] {
        says(&city, rule, &[r#""loaded":"1/1""#]).await;
    }

    do_not_show_yet(&city, EDITED.iter().chain(DISABLED).copied()).await;
    apply_edited(&city).await;
    reach(&city, EDITED).await;
    for rule in ["full", "overstay", "silent"] {
        says(&city, rule, &[r#""observedGeneration":2"#, r#""reason":"Compiled""#, r#""loaded":"0/1""#])
            .await;
    }
    city.load_rules(3).await;
    for rule in ["full", "overstay", "silent"] {
        says(&city, rule, &[r#""reason":"EngineLoaded""#, r#""loaded":"1/1""#]).await;
    }

    apply(&city, "silent", json!({"enabled": false, "condition": {"absence": {}}})).await;
    reach(&city, DISABLED).await;
    city.load_rules(2).await;
    for (member, condition) in unsupported() {
        apply(&city, "silent", json!({"condition": {member: condition}})).await;
        let named = format!("spec.condition.{member}: this engine does not support");
        says(&city, "silent", &[&named, r#""reason":"NotSupported""#]).await;
    }

    stays_with_its_pipeline::<AlertRule>(&city, "full", "make a new rule").await;
}
