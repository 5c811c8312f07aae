//! The network between a worker and the master fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_e2e::{
    proxy::{Direction, Fault, Proxy},
    redis::{Options, Redis},
};
use parking_workers::{
    adapters::redis::Health,
    ports::{
        ErrorKind,
        state_store::{Commit, Outcome, StateStore},
    },
};

use crate::stage::{STAGE, Writer, key, open, owner, ready, settings, until};

/// Longest time of a call that gets no answer: half a second, and what a busy machine adds.
const CALL: Duration = Duration::from_millis(1_500);
const AGAIN: Duration = Duration::from_secs(5);

/// A server that is reached through a proxy: the sentinel knows it by that address.
fn behind_proxy() -> (Redis, Proxy) {
    let options = Options { down_after: Duration::from_mins(1), ..Options::default() };
    let redis = Redis::start(&options).unwrap();
    let proxy = Proxy::start(redis.servers()[0]).unwrap();
    redis.name_master(proxy.address()).unwrap();
    (redis, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_cut_off_is_ambiguous_and_the_claim_tells_that_it_happened() {
    let (redis, proxy) = behind_proxy();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    let mut ambiguous = 0;
    while ambiguous < 5 {
        ready(&writer.store).await;
        proxy.set(Fault::CutAfter(Direction::ToClient, 4));
        let base = writer.base;
        match writer.commit().await {
            // A beat of the sentinel was cut in its stead.
            Ok(outcome) => assert_eq!(outcome, Outcome::Stored),
            Err(error) if error.kind == ErrorKind::Ambiguous => {
                ambiguous += 1;
                until("the stage is owned again", AGAIN, async || writer.claim().await.ok()).await;
                assert!(writer.base == base + 1 || writer.base == base);
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
                until("the stage is owned again", AGAIN, async || writer.claim().await.ok()).await;
            }
        }
    }
    writer.calmly(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_cut_off_on_its_way_is_ambiguous_and_the_claim_tells_that_it_did_not_happen() {
    let (redis, proxy) = behind_proxy();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    writer.calmly(3).await;
    let large = Bytes::from(vec![0; 1 << 20]);
    let commit = Commit { blocks: vec![(key(99), Some(large))], ..writer.next() };
    proxy.set(Fault::CutAfter(Direction::ToServer, 300_000));
    let error = writer.store.commit(&STAGE, commit).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error:?}");
    until("the stage is owned again", AGAIN, async || writer.claim().await.ok()).await;
    assert_eq!(writer.base, 3);
    writer.calmly(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_waits_longer_than_its_time_for_a_silent_network() {
    let (redis, proxy) = behind_proxy();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    for fault in [Fault::BlackHole, Fault::Deaf(Direction::ToClient), Fault::Deaf(Direction::ToServer)] {
        writer.calmly(3).await;
        proxy.set(fault);
        let mut longest = Duration::ZERO;
        for call in 0..6 {
            let start = Instant::now();
            let error = match call % 3 {
                0 => writer.commit().await.map(|_| ()),
                1 => writer.store.claim(&STAGE, owner()).await.map(|_| ()),
                _ => writer.store.peek(&STAGE).await.map(|_| ()),
            };
            let kind = error.unwrap_err().kind;
            assert!(matches!(kind, ErrorKind::Ambiguous | ErrorKind::Transient), "{kind:?}");
            assert_eq!(call == 0, kind == ErrorKind::Ambiguous, "only what was sent may have happened");
            longest = longest.max(start.elapsed());
        }
        println!("{fault:?}: no call took longer than {longest:?}");
        assert!(longest < CALL, "{fault:?}: a call took {longest:?}");
        assert!(matches!(writer.store.health(), Health::NotReady { .. }));
        proxy.set(Fault::None);
        let again = writer.go_on(AGAIN).await;
        println!("{fault:?}: over, the next commit was answered after {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_is_noticed_by_those_who_do_not_ask() {
    let (redis, proxy) = behind_proxy();
    let store = open(&settings(&redis));
    ready(&store).await;
    proxy.set(Fault::BlackHole);
    let gone = async || matches!(store.health(), Health::NotReady { .. }).then_some(());
    until("the health says so", AGAIN, gone).await;
    proxy.set(Fault::None);
    ready(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network_is_no_failure() {
    let (redis, proxy) = behind_proxy();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    proxy.set(Fault::Latency(Duration::from_millis(50)));
    writer.calmly(5).await;
    writer.claim().await.unwrap();
    assert_eq!(writer.base, 5);
}
