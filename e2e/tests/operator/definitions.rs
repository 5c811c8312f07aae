//! Definitions that come and go while the operator runs, and objects that it cannot read.
//!
//! Definitions belong to the whole cluster: these tests have a control plane of their own, one after another.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::OnceLock,
    time::Duration,
};

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::Event},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use parking_crds::{alert_rule::AlertRule, stats_job::StatsJob};
use parking_e2e::{
    kubernetes::{
        cluster::Cluster,
        control_plane::ControlPlane,
        definitions::{Definitions, Family, install, remove},
        wait::eventually,
    },
    minio::Minio,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::city::{City, LIMIT, PIPELINE};

/// Discovery asks every 20 seconds.
const NOTICED: Duration = Duration::from_secs(90);

/// The servers of these tests, for one of them at a time; none with a cluster from outside.
async fn servers() -> Option<(Cluster, String, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    static SERVERS: OnceLock<(ControlPlane, Minio)> = OnceLock::new();
    if std::env::var_os("KUBECONFIG").is_some() {
        eprintln!("skipped: definitions of a cluster from outside are not ours to remove");
        return None;
    }
    let turn = TURN.lock().await;
    let (plane, store) = SERVERS.get_or_init(|| {
        let plane = ControlPlane::start().unwrap();
        plane.enter().unwrap();
        let store = Minio::start().unwrap();
        (plane, store)
    });
    let cluster = Cluster::on(plane).await.unwrap();
    Some((cluster, store.endpoint(), turn))
}

async fn add(cluster: &Cluster, families: &[Family]) {
    install(&cluster.client(), &Definitions::of(families).unwrap()).await.unwrap();
}

async fn take_away(cluster: &Cluster, families: &[Family]) {
    remove(&cluster.client(), &Definitions::of(families).unwrap()).await.unwrap();
}

/// One Strimzi and no other: the versions of two do not go together.
async fn add_strimzi(cluster: &Cluster, family: Family) {
    take_away(cluster, &[Family::Strimzi, Family::OldStrimzi]).await;
    add(cluster, &[family]).await;
}

/// A city beside a Strimzi, with our definitions.
async fn city_beside(cluster: &Cluster, strimzi: Family, endpoint: String) -> City {
    add_strimzi(cluster, strimzi).await;
    add(cluster, &[Family::Ours]).await;
    City::on(cluster, endpoint).await
}

/// Ends the city's pipeline, or definitions could not be taken away: its topics wait for the double.
async fn end(city: &City) {
    city.delete().await;
    city.until_gone(PIPELINE).await;
}

/// A free port of the network namespace of the test.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Code and body of a probe.
fn probe(address: &str, path: &str) -> Result<(u16, String), String> {
    let mut connection = TcpStream::connect(address).map_err(|error| error.to_string())?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no code")?;
    Ok((code, answer))
}

async fn until_probe(address: &str, code: u16, text: &str) {
    eventually(&format!("/readyz says {code} {text}"), LIMIT, async || {
        let answer = probe(address, "/readyz")?;
        if answer.0 == code && answer.1.contains(text) { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await
    .unwrap();
}

/// Waits until a condition says so, or is no more.
async fn told(city: &City, kind: &str, expected: Option<(&str, &str)>) {
    let pipelines = city.pipelines();
    eventually(&format!("{kind} says {expected:?}"), NOTICED, async || {
        let pipeline = pipelines.get("city").await.map_err(|error| error.to_string())?;
        let conditions = pipeline.status.unwrap_or_default().conditions;
        let found = conditions.iter().find(|found| found.type_ == kind);
        let holds = match (expected, found) {
            (None, None) => true,
            (Some((reason, text)), Some(found)) => {
                found.status == "False" && found.reason == reason && found.message.contains(text)
            }
            _ => false,
        };
        if holds { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

async fn replicas(city: &City, wanted: i32) {
    let sets: Api<StatefulSet> = city.namespace.api();
    eventually(&format!("{wanted} replicas"), LIMIT, async || {
        let set = sets.get("city-archive").await.map_err(|error| error.to_string())?;
        let found = set.spec.unwrap().replicas;
        if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

async fn scale(city: &City, replicas: i32) {
    let sets: Api<StatefulSet> = city.namespace.api();
    let how = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    sets.patch_scale("city-archive", &how, &patch).await.unwrap();
}

async fn exists(city: &City, group: &str, version: &str, kind: &str, name: &str) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> =
        Api::namespaced_with(city.namespace.client(), city.namespace.name(), &resource);
    eventually(&format!("{kind} {name}"), NOTICED, async || {
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        found.map(|_| ()).ok_or_else(|| "none".to_owned())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

async fn spark_says(city: &City, absent: bool) {
    let jobs: Api<StatsJob> = city.namespace.api();
    eventually(&format!("the job says that Spark is absent: {absent}"), NOTICED, async || {
        let conditions =
            jobs.get("big").await.map_err(|e| e.to_string())?.status.unwrap_or_default().conditions;
        let says = conditions.iter().any(|found| found.status == "False" && found.reason == "ApiAbsent");
        if !conditions.is_empty() && says == absent { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

const OPTIONAL: [Family; 3] = [Family::Keda, Family::Monitoring, Family::Spark];

fn scaled(pipeline: &mut Value) {
    pipeline["spec"]["workers"] =
        json!({"archive": {"autoscaling": {"minReplicas": 2, "maxReplicas": 3, "lagThreshold": 100}}});
    pipeline["spec"]["monitoring"] = json!({});
}

fn spark_job() -> String {
    json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob", "metadata": {"name": "big"},
        "spec": {
            "pipelineRef": {"name": "city"}, "schedule": "0 3 * * *", "statistics": ["occupancy"],
            "sinks": [{"lake": {"table": "big"}}],
            "engine": {"spark": {"image": "spark:4", "serviceAccount": "spark"}},
        },
    })
    .to_string()
}

#[tokio::test]
async fn definitions_come_and_go_while_the_operator_runs() {
    let Some((cluster, endpoint, _turn)) = servers().await else { return };
    add_strimzi(&cluster, Family::Strimzi).await;
    take_away(&cluster, &OPTIONAL).await;
    take_away(&cluster, &[Family::Ours]).await;
    let mut city = City::on(&cluster, endpoint).await;
    let address = free_address();
    city.start_operator_listening(&address).await;
    until_probe(&address, 503, "parkingpipelines.parking.tinyx.io").await;
    assert_eq!(probe(&address, "/livez").unwrap().0, 200);
    add(&cluster, &[Family::Ours]).await;
    until_probe(&address, 200, "ready").await;

    city.apply(scaled).await;
    city.namespace.apply(&spark_job()).await.unwrap();
    told(&city, "AutoscalingReady", Some(("ApiAbsent", "keda.sh/v1alpha1"))).await;
    told(&city, "MonitoringReady", Some(("ApiAbsent", "monitoring.coreos.com/v1"))).await;
    spark_says(&city, true).await;
    replicas(&city, 2).await;
    // Within the bounds any number is right; beyond them the nearest is.
    scale(&city, 7).await;
    replicas(&city, 3).await;
    scale(&city, 0).await;
    replicas(&city, 2).await;

    add(&cluster, &OPTIONAL).await;
    told(&city, "AutoscalingReady", None).await;
    told(&city, "MonitoringReady", None).await;
    exists(&city, "keda.sh", "v1alpha1", "ScaledObject", "city-archive").await;
    exists(&city, "monitoring.coreos.com", "v1", "PodMonitor", "city-archive").await;
    spark_says(&city, false).await;
    scale(&city, 3).await;

    take_away(&cluster, &OPTIONAL).await;
    told(&city, "AutoscalingReady", Some(("ApiAbsent", "keda.sh/v1alpha1"))).await;
    told(&city, "MonitoringReady", Some(("ApiAbsent", "monitoring.coreos.com/v1"))).await;
    spark_says(&city, true).await;
    replicas(&city, 3).await;
    assert!(city.operator.as_mut().unwrap().is_running().unwrap(), "{}", city.log());
    assert_eq!(probe(&address, "/readyz").unwrap().0, 200);
    end(&city).await;
}

#[tokio::test]
async fn an_old_strimzi_is_served_in_its_own_version() {
    let Some((cluster, endpoint, _turn)) = servers().await else { return };
    let mut city = city_beside(&cluster, Family::OldStrimzi, endpoint).await;
    city.start_operator().await;
    city.ready().await;
    let topic = format!("{}.city.events", city.namespace.name());
    exists(&city, "kafka.strimzi.io", "v1beta2", "KafkaTopic", &topic).await;
    end(&city).await;
}

/// The definition with a schema that takes any severity and any field.
async fn loosen(cluster: &Cluster) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let name = "alertrules.parking.tinyx.io";
    let mut definition = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let schema = definition.pointer_mut(spec).unwrap();
    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    schema["properties"]["severity"].as_object_mut().unwrap().remove("enum").unwrap();
    let definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
    api.replace(name, &kube::api::PostParams::default(), &definition).await.unwrap();
}

fn rule(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut rule = json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule", "metadata": {"name": name},
        "spec": {
            "pipelineRef": {"name": "city"}, "severity": "warning",
            "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.98"}},
        },
    });
    change(&mut rule);
    rule.to_string()
}

/// Applies a rule as soon as the loosened schema takes it.
async fn apply_loosely(city: &City, manifest: &str, pointer: &str) {
    eventually("the server takes the rule", LIMIT, async || {
        let stored = city.namespace.apply(manifest).await.map_err(|error| error.to_string())?;
        if stored[0].data.pointer(pointer).is_some() { Ok(()) } else { Err("pruned".to_owned()) }
    })
    .await
    .unwrap();
}

async fn accepted(city: &City, name: &str) {
    let rules: Api<AlertRule> = city.namespace.api();
    eventually(&format!("{name} is accepted"), LIMIT, async || {
        let rule = rules.get(name).await.map_err(|error| error.to_string())?;
        let conditions = rule.status.clone().unwrap_or_default().conditions;
        let holds = conditions.iter().any(|found| {
            found.type_ == "Accepted"
                && found.status == "True"
                && found.observed_generation == rule.metadata.generation
        });
        if holds { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_told_alone_and_one_of_a_newer_version_is_served() {
    let Some((cluster, endpoint, _turn)) = servers().await else { return };
    let mut city = city_beside(&cluster, Family::Strimzi, endpoint).await;
    loosen(&cluster).await;
    let odd = rule("odd", |rule| rule["spec"]["severity"] = json!("apocalyptic"));
    apply_loosely(&city, &odd, "/spec/severity").await;
    city.start_operator().await;
    city.namespace.apply(&rule("before", |_| ())).await.unwrap();
    city.apply(|_| ()).await;
    city.load_rules(1).await;
    accepted(&city, "before").await;

    let events: Api<Event> = city.namespace.api();
    eventually("an event of the rule that cannot be read", LIMIT, async || {
        let found = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let about = found.items.iter().filter(|event| event.involved_object.name.as_deref() == Some("odd"));
        let told: Vec<_> = about.map(|event| (event.type_.clone(), event.message.clone())).collect();
        let holds = told.iter().any(|(kind, message)| {
            kind.as_deref() == Some("Warning")
                && message.as_ref().is_some_and(|message| message.contains("apocalyptic"))
        });
        if holds { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));

    let newer = rule("newer", |rule| rule["spec"]["escalation"] = json!({"after": "1h"}));
    apply_loosely(&city, &newer, "/spec/escalation/after").await;
    accepted(&city, "newer").await;
    city.namespace.apply(&rule("after", |_| ())).await.unwrap();
    accepted(&city, "after").await;
    // It heals by an edit.
    city.namespace.apply(&rule("odd", |_| ())).await.unwrap();
    accepted(&city, "odd").await;
    city.load_rules(4).await;
    city.until("Ready", "True").await;
    end(&city).await;
}
