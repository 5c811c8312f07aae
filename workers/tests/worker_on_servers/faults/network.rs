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

/// Cuts all connections, each time in the midst of some answer; answers how often.
pub(super) async fn cut(proxy: &Proxy, recoveries: &mut Recoveries) -> usize {
    let (mut chance, times) = (chance(), usize::try_from(number("PARKING_CUTS", 3)).unwrap());
    for _ in 0..times {
        proxy.set(Fault::CutAfter(Direction::ToClient, u64::from(chance.next_u32() % 4_000)));
        let is_cut = async {
            while proxy.fault() != Fault::None {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_mins(1), is_cut).await.is_ok(), "nothing was answered");
        recoveries.measure_all().await;
    }
    times
}

/// What a network does short of a cut. What is lost in a half-open connection is lost for good, so that it is cut by
/// whoever gives up first.
const SILENCES: [Fault; 4] = [
    Fault::Latency(Duration::from_millis(200)),
    Fault::Deaf(Direction::ToClient),
    Fault::Deaf(Direction::ToServer),
    Fault::BlackHole,
];

/// Longer than a group waits for its members.
const SILENCE: Duration = Duration::from_secs(17);

/// Lets each of the silences last, and measures from its end; answers how many there were.
pub(super) async fn outlast(proxy: &Proxy, recoveries: &mut Recoveries) -> usize {
    for fault in SILENCES {
        proxy.set(fault);
        tokio::time::sleep(SILENCE).await;
        proxy.set(Fault::None);
        recoveries.measure_all().await;
    }
    SILENCES.len()
}

/// Runs a city whose workers reach something through a proxy that `disturb` plays with.
pub(super) fn disturb_proxy(
    mut row: Row,
    city: City,
    offsets: Offsets,
    disturb: impl AsyncFnOnce(&mut Recoveries) -> usize,
) -> impl Future<Output = ()> {
    Box::pin(async move {
        let (reference, mut run, mut times) = (Reference::shared().await, Run::start(city).await, 0);
        run.replay(async |_, _, recoveries| times = disturb(recoveries).await).await;
        row.add(times, &run.check(reference, offsets).await);
        row.is_whole().unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn row_7_answers_of_the_log_that_are_cut_in_their_midst_leave_no_doubt_behind() {
    let redis = Redis::start(&Options::default()).unwrap();
    let row = Row::new(7, "answers of Kafka cut in their midst", None);
    let (_broker, proxy, city) = log_behind_proxy(&redis).await;
    disturb_proxy(row, city, Offsets::Shifted, async |recoveries| cut(&proxy, recoveries).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_7_answers_of_the_store_that_are_cut_in_their_midst_leave_no_doubt_behind() {
    let row = Row::new(7, "answers of Redis cut in their midst", None);
    let (_redis, proxy, city) = store_behind_proxy().await;
    disturb_proxy(row, city, Offsets::Same, async |recoveries| cut(&proxy, recoveries).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak runs it"]
async fn row_17_a_log_that_is_slow_half_open_or_silent_is_found_again() {
    let redis = Redis::start(&Options::default()).unwrap();
    let row = Row::new(17, "Kafka 200 ms away, half open either way, silent", Some(Duration::from_secs(5)));
    let (_broker, proxy, city) = log_behind_proxy(&redis).await;
    disturb_proxy(row, city, Offsets::Shifted, async |recoveries| outlast(&proxy, recoveries).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak runs it"]
async fn row_17_a_store_that_is_slow_half_open_or_silent_is_found_again() {
    let row = Row::new(17, "Redis 200 ms away, half open either way, silent", Some(Duration::from_secs(5)));
    let (_redis, proxy, city) = store_behind_proxy().await;
    disturb_proxy(row, city, Offsets::Same, async |recoveries| outlast(&proxy, recoveries).await).await;
}
