//! Who leads at first, after a loss, and beside another.

use parking_operator::redis::{SERVER_PORT, Waits};

use crate::cluster::{Cluster, ask};

#[tokio::test]
async fn a_first_start_elects_one_master_and_then_rests() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    assert!(cluster.write(&master, "k", "v").await);
    assert_eq!(cluster.promoted.len(), 1);
    let (_, decision) = cluster.look().await;
    assert_eq!(decision.actions, []);
}

#[tokio::test]
async fn a_killed_master_is_replaced_by_sentinel_and_comes_back_as_a_replica() {
    let mut cluster = Cluster::start(3, 3);
    let old = cluster.settled().await;
    assert!(cluster.write(&old, "k", "v").await);
    cluster.server(&old).kill();
    let new = cluster.until("a new master", |_, _, decision| decision.report.master.is_some()).await;
    let new = new.report.master.unwrap();
    assert_ne!(new, old);
    assert_eq!(cluster.read(&new, "k").await.as_deref(), Some("v"));
    let ordinal = cluster.ordinal(&old);
    cluster.start_server(ordinal);
    let settled = cluster.settled().await;
    assert_eq!(cluster.read(&settled, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.read(&old, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.promoted.len(), 1, "only Sentinel promoted after the first start");
}

#[tokio::test]
async fn after_all_died_the_newest_data_lead() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let first = cluster.ordinal(&master);
    // The others miss what is written last; so does whoever has the lowest ordinal.
    let stale: Vec<u16> = (0..3).filter(|ordinal| *ordinal != first).collect();
    let newest = *stale.last().unwrap();
    for ordinal in 0..3 {
        if ordinal != newest && ordinal != first {
            cluster.servers[usize::from(ordinal)].kill();
        }
    }
    for n in 0..5 {
        cluster.write(&master, "last", &n.to_string()).await;
        cluster.look().await;
    }
    let kept = cluster.read(&format!("redis-{newest}"), "last").await;
    assert_eq!(kept.as_deref(), Some("4"));
    for pod in cluster.servers.iter_mut().chain(cluster.sentinels.iter_mut()) {
        pod.kill();
    }
    // The old master never comes back, and the sentinels lost their volumes.
    for ordinal in stale {
        cluster.start_server(ordinal);
    }
    for ordinal in 0..3 {
        cluster.start_sentinel(ordinal);
    }
    cluster.waits = Waits::default();
    let elected = cluster.until("elected", |_, _, decision| decision.report.data_loss.is_some()).await;
    assert!(elected.report.data_loss.unwrap().contains(&format!("[{first}]")));
    let led = cluster.until("a master", |_, _, decision| decision.report.master.is_some()).await;
    let led = led.report.master.unwrap();
    assert_eq!(led, format!("redis-{newest}"));
    assert_eq!(cluster.read(&led, "last").await.as_deref(), Some("4"));
}

#[tokio::test]
async fn a_master_that_never_returns_is_replaced_though_only_volumes_are_left() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    assert!(cluster.write(&master, "k", "v").await);
    let gone = cluster.ordinal(&master);
    for pod in &mut cluster.servers {
        pod.kill();
    }
    for ordinal in (0..3).filter(|ordinal| *ordinal != gone) {
        cluster.start_server(ordinal);
    }
    let led = cluster.until("a master", |_, _, decision| decision.report.master.is_some()).await;
    let led = led.report.master.unwrap();
    assert_ne!(led, master);
    assert_eq!(cluster.read(&led, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.promoted.len(), 1, "Sentinel promotes, not the operator");
}

#[tokio::test]
async fn of_two_masters_the_named_one_stays() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let stray = cluster.servers.iter().map(|pod| pod.member.clone()).find(|one| one.pod != master).unwrap();
    let words = ["REPLICAOF", "NO", "ONE"];
    ask::<String>(&stray, &cluster.password(), SERVER_PORT, &words).await.unwrap();
    assert_eq!(cluster.settled().await, master);
}
