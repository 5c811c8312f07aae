//! Workers are killed, held still, told to end, doubled, and fed with what nobody can use.

use std::time::{Duration, Instant};

use parking_crds::role::Role;
use parking_e2e::fault_table::Row;
use parking_workers::ports::event_log::{EventLog, Records, Stream, StreamPartition};
use rand_chacha::{ChaCha8Rng, rand_core::RngCore as _};

use super::{Run, by_cities, chance, number};
use crate::{
    city::City,
    lake::Offsets,
    process::Process,
    reference::{Outputs, Reference},
};

async fn pause(chance: &mut ChaCha8Rng, most: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(chance.next_u32() % most))).await;
}

fn any<'a>(chance: &mut ChaCha8Rng, workers: &'a mut [Process]) -> &'a mut Process {
    let struck = usize::try_from(chance.next_u32()).unwrap() % workers.len();
    &mut workers[struck]
}

#[tokio::test(flavor = "multi_thread")]
async fn row_1_workers_killed_again_and_again_lose_double_and_spoil_nothing() {
    let (mut chance, reference) = (chance(), Reference::shared().await);
    let mut row = Row::new(1, "kill -9 of a worker", Some(Duration::from_secs(5)));
    for kills in by_cities(number("PARKING_KILLS", 50), 50) {
        let mut run = Run::start(City::new().await).await;
        run.replay(async |_, workers, recoveries| {
            for _ in 0..kills {
                let mut struck = any(&mut chance, workers);
                // Two deep is row 2: here a recovery is that of one fault of its role.
                while recoveries.is_away(struck.role) {
                    pause(&mut chance, 50).await;
                    struck = any(&mut chance, workers);
                }
                struck.kill();
                recoveries.begin(struck.role);
                struck.restart();
                pause(&mut chance, 300).await;
            }
        })
        .await;
        row.add(kills, &run.check(reference, Offsets::Shifted).await);
        println!("{kills} kills more, nothing lost, doubled or wrong");
    }
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_2_workers_killed_while_they_recover_and_again_while_they_recover_from_that_lose_nothing() {
    let (mut chance, reference) = (chance(), Reference::shared().await);
    let mut row = Row::new(2, "kill -9 within a recovery, two deep", Some(Duration::from_secs(5)));
    for rounds in by_cities(number("PARKING_RECOVERY_KILLS", 10), 20) {
        let mut run = Run::start(City::new().await).await;
        run.replay(async |_, workers, recoveries| {
            for _ in 0..rounds {
                let worker = any(&mut chance, workers);
                for _ in 0..2 {
                    worker.kill();
                    worker.restart();
                    // Anywhere between its first instruction and its first commit.
                    pause(&mut chance, 1_500).await;
                }
                worker.kill();
                recoveries.begin(worker.role);
                worker.restart();
                recoveries.settle().await;
            }
        })
        .await;
        row.add(3 * rounds, &run.check(reference, Offsets::Shifted).await);
    }
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_3_workers_that_wake_up_after_others_took_over_write_nothing() {
    let reference = Reference::shared().await;
    let mut row = Row::new(
        3,
        "SIGSTOP of a worker until another took over, then SIGCONT",
        Some(Duration::from_secs(18)),
    );
    let zombies = [1, 3, 5, 7];
    for rounds in by_cities(number("PARKING_ZOMBIES", 4).div_ceil(4), 3) {
        let mut run = Run::start(City::new().await).await;
        run.replay(async |_, workers, recoveries| {
            for _ in 0..rounds {
                for zombie in zombies {
                    workers[zombie].signal("STOP");
                    recoveries.begin(workers[zombie].role);
                }
                recoveries.settle().await;
                for zombie in zombies {
                    workers[zombie].signal("CONT");
                }
                for worker in &*workers {
                    worker.until_ready().await;
                }
            }
        })
        .await;
        row.add(rounds * zombies.len(), &run.check(reference, Offsets::Same).await);
    }
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_4_workers_restarted_one_after_the_other_end_in_order() {
    let reference = Reference::shared().await;
    let mut row =
        Row::new(4, "SIGTERM and restart, one worker after the other", Some(Duration::from_secs(3)));
    let mut run = Run::start(City::new().await).await;
    run.replay(async |_, workers, recoveries| {
        for worker in workers {
            let told = Instant::now();
            worker.signal("TERM");
            assert!(worker.ended().await.success());
            recoveries.begin_at(worker.role, told);
            worker.restart();
            recoveries.settle().await;
        }
    })
    .await;
    let faults = run.workers.len();
    row.add(faults, &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_5_members_that_come_and_go_disturb_no_result() {
    let reference = Reference::shared().await;
    let mut row = Row::new(5, "a member joins, and another time leaves", None);
    let mut run = Run::start(City::new().await).await;
    run.replay(async |city, _, recoveries| {
        for round in 0..6 {
            for role in [Role::Occupancy, Role::Alert, Role::Archive, Role::Notify] {
                let mut passing = city.spawn(role, &format!("passing-{role}-{round}"));
                passing.until_ready().await;
                passing.signal("TERM");
                assert!(passing.ended().await.success());
                recoveries.measure(role).await;
            }
        }
    })
    .await;
    row.add(48, &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make soak runs it"]
async fn row_8_a_member_whose_name_another_process_takes_loses_its_place_and_no_record() {
    let reference = Reference::shared().await;
    let mut row = Row::new(
        8,
        "a second process takes a member's name (FENCED_INSTANCE_ID)",
        Some(Duration::from_secs(3)),
    );
    let mut run = Run::start(City::new().await).await;
    run.replay(async |city, workers, recoveries| {
        for (number, worker) in workers.iter_mut().enumerate().skip(1) {
            let name = super::ROLES[number].1;
            let mut twin = city.spawn_beside(worker.role, name, &format!("{name}-twin"), |_| ());
            // Both believe in their name; the group believes the younger.
            twin.until_ready().await;
            recoveries.settle().await;
            twin.kill();
            // As its surroundings would, if it ended.
            if !worker.is_running() {
                worker.restart();
            }
            recoveries.measure(worker.role).await;
            worker.until_ready().await;
        }
    })
    .await;
    row.add(8, &run.check(reference, Offsets::Same).await);
    row.is_whole().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_19_poison_becomes_dead_letters_and_stops_nobody() {
    let reference = Reference::shared().await;
    let mut row = Row::new(19, "records that nobody can read", None);
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
    row.add(poison.len(), &[]);
    row.is_whole().unwrap();
}
