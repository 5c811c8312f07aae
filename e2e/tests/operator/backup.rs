//! What a backup tool brings back, without status and with other uids, goes on where it was.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use parking_crds::{alert_rule::AlertRule, stats_job::StatsJob};
use parking_e2e::kubernetes::{
    surroundings::{INVENTORY, STORE_KEYS},
    wait::{always, eventually},
};
use serde_json::{Value, json};

use crate::{
    bucket::Bucket,
    city::{City, LIMIT, PIPELINE},
    statistics,
};

const KINDS: [&str; 5] = ["StatsJob", "AlertRule", "ParkingPipeline", "Secret", "ConfigMap"];

/// The namespace's objects as a backup tool keeps them, in an order in which they cannot be used.
async fn dump(city: &City) -> Vec<Value> {
    let content = city.namespace.content().await.unwrap();
    let mut kept = Vec::new();
    for kind in KINDS {
        for object in content.iter().filter(|object| object["kind"] == kind) {
            let metadata = &object["metadata"];
            if metadata["name"] == "kube-root-ca.crt" {
                continue;
            }
            let mut object = object.clone();
            object["metadata"] = json!({
                "name": metadata["name"], "labels": metadata["labels"],
                "annotations": metadata["annotations"], "finalizers": metadata["finalizers"],
            });
            object.as_object_mut().unwrap().remove("status");
            kept.push(object);
        }
    }
    kept
}

async fn delete_everything(city: &City) {
    let now = DeleteParams::foreground();
    let (jobs, rules): (Api<StatsJob>, Api<AlertRule>) = (city.namespace.api(), city.namespace.api());
    jobs.delete(statistics::JOB, &now).await.unwrap();
    rules.delete("full", &now).await.unwrap();
    city.pipelines().delete(PIPELINE, &now).await.unwrap();
    eventually("our objects are gone", LIMIT, async || {
        let left = (
            jobs.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len(),
            rules.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len(),
            city.pipelines()
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?
                .items
                .len(),
            statistics::runs(city).await.len(),
        );
        if left == (0, 0, 0, 0) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    let (secrets, maps): (Api<Secret>, Api<ConfigMap>) = (city.namespace.api(), city.namespace.api());
    secrets.delete(STORE_KEYS, &now).await.unwrap();
    maps.delete(INVENTORY, &now).await.unwrap();
}

#[tokio::test]
async fn a_restore_without_status_goes_on_with_the_same_data_and_computes_nothing_twice() {
    let mut city = statistics::city_with_lake().await;
    let rule = json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "AlertRule", "metadata": {"name": "full"},
        "spec": {
            "pipelineRef": {"name": PIPELINE}, "severity": "warning",
            "condition": {"threshold": {"metric": "occupancy_now", "op": ">=", "value": "0.98"}},
        },
    });
    city.namespace.apply(&rule.to_string()).await.unwrap();
    city.namespace.apply(&statistics::manifest(|_| ())).await.unwrap();
    city.load_rules(1).await;
    city.until("Ready", "True").await;
    let run = statistics::next_run(&city, &BTreeSet::new()).await;
    let computed = statistics::succeed(&city, &run).await;
    let owner = format!("{}/{PIPELINE}/_parking/owner", city.namespace.name());
    let claimed = Bucket::of(&city).get(&owner).await.unwrap();
    let topics = city.strimzi.topics();

    let backup = dump(&city).await;
    let kinds: BTreeSet<&str> = backup.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(KINDS));
    delete_everything(&city).await;
    city.operator.take().unwrap().terminate(Duration::from_secs(10)).unwrap();
    for object in &backup {
        city.namespace.apply(&object.to_string()).await.unwrap();
    }
    city.start_operator().await;

    city.load_rules(1).await;
    city.until("Ready", "True").await;
    assert_eq!(city.strimzi.topics(), topics, "the same topics with the same ids");
    assert_eq!(Bucket::of(&city).get(&owner).await.unwrap(), claimed, "the same owner of the bucket");
    let again = statistics::until(&city, |job| statistics::says(job, "Complete", "True", "")).await;
    assert_eq!(statistics::last_window(&again), statistics::last_window(&computed));
    always("no run is done twice", Duration::from_secs(3), async || match statistics::runs(&city).await {
        runs if runs.is_empty() => Ok(()),
        runs => Err(format!("{runs:?}")),
    })
    .await
    .unwrap();
}
