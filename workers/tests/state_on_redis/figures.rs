//! Figures: ignored, as they say how fast a machine is and not whether the store is right.
//! `cargo test --release --test state_on_redis -- --ignored --nocapture`

use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_e2e::redis::{Options, Redis};
use parking_workers::ports::{
    live_view::{LiveKind, LiveRows, LiveView},
    state_store::{Commit, Outcome, StateStore},
};

use crate::{
    packed::{rows, zones},
    stage::{STAGE, Writer, empty, key, open, owner, ready, settings},
};

/// How long each line is measured.
const TIME: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn commits_and_blocks_a_second_beside_a_plain_pipeline_of_the_same_data() {
    let redis = Redis::start(&Options::default()).unwrap();
    let mut writer = Writer::start(open(&settings(&redis))).await;
    let master = redis.master().unwrap();
    let client = redis::Client::open(format!("redis://{master}/")).unwrap();
    let mut plain = client.get_multiplexed_async_connection().await.unwrap();
    println!("blocks/commit   commits/s    blocks/s   floor blocks/s   part of floor");
    for blocks in [1_u128, 100, 5_000] {
        let values: Vec<_> = (0..blocks).map(|id| (key(id), Some(Bytes::from(vec![b'x'; 300])))).collect();
        let (start, mut commits) = (Instant::now(), 0_u32);
        while start.elapsed() < TIME {
            let commit =
                Commit { blocks: values.clone(), ..empty(writer.token, writer.base, writer.base + 1) };
            assert_eq!(writer.store.commit(&STAGE, commit).await.unwrap(), Outcome::Stored);
            writer.base += 1;
            commits += 1;
        }
        let commits_a_second = f64::from(commits) / start.elapsed().as_secs_f64();
        let (start, mut rounds) = (Instant::now(), 0_u32);
        while start.elapsed() < TIME {
            let mut pipeline = redis::pipe();
            for (key, block) in &values {
                let field = [&[key.class], key.id.to_be_bytes().as_slice()].concat();
                pipeline.cmd("HSET").arg("plain").arg(field).arg(block.as_ref().unwrap().as_ref()).ignore();
            }
            pipeline.exec_async(&mut plain).await.unwrap();
            rounds += 1;
        }
        let size = f64::from(u32::try_from(blocks).unwrap());
        let floor = f64::from(rounds) * size / start.elapsed().as_secs_f64();
        let written = commits_a_second * size;
        println!(
            "{blocks:>13} {commits_a_second:>11.0} {written:>11.0} {floor:>16.0} {:>15.2}",
            written / floor
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
async fn memory_of_a_million_spaces_and_the_time_to_load_them() {
    let redis = Redis::start(&Options::default()).unwrap();
    let settings = settings(&redis);
    let mut writer = Writer::start(open(&settings)).await;
    let master = redis.master().unwrap();
    let used = || {
        let info = redis.ask::<String>(master, &["INFO", "memory"]).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = used();
    let all = zones(5_000, 200);
    let packed: usize = all.iter().filter_map(|(_, block)| block.as_ref()).map(Bytes::len).sum();
    for part in all.chunks(1_000) {
        let commit = Commit { blocks: part.to_vec(), ..empty(writer.token, writer.base, writer.base + 1) };
        assert_eq!(writer.store.commit(&STAGE, commit).await.unwrap(), Outcome::Stored);
        writer.base += 1;
    }
    let taken = used() - before;
    for rows in rows(5_000, 200).chunks(100) {
        let shown = LiveRows { kind: LiveKind::Zones, rows: rows.to_vec(), all: None };
        assert_eq!(writer.store.show(&STAGE, writer.token, shown).await.unwrap(), Outcome::Stored);
    }
    println!("their live rows: {} bytes of Redis memory", used() - before - taken);
    drop(writer);
    let store = open(&settings);
    ready(&store).await;
    let start = Instant::now();
    let (_, found) = store.claim(&STAGE, owner()).await.unwrap();
    println!(
        "5,000 zones of 200 spaces: {packed} bytes packed, {taken} bytes of Redis memory ({:.2} a byte); loaded in {:?}",
        taken as f64 / packed as f64,
        start.elapsed()
    );
    assert_eq!(found.unwrap().blocks.len(), 5_000);
}
