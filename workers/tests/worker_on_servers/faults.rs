//! Faults of processes and servers while a city runs, numbered as in the table of faults: what it leaves is what
//! nothing disturbed.

use std::{env, time::Duration};

use parking_crds::role::Role;
use parking_e2e::redis::{Options, Redis};
use parking_workers::ports::event_log::{EventLog, Records, Stream, StreamPartition};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use uuid::Uuid;

use crate::{
    broker::Broker,
    city::City,
    lake::{self, Offsets},
    process::Process,
    reference::{Outputs, Reference, each_once, without_origin},
};

/// Two of each role that shares work.
const ROLES: [(Role, &str); 9] = [
    (Role::Ingest, "ingest-0"),
    (Role::Occupancy, "occupancy-0"),
    (Role::Occupancy, "occupancy-1"),
    (Role::Alert, "alert-0"),
    (Role::Alert, "alert-1"),
    (Role::Archive, "archive-0"),
    (Role::Archive, "archive-1"),
    (Role::Notify, "notify-0"),
    (Role::Notify, "notify-1"),
];

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A city whose workers are processes.
struct Run {
    /// Dropped before the city: their last words stand in its folder.
    workers: Vec<Process>,
    city: City,
    /// From each fault to the readiness of what it struck.
    gaps: Vec<Duration>,
}

impl Run {
    async fn start(city: City) -> Self {
        let workers: Vec<_> = ROLES.iter().map(|(role, name)| city.spawn(*role, name)).collect();
        for worker in &workers {
            worker.until_ready().await;
        }
        Self { workers, city, gaps: Vec::new() }
    }

    /// Replays the city while `disturb` does what it does.
    async fn replay(&mut self, disturb: impl AsyncFnOnce(&City, &mut [Process], &mut Vec<Duration>)) {
        let ingest = self.workers[0].address.clone();
        tokio::join!(
            self.city.replay_to(&ingest, 100),
            disturb(&self.city, &mut self.workers, &mut self.gaps)
        );
    }

    /// Nothing is lost, doubled or wrong. Where ingest or the log were disturbed, a sender's second try may stand
    /// in the log: offsets are then other ones.
    async fn check(self, row: &str, reference: &Reference, offsets: Offsets) {
        self.city.until_told(reference).await;
        Box::pin(self.check_kept(row, reference, offsets)).await;
    }

