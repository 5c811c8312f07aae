//! Pipelines that are upgraded together roll one after another, and stop where one fails.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use parking_crds::pipeline::ParkingPipeline;
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::city::{City, LIMIT};

const NAMES: [&str; 5] = ["city", "docks", "east", "north", "west"];

/// Five pipelines that are ready.
async fn five() -> City {
    let city = City::start().await;
    for name in NAMES {
        city.apply(|pipeline| {
            pipeline["metadata"]["name"] = json!(name);
            pipeline["spec"]["image"] = json!("workers:old");
            // Without topics and users, which wait for nobody's roll.
            pipeline["spec"]["kafka"] = json!({"external": {"bootstrapServers": "kafka:9092"}});
        })
        .await;
    }
    city.load_rules(0).await;
    for name in NAMES {
        city.until_of(name, "Ready", "True").await;
    }
    city
}

async fn set_image(city: &City, names: &[&str], image: &str) {
    let patch = json!({"spec": {"image": image}});
    for name in names {
        city.pipelines().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

/// The images that each pipeline's workloads call for and that its pods run, by pipeline.
async fn images(city: &City) -> BTreeMap<String, BTreeSet<String>> {
    let label = "parking.tinyx.io/pipeline";
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let sets: Api<StatefulSet> = city.namespace.api();
    for set in sets.list(&ListParams::default()).await.unwrap() {
        let template = set.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        let image = template.containers[0].image.clone().unwrap();
        found.entry(set.labels()[label].clone()).or_default().insert(image);
    }
    let pods: Api<Pod> = city.namespace.api();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        let Some(pipeline) = pod.labels().get(label) else { continue };
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let spoken = format!("{image}{}", if is_ready(&pod) { "" } else { " (not ready)" });
        found.entry(pipeline.clone()).or_default().insert(spoken);
    }
    found
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Pipelines that are neither wholly old nor wholly new.
fn rolling(images: &BTreeMap<String, BTreeSet<String>>) -> Vec<&String> {
    images.iter().filter(|(_, images)| images.len() > 1).map(|(name, _)| name).collect()
}

fn waits(pipeline: &ParkingPipeline) -> Option<String> {
    let conditions = &pipeline.status.as_ref()?.conditions;
    conditions.iter().find(|found| found.reason == "RolloutWaiting").map(|found| found.message.clone())
}

async fn one_after_another(city: &City) {
    set_image(city, &NAMES, "workers:new").await;
    let mut rolled = BTreeSet::new();
    eventually("every pipeline runs the new image", 3 * LIMIT, async || {
        let images = images(city).await;
        let rolling = rolling(&images);
        assert!(rolling.len() <= 1, "these roll together: {rolling:?}: {images:#?}");
        rolled.extend(rolling.into_iter().cloned());
        let new = BTreeSet::from(["workers:new".to_owned()]);
        if images.len() == 5 && images.values().all(|images| *images == new) {
            Ok(())
        } else {
            Err(format!("{images:?}"))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    assert!(rolled.len() >= 3, "the samples saw too little: {rolled:?}");
    for name in NAMES {
        city.until_of(name, "WorkersAvailable", "True").await;
    }
}

async fn stopped_by_one_that_fails(city: &City) {
    set_image(city, &["east"], "workers:bad").await;
    city.until_of("east", "Degraded", "True").await;
    set_image(city, &["city", "docks"], "workers:newer").await;
    for name in ["city", "docks"] {
        let waiting = city.until_of(name, "WorkersAvailable", "False").await;
        let told = waits(&waiting).unwrap_or_else(|| panic!("{:#?}", waiting.status));
        assert!(told.contains("/east") && told.contains("mend it first"), "{told}");
    }
    let standing = BTreeSet::from(["workers:new".to_owned()]);
    let stopped = images(city).await;
    assert!(["city", "docks", "north", "west"].iter().all(|name| stopped[*name] == standing), "{stopped:#?}");

    set_image(city, &["east"], "workers:newer").await;
    let newer = BTreeSet::from(["workers:newer".to_owned()]);
    eventually("the others follow once it is mended", 3 * LIMIT, async || {
        let images = images(city).await;
        let healed = ["east", "city", "docks"].iter().all(|name| images[*name] == newer);
        if healed { Ok(()) } else { Err(format!("{images:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

#[tokio::test]
async fn five_pipelines_upgraded_at_once_roll_one_at_a_time_and_none_after_one_that_fails() {
    let city = five().await;
    one_after_another(&city).await;
    stopped_by_one_that_fails(&city).await;
}
