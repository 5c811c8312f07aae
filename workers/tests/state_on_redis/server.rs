//! One server that is full, flushed, harassed by its administrator, or asked for much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_e2e::{
    redis::{Options, Redis},
    wait::eventually,
};
use parking_workers::{
    adapters::redis::RedisStateStore,
    ports::{
        ErrorKind,
        event_log::Stream,
        state_store::{Commit, OutboxEntry, Outcome, StateStore},
    },
};
use tokio::task::JoinSet;

use crate::{
    CALM,
    stage::{STAGE, Writer, empty, key, open, owner, ready, settings},
};

const AGAIN: Duration = Duration::from_secs(5);

fn alone() -> Redis {
    Redis::start(&Options::default()).unwrap()
}

#[tokio::test]
async fn a_full_server_says_so_changes_nothing_and_goes_on_when_there_is_room() {
    let redis = alone();
    let master = redis.master().unwrap();
    let limit = |bytes: &str| redis.ask::<String>(master, &["CONFIG", "SET", "maxmemory", bytes]).unwrap();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    writer.calmly(5).await;
    limit("1mb");
    for _ in 0..3 {
        let full = writer.commit().await.unwrap_err();
        assert_eq!(full.kind, ErrorKind::Full, "{full:?}");
    }
    assert_eq!(writer.check(&writer.store.peek(&STAGE).await.unwrap().unwrap()), 5);
    // What frees memory is still done.
    assert_eq!(writer.store.trim(&STAGE, writer.token, 3).await.unwrap(), Outcome::Stored);
    limit("0");
    writer.calmly(5).await;
    writer.claim().await.unwrap();
    assert_eq!(writer.base, 10);
}