    /// The same of all that is kept: who lost what was told tells nothing that is over.
    async fn check_kept(self, row: &str, reference: &Reference, offsets: Offsets) {
        let Self { workers, city, mut gaps } = self;
        let lake = city.until_archived(reference).await;
        lake::assert_same(&lake, &reference.lake, offsets).await;
        for (stream, expected) in &reference.outputs {
            let kept = |records: &Vec<String>| match offsets {
                Offsets::Same => each_once(records.clone()),
                Offsets::Shifted => each_once(records.iter().map(|record| without_origin(record)).collect()),
            };
            let found: Vec<_> = city.records(*stream).await.iter().map(kept).collect();
            assert_eq!(found, expected.iter().map(kept).collect::<Vec<_>>(), "{stream}");
        }
        assert!(
            city.receiver.keys().iter().all(|key| reference.notified.contains(key)),
            "told what never was"
        );
        drop(workers);
        gaps.sort();
        let (median, longest) = (gaps.get(gaps.len() / 2), gaps.last());
        let faults = gaps.len();
        println!(
            "{row}: {faults} times ready again after {median:?} (median), {longest:?} (most); 0 lost, doubled, wrong"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_1_workers_killed_again_and_again_lose_double_and_spoil_nothing() {
    let (kills, seed) = (number("PARKING_KILLS", 50), number("PARKING_SEED", Uuid::new_v4().as_u64_pair().0));
    println!("PARKING_SEED={seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let reference = Reference::shared().await;
    // The input of one city lasts for some fifty.
    for of_this_city in (0..kills).step_by(50).map(|done| (kills - done).min(50)) {
        let mut run = Run::start(City::new().await).await;
        run.replay(async |_, workers, gaps| {
            for _ in 0..of_this_city {
                let struck = usize::try_from(chance.next_u32()).unwrap() % workers.len();
                let worker = &mut workers[struck];
                worker.kill();
                worker.restart();
                gaps.push(worker.until_ready().await);
                tokio::time::sleep(Duration::from_millis(u64::from(chance.next_u32() % 300))).await;
            }
        })
        .await;
        run.check("row 1, kill -9", reference, Offsets::Shifted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_3_workers_that_wake_up_after_others_took_over_write_nothing() {
    let reference = Reference::shared().await;
    let mut run = Run::start(City::new().await).await;
    run.replay(async |_, workers, gaps| {
        let zombies = |workers: &[Process], signal: &str| {
            workers.iter().skip(1).step_by(2).for_each(|worker| worker.signal(signal));
        };
        zombies(workers, "STOP");
        // Longer than the group waits for a member that is silent.
        tokio::time::sleep(Duration::from_secs(18)).await;
        zombies(workers, "CONT");
        for worker in workers {
            gaps.push(worker.until_ready().await);
        }
    })
    .await;
    run.check("row 3, SIGSTOP", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_workers_restarted_one_after_the_other_end_in_order() {
    let reference = Reference::shared().await;
    let mut run = Run::start(City::new().await).await;
    run.replay(async |_, workers, gaps| {
        for worker in workers {
            worker.signal("TERM");
            assert!(worker.ended().await.success());
            worker.restart();
            gaps.push(worker.until_ready().await);
        }
    })
    .await;
    run.check("row 4, SIGTERM", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_5_members_that_come_and_go_disturb_no_result() {
    let reference = Reference::shared().await;
    let mut run = Run::start(City::new().await).await;
    run.replay(async |city, _, gaps| {
        for round in 0..6 {
            for role in [Role::Occupancy, Role::Alert, Role::Archive, Role::Notify] {
                let mut passing = city.spawn(role, &format!("passing-{role}-{round}"));
                gaps.push(passing.until_ready().await);
                passing.signal("TERM");
                assert!(passing.ended().await.success());
            }
        }
    })
    .await;
    run.check("row 5, joining and leaving", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_broker_that_dies_and_comes_back_costs_no_record() {
    let (reference, mut broker) = (Reference::shared().await, Broker::own());
    let redis = Redis::start(&Options::default()).unwrap();
    let mut run = Run::start(City::on(&broker, &redis).await).await;
    run.replay(async |_, workers, gaps| {
        for _ in 0..number("PARKING_BROKER_RESTARTS", 2) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            broker.server().kill().unwrap();
            broker.server().restart().unwrap();
            for worker in &*workers {
                gaps.push(worker.until_ready().await);
            }
        }
    })
    .await;
    run.check("row 6, broker restarted", reference, Offsets::Shifted).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_9_masters_of_redis_that_die_or_freeze_cost_no_state() {
    let reference = Reference::shared().await;
    let options = Options { servers: 3, sentinels: 3, min_replicas: 1, ..Options::default() };
    let mut redis = Redis::start(&options).unwrap();
    let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
    run.replay(async |_, workers, gaps| {
        for _ in 0..number("PARKING_MASTERS", 1) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let killed = redis.master().unwrap();
            redis.kill(killed).unwrap();
            for worker in &*workers {
                gaps.push(worker.until_ready().await);
            }
            redis.restart(killed).unwrap();
            redis.settled().unwrap();
            let frozen = redis.master().unwrap();
            redis.freeze(frozen).unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            redis.thaw(frozen).unwrap();
            redis.settled().unwrap();
            for worker in &*workers {
                gaps.push(worker.until_ready().await);
            }
        }
    })
    .await;
    run.check("row 9, master of Redis killed, then another frozen", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_a_redis_that_forgets_everything_is_filled_again() {
    let reference = Reference::shared().await;
    let redis = Redis::start(&Options::default()).unwrap();
    let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
    run.replay(async |_, workers, gaps| {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            redis.flush_all().unwrap();
            for worker in &*workers {
                gaps.push(worker.until_ready().await);
            }
        }
    })
    .await;
    run.check_kept("row 10, FLUSHALL", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_11_a_full_redis_holds_everything_back_and_loses_nothing() {
    let reference = Reference::shared().await;
    let redis = Redis::start(&Options::default()).unwrap();
    let mut run = Run::start(City::on(Broker::shared(), &redis).await).await;
    run.replay(async |_, workers, gaps| {
        let limit = |bytes: &str| {
            let master = redis.master().unwrap();
            redis.ask::<String>(master, &["CONFIG", "SET", "maxmemory", bytes]).unwrap();
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        limit("1");
        tokio::time::sleep(Duration::from_secs(4)).await;
        limit("0");
        for worker in workers {
            gaps.push(worker.until_ready().await);
        }
    })
    .await;
    run.check("row 11, Redis full", reference, Offsets::Same).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_19_poison_becomes_dead_letters_and_stops_nobody() {
    let reference = Reference::shared().await;
    let mut run = Run::start(City::new().await).await;
    run.replay(async |_, _, _| ()).await;
    run.city.until_written(reference).await;
    let large = format!(r#"{{"event_id":"{}""#, "x".repeat(900_000));
    let poison = ["{", "\u{0}", r#"{"record_type":"from.the.future","ext":{"schema_version":99}}"#, &large];
    let at = StreamPartition { stream: Stream::Events, partition: 0 };
    let parts = vec![(at, poison.iter().collect::<Records>())];
    run.city.log().await.append(parts).await.unwrap();
    let letters = |outputs: &Outputs| {
        outputs.iter().flatten().filter(|letter| !letter.contains(r#""record_type":"watermark""#)).count()
    };
    let expected = letters(&reference.outputs[&Stream::DeadLetters]) + poison.len();
    let buried = async || letters(&run.city.records(Stream::DeadLetters).await) == expected;
    let all_buried = async {
        while !buried().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_buried).await.unwrap();
    for worker in &run.workers {
        worker.until_ready().await;
    }
}
