//! One manifest becomes a running system.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Event,
};
use kube::{Api, api::ListParams};

use parking_e2e::kubernetes::wait::eventually;

use crate::city::{City, LIMIT};

#[tokio::test]
async fn a_pipeline_becomes_ready_with_a_workload_for_each_role() {
    let city = City::start().await;
    let pipeline = city.ready().await;
    let status = pipeline.status.unwrap();
    assert_eq!(status.workers.as_deref(), Some("5/5"));
    let sets: Api<StatefulSet> = city.namespace.api();
    let deployments: Api<Deployment> = city.namespace.api();
    assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 3);
    assert_eq!(deployments.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert_eq!(city.strimzi.topics().len(), 4);
    assert_eq!(city.strimzi.problems(), Vec::<String>::new());
    assert_eq!(city.kubelet.problems(), Vec::<String>::new());
}

/// What was told of the pipeline's transitions to `True`, without the reasons.
async fn turned_true(city: &City) -> Vec<String> {
    let events: Api<Event> = city.namespace.api();
    let events =
        events.list(&ListParams::default().fields("involvedObject.kind=ParkingPipeline")).await.unwrap();
    let messages = events.items.into_iter().filter_map(|event| event.message);
    messages.filter_map(|message| Some(message.split_once(" is True")?.0.to_owned())).collect()
}

#[tokio::test]
async fn a_pipeline_is_not_ready_before_its_engines_have_loaded_its_rules() {
    let city = City::start().await;
    city.apply(|_| ()).await;
    city.until("WorkersAvailable", "True").await;
    city.until("Degraded", "False").await;
    let told = turned_true(&city).await;
    assert!(!told.iter().any(|kind| kind == "Ready" || kind == "RulesLoaded"), "{told:?}");
    city.load_rules(0).await;
    city.until("Ready", "True").await;
    // An Event follows the status that it tells of.
    let in_the_end = ["Ready", "RulesLoaded", "WorkersAvailable"];
    eventually("each condition has turned once", LIMIT, async || {
        let told = turned_true(&city).await;
        let once = |kind: &&str| told.iter().filter(|of| of == kind).count() == 1;
        if in_the_end.iter().all(once) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .unwrap();
}