/// Does something to a server again and again while a stage writes; how many commits were answered. Each time it
/// waits for a commit: a stage that is harassed quicker than it can connect gets nowhere, and rightly so.
async fn harassed(words: &'static [&'static str], commits: u64) -> u64 {
    let redis = Arc::new(alone());
    let mut writer = Writer::start(open(&settings(&redis))).await;
    let answered = Arc::new(AtomicU64::new(0));
    let harass = std::thread::spawn({
        let (redis, answered) = (Arc::clone(&redis), Arc::clone(&answered));
        move || {
            let (master, mut seen) = (redis.master().unwrap(), 0);
            while seen < commits {
                redis.ask::<redis::Value>(master, words).unwrap();
                let more = || Some(answered.load(Ordering::SeqCst)).filter(|answered| *answered > seen);
                seen = eventually("one more commit", AGAIN, more).unwrap();
            }
        }
    });
    for _ in 0..commits {
        writer.go_on(AGAIN).await;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    harass.join().unwrap();
    writer.go_on(AGAIN).await;
    writer.claim().await.unwrap();
    writer.base
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_flushed_under_load_are_loaded_again_without_an_error() {
    let redis = alone();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    let master = redis.master().unwrap();
    for _ in 0..20 {
        redis.ask::<String>(master, &["SCRIPT", "FLUSH"]).unwrap();
        writer.calmly(2).await;
    }
    assert!(harassed(&["SCRIPT", "FLUSH"], 100).await >= 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_under_load_cost_no_answered_commit() {
    assert!(harassed(&["CLIENT", "KILL", "TYPE", "normal"], 100).await >= 101);
}

#[tokio::test]
async fn a_flushed_server_fences_the_next_commit_and_the_next_claim_finds_nothing() {
    let redis = alone();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    writer.calmly(12).await;
    redis.flush_all().unwrap();
    assert_eq!(writer.commit().await.unwrap(), Outcome::Fenced);
    assert_eq!(writer.store.trim(&STAGE, writer.token, 0).await.unwrap(), Outcome::Fenced);
    assert_eq!(redis.ask::<u64>(redis.master().unwrap(), &["DBSIZE"]).unwrap(), 0);
    let (token, found) = writer.store.claim(&STAGE, owner()).await.unwrap();
    assert_eq!(found, None);
    assert_eq!(writer.store.commit(&STAGE, empty(writer.token, 0, 1)).await.unwrap(), Outcome::Fenced);
    assert_eq!(writer.store.commit(&STAGE, empty(token, 12, 13)).await.unwrap(), Outcome::Fenced);
    (writer.token, writer.base) = (token, 0);
    writer.calmly(12).await;
}

#[tokio::test]
async fn a_stage_that_lost_one_of_its_keys_is_damaged_and_never_believed() {
    let settings = settings(&CALM);
    let master = CALM.master().unwrap();
    for lost in ["blocks", "outbox"] {
        let mut writer = Writer::start(open(&settings)).await;
        writer.calmly(3).await;
        let stage = format!("{}stage:occupancy:7", settings.prefix.as_str());
        assert_eq!(CALM.ask::<u64>(master, &["DEL", &format!("{stage}:{lost}")]).unwrap(), 1);
        let kind = |error: parking_workers::ports::PortError| error.kind;
        assert_eq!(writer.commit().await.map_err(kind), Err(ErrorKind::Corrupt));
        assert_eq!(writer.store.peek(&STAGE).await.map_err(kind), Err(ErrorKind::Corrupt));
        assert_eq!(
            writer.store.claim(&STAGE, owner()).await.map(|_| ()).map_err(kind),
            Err(ErrorKind::Corrupt)
        );
        for key in ["", ":blocks", ":outbox"] {
            let _ = CALM.ask::<u64>(master, &["DEL", &format!("{stage}{key}")]).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_racing_owners_commits_make_one_chain() {
    let settings = settings(&CALM);
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let store = open(&settings);
        racers.spawn(async move {
            let mut writer = Writer::start(store).await;
            let mut stored = Vec::new();
            while stored.len() < 5 {
                let base = writer.base;
                match writer.commit().await.unwrap() {
                    Outcome::Stored => stored.push(base),
                    Outcome::Fenced => {
                        // Were all to claim at once, nobody would come to commit.
                        let pause = u64::try_from(owner().as_u128() % 100).unwrap();
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                        writer.claim().await.unwrap();
                    }
                }
            }
            stored
        });
    }
    let mut bases = racers.join_all().await.concat();
    bases.sort_unstable();
    // Each state was left exactly once.
    assert_eq!(bases, (0..80).collect::<Vec<_>>());
}

/// Looks at huge states; each is of one commit. How many were seen.
async fn look_until_the_ninth(reader: Arc<RedisStateStore>) -> usize {
    ready(&reader).await;
    for looks in 1.. {
        let found = reader.peek(&STAGE).await.unwrap().unwrap();
        let first = found.blocks[0].1.clone();
        assert!(found.blocks.iter().all(|(_, block)| *block == first), "a mixed state");
        assert_eq!((found.blocks.len(), found.next_seq), (50_000, 10_000));
        assert!(found.outbox.len() == 5_000 || found.next_offset == 1);
        if found.next_offset == 9 {
            return looks;
        }
    }
    0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_commit_is_one_commit_and_is_loaded_whole_while_it_changes() {
    let settings = settings(&CALM);
    let mut writer = Writer::start(open(&settings)).await;
    writer.blocks = 0;
    let block = |text: &str| Bytes::from(text.repeat(400));
    let entry = |seq| OutboxEntry { seq, stream: Stream::Sessions, record: block("s") };
    let huge = Commit {
        blocks: (0..50_000).map(|id| (key(id), Some(block("a")))).collect(),
        outbox: (0..10_000).map(entry).collect(),
        ..empty(writer.token, 0, 1)
    };
    assert_eq!(writer.store.commit(&STAGE, huge).await.unwrap(), Outcome::Stored);
    let looks = tokio::spawn(look_until_the_ninth(open(&settings)));
    assert_eq!(writer.store.trim(&STAGE, writer.token, 4_999).await.unwrap(), Outcome::Stored);
    for base in 1..9 {
        let text = if base % 2 == 0 { "a" } else { "b" };
        let all = (0..50_000).map(|id| (key(id), Some(block(text)))).collect();
        let huge = Commit { blocks: all, ..empty(writer.token, base, base + 1) };
        assert_eq!(writer.store.commit(&STAGE, huge).await.unwrap(), Outcome::Stored);
    }
    println!("{} whole looks while eight commits of 20 MB were made", looks.await.unwrap());
    let none = (0..50_000).map(|id| (key(id), None)).collect();
    let gone = Commit { blocks: none, ..empty(writer.token, 9, 10) };
    assert_eq!(writer.store.commit(&STAGE, gone).await.unwrap(), Outcome::Stored);
    let (_, left) = writer.store.claim(&STAGE, owner()).await.unwrap();
    let left = left.unwrap();
    assert_eq!((left.blocks.len(), left.outbox.len(), left.outbox[0].seq), (0, 5_000, 5_000));
}
