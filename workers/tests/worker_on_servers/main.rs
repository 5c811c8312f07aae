//! The roles of a pipeline on a real Kafka, a real Redis and a real S3 endpoint, fed through ingest: what they write,
//! archive, compute and tell is what one process does that has no server.

#![cfg(all(feature = "kafka", feature = "redis", feature = "s3"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real servers run on the wall clock")]

#[path = "../log_on_kafka/broker.rs"]
#[allow(dead_code, reason = "shared with the tests of the log")]
mod broker;
mod city;
#[path = "../lake_on_s3/endpoint.rs"]
#[allow(dead_code, reason = "shared with the tests of the lake")]
mod endpoint;
mod faults;
mod flow;
mod idle;
mod lake;
mod live;
mod place;
mod process;
mod receiver;
mod recovery;
mod reference;
mod statistics;
#[path = "../log_on_kafka/topology.rs"]
mod topology;

use std::{collections::BTreeMap, time::Duration};

use parking_crds::role::Role;
use parking_workers::ports::event_log::Stream;

use crate::{city::City, lake::Offsets, reference::Reference};

#[tokio::test(flavor = "multi_thread")]
async fn birmingham_through_its_workers_is_birmingham_in_one_process() {
    let reference = Reference::shared().await;
    let city = City::new().await;
    let [ingest] = city.start_all([Role::Ingest]).await;
    let roles = [Role::Occupancy, Role::Alert, Role::Alert, Role::Archive, Role::Notify, Role::Notify];
    let workers = city.start_all(roles).await;
    city.replay(&ingest).await;
    city.until_written(reference).await;
    for (stream, expected) in &reference.outputs {
        assert_eq!(city.records(*stream).await, *expected, "{stream:?}");
    }
    let lake = city.until_archived(reference).await;
    lake::assert_same(&lake, &reference.lake, Offsets::Same).await;
    city.assert_same_statistics(&lake, reference).await;
    city.assert_same_runs(&lake, reference).await;
    city.until_told(reference).await;
    city.until_shown(reference).await;
    for worker in workers.into_iter().chain([ingest]) {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_a_stream_of_the_redis_reach_the_log_too() {
    let city = City::new().await;
    let [ingest] = city.start_all([Role::Ingest]).await;
    let put: Vec<_> = (0..3).map(|number| city.put_into_the_stream(number)).collect();
    let arrived = async {
        loop {
            let events = city.records(Stream::Events).await.concat();
            if put.iter().all(|id| events.iter().any(|event| event.contains(id))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), arrived).await.is_ok());
    ingest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_come_later_are_judged_by_and_told_without_a_restart() {
    let reference = Reference::shared().await;
    let city = City::new().await;
    let none = city.change_rules(|_| &[]);
    let [ingest, occupancy, alert, notify] =
        city.start_all([Role::Ingest, Role::Occupancy, Role::Alert, Role::Notify]).await;
    alert.until_loaded(&none).await;
    let all = city.change_rules(|rules| rules);
    alert.until_loaded(&all).await;
    city.replay(&ingest).await;
    city.until_written(reference).await;
    for (stream, expected) in &reference.outputs {
        assert_eq!(city.records(*stream).await, *expected, "{stream:?}");
    }
    city.until_told(reference).await;
    let told = alert.rules().await.unwrap().rules.into_iter();
    let raised = told.map(|(name, rule)| (name.to_string(), rule.firing + rule.recovering + rule.no_data));
    let raised: BTreeMap<_, _> = raised.filter(|(_, raised)| *raised > 0).collect();
    assert_eq!(raised, reference.raised());
    for worker in [ingest, occupancy, alert, notify] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_dropped_again_and_again_change_nothing() {
    let reference = Reference::shared().await;
    let city = City::new().await;
    let [ingest] = city.start_all([Role::Ingest]).await;
    let roles = [Role::Occupancy, Role::Alert, Role::Archive, Role::Notify];
    let mut workers = city.start_all(roles).await;
    let disturb = async {
        for pause in [300, 700, 150, 900, 400, 250] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            for (worker, role) in workers.iter_mut().zip(roles) {
                worker.kill();
                *worker = city.start(role);
            }
        }
    };
    tokio::join!(city.replay(&ingest), disturb);
    city.until_written(reference).await;
    for (stream, expected) in &reference.outputs {
        let once = city.records(*stream).await.into_iter().map(reference::each_once);
        assert_eq!(once.collect::<Vec<_>>(), *expected, "{stream:?}");
    }
    let lake = city.until_archived(reference).await;
    lake::assert_same(&lake, &reference.lake, Offsets::Same).await;
    city.until_told(reference).await;
    for worker in workers.into_iter().chain([ingest]) {
        worker.stop().await;
    }
}
