//! The roles of a pipeline on a real Kafka and a real Redis, fed through ingest: what they write is what one process
//! writes that has no server.

#![cfg(all(feature = "kafka", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real servers run on the wall clock")]

#[path = "../log_on_kafka/broker.rs"]
#[allow(dead_code, reason = "shared with the tests of the log")]
mod broker;
mod city;
mod reference;
#[path = "../log_on_kafka/topology.rs"]
mod topology;

use std::time::Duration;

use parking_crds::role::Role;

use crate::{city::City, reference::Reference};

#[tokio::test(flavor = "multi_thread")]
async fn birmingham_through_its_workers_is_birmingham_in_one_process() {
    let reference = Reference::of_birmingham().await;
    let city = City::new().await;
    let ingest = city.start(Role::Ingest);
    let stages = [city.start(Role::Occupancy), city.start(Role::Alert), city.start(Role::Alert)];
    city.replay(&ingest).await;
    city.until_written(&reference).await;
    for (stream, expected) in &reference.outputs {
        assert_eq!(city.records(*stream).await, *expected, "{stream:?}");
    }
    for worker in stages.into_iter().chain([ingest]) {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_dropped_again_and_again_change_nothing() {
    let reference = Reference::of_birmingham().await;
    let city = City::new().await;
    let ingest = city.start(Role::Ingest);
    let (mut occupancy, mut alert) = (city.start(Role::Occupancy), city.start(Role::Alert));
    let disturb = async {
        for pause in [300, 700, 150, 900, 400, 250] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            occupancy.kill();
            occupancy = city.start(Role::Occupancy);
            alert.kill();
            alert = city.start(Role::Alert);
        }
    };
    tokio::join!(city.replay(&ingest), disturb);
    city.until_written(&reference).await;
    for (stream, expected) in &reference.outputs {
        let once = city.records(*stream).await.into_iter().map(reference::each_once);
        assert_eq!(once.collect::<Vec<_>>(), *expected, "{stream:?}");
    }
    for worker in [occupancy, alert, ingest] {
        worker.stop().await;
    }
}
