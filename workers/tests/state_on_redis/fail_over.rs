//! The master dies or stands still, and another one takes over.

use std::time::Duration;

use bytes::Bytes;
use parking_e2e::redis::{Options, Redis};
use parking_workers::{
    adapters::redis::RedisSettings,
    ports::{
        ErrorKind,
        state_store::{Commit, Outcome, StateStore},
    },
};

use crate::stage::{STAGE, Writer, empty, key, open, settings, until};

/// From the death of a master to the next answered commit.
const AFTER_DEATH: Duration = Duration::from_secs(5);
/// From a master's standstill to the next answered commit.
const AFTER_FREEZE: Duration = Duration::from_secs(10);

fn cluster() -> Redis {
    Redis::start(&Options { servers: 3, sentinels: 3, min_replicas: 1, ..Options::default() }).unwrap()
}

fn careful(redis: &Redis) -> RedisSettings {
    RedisSettings { wait_replicas: 1, ..settings(redis) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_death_of_the_master_writes_go_on_and_no_answered_commit_is_lost_or_half_there() {
    let redis = cluster();
    let settings = careful(&redis);
    let mut writer = Writer::start(open(&settings)).await;
    writer.calmly(100).await;
    let old = redis.master().unwrap();
    redis.kill(old).unwrap();
    let gap = writer.go_on(AFTER_DEATH).await;
    println!("the master was killed: the next commit was answered after {gap:?}");
    writer.calmly(20).await;
    writer.claim().await.unwrap();
    assert_ne!(redis.master().unwrap(), old);
    let fresh = open(&settings);
    let seen =
        until("a new process finds the state", AFTER_DEATH, async || fresh.peek(&STAGE).await.ok()).await;
    assert_eq!(writer.check(&seen.unwrap()), writer.answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_standstill_of_the_master_writes_go_on_and_what_reached_it_late_is_never_seen() {
    let redis = cluster();
    let mut writer = Writer::start(open(&careful(&redis))).await;
    writer.calmly(20).await;
    let old = redis.master().unwrap();
    redis.freeze(old).unwrap();
    // It lies in the frozen server's socket, and its token is the one that this server knows.
    let zombie = Commit {
        blocks: vec![(key(0), Some(Bytes::from("zombie")))],
        ..empty(writer.token, writer.base, writer.base + 1_000)
    };
    let stuck = writer.store.commit(&STAGE, zombie.clone()).await.unwrap_err();
    assert_eq!(stuck.kind, ErrorKind::Ambiguous, "{stuck:?}");
    let gap = writer.go_on(AFTER_FREEZE).await;
    println!("the master was frozen: the next commit was answered after {gap:?}");
    writer.calmly(20).await;

    redis.thaw(old).unwrap();
    let demoted = async || {
        let role = redis.ask::<String>(old, &["INFO", "replication"]).ok()?;
        assert_eq!(writer.store.commit(&STAGE, zombie.clone()).await.ok(), Some(Outcome::Fenced));
        role.contains("master_link_status:up").then_some(())
    };
    until("the old master follows the new one", Duration::from_secs(20), demoted).await;
    writer.calmly(20).await;
    writer.claim().await.unwrap();
    assert_ne!(redis.master().unwrap(), old);
}
