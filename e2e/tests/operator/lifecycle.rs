//! Pause, resume, restart, edits.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{Api, ResourceExt as _};
use parking_crds::{role::Role, stream::Stream, worker_status::PartitionReport};
use parking_e2e::kubernetes::wait::eventually;
use serde_json::json;

use crate::city::{City, LIMIT};

async fn replicas(city: &City, name: &str, wanted: i32) {
    let sets: Api<StatefulSet> = city.namespace.api();
    eventually(&format!("{name} has {wanted} replicas"), LIMIT, async || {
        let set = sets.get(name).await.map_err(|error| error.to_string())?;
        let found = set.spec.and_then(|spec| spec.replicas);
        if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

/// Every worker of the roles says that it read each partition up to that offset of nine.
pub(crate) fn stand_at(city: &City, position: u64) {
    for pod in city.kubelet.workers() {
        city.kubelet.worker(&pod, |worker| {
            worker.change(|status| {
                let streams: &[Stream] = match status.role {
                    Role::Occupancy | Role::Alert => &[Stream::Events],
                    Role::Archive => &[Stream::Events, Stream::Sessions, Stream::Alerts, Stream::DeadLetters],
                    Role::Notify => &[Stream::Alerts],
                    _ => &[],
                };
                status.partitions = streams
                    .iter()
                    .flat_map(|&stream| (0..3).map(move |partition| (stream, partition)))
                    .map(|(stream, partition)| PartitionReport {
                        stream,
                        partition,
                        position,
                        end: 9,
                        oldest_unread: None,
                    })
                    .collect();
            });
        });
    }
}

#[tokio::test]
async fn a_paused_pipeline_drains_rests_and_comes_back() {
    let city = City::start().await;
    city.ready().await;
    stand_at(&city, 3);
    city.patch(json!({"spec": {"lifecycle": {"phase": "Paused"}}})).await;
    let pipelines = city.pipelines();
    eventually("the ends are noted", LIMIT, async || {
        let status =
            pipelines.get("city").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        match status.drain.and_then(|drain| drain.ends.get(&Stream::Events).cloned()) {
            Some(ends) if ends == [9, 9, 9] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    replicas(&city, "city-occupancy", 1).await;

    stand_at(&city, 9);
    replicas(&city, "city-occupancy", 0).await;
    replicas(&city, "city-archive", 0).await;
    let ingest: Api<Deployment> = city.namespace.api();
    assert_eq!(ingest.get("city-ingest").await.unwrap().spec.unwrap().replicas, Some(1), "ingest goes on");
    let paused = city.until("Ready", "True").await;
    assert_eq!(serde_json::to_value(paused.status.unwrap().phase).unwrap(), json!("Paused"));

    city.patch(json!({"spec": {"lifecycle": {"phase": "Running"}}})).await;
    replicas(&city, "city-occupancy", 1).await;
    city.load_rules(0).await;
    let running = city.until("WorkersAvailable", "True").await;
    assert!(running.status.unwrap().drain.is_none());
}

#[tokio::test]
async fn a_killed_operator_adopts_what_it_left_and_follows_edits() {
    let mut city = City::start().await;
    city.ready().await;
    city.operator.take().unwrap().kill().unwrap();
    city.patch(json!({"spec": {"workers": {"occupancy": {"replicas": 2}}}})).await;
    city.start_operator().await;
    replicas(&city, "city-occupancy", 2).await;
    let pipeline = city.until("WorkersAvailable", "True").await;
    assert_eq!(pipeline.status.unwrap().workers.as_deref(), Some("6/6"));
}

#[tokio::test]
async fn a_bad_image_is_named_and_a_good_one_heals_it_without_help() {
    let city = City::start().await;
    city.ready().await;
    city.patch(json!({"spec": {"image": "workers:bad"}})).await;
    let degraded = city.until("Degraded", "True").await;
    let conditions = degraded.status.unwrap().conditions;
    let workers = conditions.iter().find(|found| found.type_ == "WorkersAvailable").unwrap();
    assert_eq!(workers.reason, "RolloutFailed");
    assert!(workers.message.contains("ImagePullBackOff"), "{}", workers.message);
    city.patch(json!({"spec": {"image": "workers:good"}})).await;
    city.until("Degraded", "False").await;
    city.load_rules(0).await;
    city.until("Ready", "True").await;
}

#[tokio::test]
async fn an_annotation_makes_the_operator_leave_everything_as_it_is() {
    let city = City::start().await;
    city.ready().await;
    city.patch(json!({"metadata": {"annotations": {"parking.tinyx.io/pause-reconciliation": "true"}}})).await;
    city.until("ReconciliationPaused", "True").await;
    let sets: Api<StatefulSet> = city.namespace.api();
    let before = sets.get("city-occupancy").await.unwrap();
    city.patch(json!({"spec": {"workers": {"occupancy": {"replicas": 2}}}})).await;
    city.until("ReconciliationPaused", "True").await;
    assert_eq!(sets.get("city-occupancy").await.unwrap().resource_version(), before.resource_version());
    city.patch(json!({"metadata": {"annotations": {"parking.tinyx.io/pause-reconciliation": null}}})).await;
    replicas(&city, "city-occupancy", 2).await;
}
