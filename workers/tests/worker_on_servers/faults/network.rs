//! The network between the workers and the log or the store fails.

use std::time::Duration;

use parking_e2e::{
    fault_table::Row,
    proxy::{Direction, Fault, Proxy},
    redis::{Options, Redis},
};
use rand_chacha::rand_core::RngCore as _;

use super::{Run, chance, number};
use crate::{broker::Broker, city::City, lake::Offsets, recovery::Recoveries, reference::Reference};

/// A log that workers reach through a proxy, and a city on it.
async fn log_behind_proxy(redis: &Redis) -> (Broker, Proxy, City) {
    let (broker, proxy) = Broker::behind_proxy();
    let mut city = City::on(&broker, redis).await;
    city.servers.log_of_workers = Some(proxy.address().to_string());
    (broker, proxy, city)
}

/// A store that workers reach through a proxy, and a city on it.
async fn store_behind_proxy() -> (Redis, Proxy, City) {
    let redis = Redis::start(&Options::default()).unwrap();
    let proxy = Proxy::start(redis.servers()[0]).unwrap();
    redis.name_master(proxy.address()).unwrap();
    let city = City::on(Broker::shared(), &redis).await;
    (redis, proxy, city)
}

/// Cuts all connections, each time in the midst of some answer.
pub(super) async fn cut(proxy: &Proxy, times: usize, recoveries: &mut Recoveries) {
    let mut chance = chance();
    for _ in 0..times {
        proxy.set(Fault::CutAfter(Direction::ToClient, u64::from(chance.next_u32() % 4_000)));
        let is_cut = async {
            while proxy.fault() != Fault::None {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_mins(1), is_cut).await.is_ok(), "nothing was answered");
        recoveries.begin_all();
        recoveries.settle().await;
    }
}

/// Lets each of these faults last, and measures from its end.
pub(super) async fn outlast(proxy: &Proxy, faults: &[Fault], lasts: Duration, recoveries: &mut Recoveries) {
    for fault in faults {
        proxy.set(*fault);
        tokio::time::sleep(lasts).await;
        proxy.set(Fault::None);
        recoveries.begin_all();
        recoveries.settle().await;
    }
}

/// What a network does short of a cut. What is lost in a half-open connection is lost for good, so that it is cut by
/// whoever gives up first.
pub(super) const SILENCES: [Fault; 4] = [
    Fault::Latency(Duration::from_millis(200)),
    Fault::Deaf(Direction::ToClient),
    Fault::Deaf(Direction::ToServer),
    Fault::BlackHole,
];

/// Longer than a group waits for its members.
pub(super) const SILENCE: Duration = Duration::from_secs(17);

fn cuts() -> usize {
    usize::try_from(number("PARKING_CUTS", 3)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_7_answers_of_the_log_that_are_cut_in_their_midst_leave_no_doubt_behind() {
    let (reference, redis) = (Reference::shared().await, Redis::start(&Options::default()).unwrap());
    let mut row = Row::new(7, "answers of Kafka cut in their midst", None);
    let (_broker, proxy, city) = log_behind_proxy(&redis).await;
    let mut run = Run::start(city).await;
    run.replay(async |_, _, recoveries| cut(&proxy, cuts(), recoveries).await).await;
    row.add(cuts(), &run.check(reference, Offsets::Shifted).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_7_answers_of_the_store_that_are_cut_in_their_midst_leave_no_doubt_behind() {
    let reference = Reference::shared().await;
    let mut row = Row::new(7, "answers of Redis cut in their midst", None);
    let (_redis, proxy, city) = store_behind_proxy().await;
    let mut run = Run::start(city).await;
    run.replay(async |_, _, recoveries| cut(&proxy, cuts(), recoveries).await).await;
    row.add(cuts(), &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak runs it"]
async fn row_17_a_log_that_is_slow_half_open_or_silent_is_found_again() {
    let (reference, redis) = (Reference::shared().await, Redis::start(&Options::default()).unwrap());
    let mut row =
        Row::new(17, "Kafka 200 ms away, half open either way, silent", Some(Duration::from_secs(5)));
    let (_broker, proxy, city) = log_behind_proxy(&redis).await;
    let mut run = Run::start(city).await;
    run.replay(async |_, _, recoveries| outlast(&proxy, &SILENCES, SILENCE, recoveries).await).await;
    row.add(SILENCES.len(), &run.check(reference, Offsets::Shifted).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak runs it"]
async fn row_17_a_store_that_is_slow_half_open_or_silent_is_found_again() {
    let reference = Reference::shared().await;
    let mut row =
        Row::new(17, "Redis 200 ms away, half open either way, silent", Some(Duration::from_secs(5)));
    let (_redis, proxy, city) = store_behind_proxy().await;
    let mut run = Run::start(city).await;
    run.replay(async |_, _, recoveries| outlast(&proxy, &SILENCES, SILENCE, recoveries).await).await;
    row.add(SILENCES.len(), &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}
