//! Servers die, freeze, forget and are full.

use std::{io, net::SocketAddr, time::Duration};

use parking_crds::role::Role;
use parking_e2e::{
    fault_table::Row,
    redis::{Options, Redis},
};

use super::{Run, by_cities, number};
use crate::{broker::Broker, city::City, lake::Offsets, reference::Reference};

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_broker_that_dies_and_comes_back_costs_no_record() {
    let (reference, mut broker) = (Reference::shared().await, Broker::own());
    let redis = Redis::start(&Options::default()).unwrap();
    let mut row = Row::new(6, "kill -9 of the broker, started again", Some(Duration::from_secs(5)));
    for restarts in by_cities(number("PARKING_BROKER_RESTARTS", 2), 5) {
        let mut run = Run::start(City::on(&broker, &redis).await).await;
        run.replay(async |_, _, recoveries| {
            for _ in 0..restarts {
                broker.server().kill().unwrap();
                broker.server().restart().unwrap();
                recoveries.measure_all().await;
            }
        })
        .await;
        row.add(restarts, &run.check(reference, Offsets::Shifted).await);
    }
    row.is_whole().unwrap();
}

fn three_servers() -> Redis {
    Redis::start(&Options { servers: 3, sentinels: 3, min_replicas: 1, ..Options::default() }).unwrap()
}

/// Strikes one master after the other, and mends it when its city is back.
fn strike_masters(
    mut row: Row,
    strike: impl Fn(&Redis, SocketAddr) -> io::Result<()>,
    mend: impl Fn(&mut Redis, SocketAddr) -> io::Result<()>,
) -> impl Future<Output = ()> {
    Box::pin(async move {
        let (reference, mut redis) = (Reference::shared().await, three_servers());
        for masters in by_cities(number("PARKING_MASTERS", 2), 10) {
            let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
            run.replay(async |_, _, recoveries| {
                for _ in 0..masters {
                    let master = redis.master().unwrap();
                    strike(&redis, master).unwrap();
                    recoveries.measure_all().await;
                    mend(&mut redis, master).unwrap();
                    redis.settled().unwrap();
                }
            })
            .await;
            row.add(masters, &run.check(reference, Offsets::Same).await);
        }
        row.is_whole().unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_9_masters_of_redis_that_die_cost_no_state() {
    let row = Row::new(9, "kill -9 of the master of Redis", Some(Duration::from_secs(5)));
    strike_masters(row, Redis::kill, Redis::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_9_masters_of_redis_that_freeze_and_wake_up_cost_no_state() {
    let row = Row::new(9, "SIGSTOP of the master of Redis, then SIGCONT", Some(Duration::from_secs(10)));
    strike_masters(row, Redis::freeze, |redis, master| redis.thaw(master)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_a_redis_that_forgets_everything_is_filled_again() {
    let reference = Reference::shared().await;
    let redis = Redis::start(&Options::default()).unwrap();
    let mut row = Row::new(10, "FLUSHALL", None);
    let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
    run.replay(async |_, _, recoveries| {
        for _ in 0..3 {
            redis.flush_all().unwrap();
            recoveries.measure_all().await;
        }
    })
    .await;
    row.add(3, &run.check_kept(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_11_a_full_redis_holds_everything_back_and_loses_nothing() {
    let reference = Reference::shared().await;
    let redis = Redis::start(&Options::default()).unwrap();
    let mut row = Row::new(11, "Redis full, until there is room again", Some(Duration::from_secs(2)));
    let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
    run.replay(async |_, _, recoveries| {
        let limit = |bytes: &str| {
            let master = redis.master().unwrap();
            redis.ask::<String>(master, &["CONFIG", "SET", "maxmemory", bytes]).unwrap();
        };
        for _ in 0..3 {
            limit("1");
            recoveries.until_troubled(Role::Occupancy).await;
            limit("0");
            recoveries.measure_all().await;
        }
    })
    .await;
    row.add(3, &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}
