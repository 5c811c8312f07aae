//! Whatever goes wrong between the operator and the API server: the pipeline converges, and is kept afterwards.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use parking_e2e::kubernetes::{
    interceptor::{Call, Fault, Interceptor, Seen, WatchEnd},
    wait::eventually,
};

use crate::{
    city::{City, LIMIT},
    example::{is_repaired, ready},
};

/// The slowest watch begins anew after this time.
const REPAIR: Duration = Duration::from_secs(20);

/// What is disturbed: something of each step that the operator takes.
const WRITES: [(&str, &str); 5] = [
    ("patch", "parkingpipelines"),
    ("patch", "configmaps"),
    ("patch", "kafkatopics"),
    ("patch", "statefulsets"),
    ("patch", "parkingpipelines/status"),
];
const READS: [(&str, &str); 6] = [
    ("get", "namespaces"),
    ("list", "parkingpipelines"),
    ("list", "pods"),
    ("watch", "parkingpipelines"),
    ("watch", "statefulsets"),
    ("watch", "configmaps"),
];

/// Spoils the first request of each of these.
fn first_of_each(
    chosen: impl IntoIterator<Item = (&'static str, &'static str)>,
    fault: Fault,
) -> impl FnMut(&Call) -> Fault + Send + 'static {
    let mut left: Vec<(&'static str, &'static str)> = chosen.into_iter().collect();
    move |call| {
        let before = left.len();
        left.retain(|&(verb, resource)| (verb, resource) != (call.verb, call.resource.as_str()));
        if left.len() < before { fault } else { Fault::Pass }
    }
}

/// How many requests were spoiled.
fn spoiled(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.fault != Fault::Pass).count()
}

async fn between(rule: impl FnMut(&Call) -> Fault + Send + 'static) -> (City, Interceptor) {
    let mut city = City::without_operator().await;
    let interceptor = Interceptor::start(city.namespace.cluster()).unwrap();
    interceptor.set(rule);
    city.start_operator_through(&interceptor).await;
    (city, interceptor)
}

/// The example becomes ready although the first request of each of these is spoiled, and is kept afterwards.
async fn converges(chosen: &[(&'static str, &'static str)], fault: Fault) -> City {
    let (city, interceptor) = between(first_of_each(chosen.iter().copied(), fault)).await;
    ready(&city).await;
    assert_eq!(spoiled(&interceptor.take_seen()), chosen.len(), "each was asked for");
    is_repaired(&city, REPAIR).await;
    city
}

const fn refused(code: u16) -> Fault {
    Fault::Refuse { code, retry_after: None }
}

#[tokio::test]
async fn a_conflict_is_tried_again_and_is_not_taken_for_a_foreign_object() {
    let city = converges(&WRITES, refused(409)).await;
    let events: Api<Event> = city.namespace.api();
    let told = events.list(&ListParams::default()).await.unwrap().items;
    let reasons: BTreeSet<String> = told.into_iter().filter_map(|event| event.reason).collect();
    assert!(!reasons.is_empty() && !reasons.contains("NameTaken"), "{reasons:?}");
}

#[tokio::test]
async fn versions_that_are_too_old_are_listed_and_watched_anew() {
    let watches_and_lists: Vec<_> = READS.into_iter().filter(|(verb, _)| *verb != "get").collect();
    let (city, interceptor) = between(first_of_each(watches_and_lists, refused(410))).await;
    ready(&city).await;
    assert_eq!(spoiled(&interceptor.take_seen()), READS.len() - 1, "each was asked for");
    interceptor.end_watches(WatchEnd::Expired);
    is_repaired(&city, REPAIR).await;
}

#[tokio::test]
async fn errors_of_the_server_are_waited_for() {
    converges(&[READS.as_slice(), &WRITES].concat(), refused(500)).await;
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_waited_for() {
    converges(&[READS.as_slice(), &WRITES].concat(), refused(503)).await;
}

#[tokio::test]
async fn requests_that_break_off_before_the_server_has_them_are_made_again() {
    converges(&[READS.as_slice(), &WRITES].concat(), Fault::Lose).await;
}

#[tokio::test]
async fn answers_that_are_lost_do_no_harm() {
    converges(&[READS.as_slice(), &WRITES].concat(), Fault::LoseAnswer).await;
}

#[tokio::test]
async fn watches_that_break_off_are_taken_up_again() {
    let (city, interceptor) = between(|_| Fault::Pass).await;
    ready(&city).await;
    for _ in 0..3 {
        let _ = interceptor.take_seen();
        interceptor.end_watches(WatchEnd::Broken);
        eventually("new watches", LIMIT, async || {
            let seen = interceptor.take_seen();
            if seen.iter().any(|seen| seen.call.verb == "watch") { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
        .unwrap();
    }
    is_repaired(&city, REPAIR).await;
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_no_write_before_its_time() {
    const PATIENCE: u32 = 4;
    let refusal = Fault::Refuse { code: 429, retry_after: Some(PATIENCE) };
    let (city, interceptor) = between(move |call| match call.write {
        Some(1 | 30) => refusal,
        _ => Fault::Pass,
    })
    .await;
    ready(&city).await;
    let seen = interceptor.take_seen();
    let writes = |after: Instant, until: Duration| {
        let within = move |seen: &&Seen| seen.at > after && seen.at < after + until;
        seen.iter().filter(within).filter(|seen| seen.call.write.is_some()).count()
    };
    let refusals: Vec<&Seen> = seen.iter().filter(|seen| seen.fault == refusal).collect();
    assert_eq!(refusals.len(), 2);
    for refused in refusals {
        // What was on its way when the answer came had been sent before it.
        let on_the_way = writes(refused.at, Duration::from_millis(500));
        let all = writes(refused.at, Duration::from_secs(PATIENCE.into()));
        assert_eq!(all, on_the_way, "{:?}", refused.call);
        assert!(on_the_way < 8, "{on_the_way}");
    }
    is_repaired(&city, REPAIR).await;
}
