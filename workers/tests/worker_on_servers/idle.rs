//! What a worker takes that has nothing to do, and how soon one that has takes its first record.

use std::{collections::BTreeMap, time::Duration};

use parking_crds::role::Role;
use parking_e2e::procfs;

use crate::{city::City, process::Process};

/// Roles that keep the state of partitions tell when they took their first record.
const STAGES: [Role; 2] = [Role::Occupancy, Role::Alert];
/// A worker that has nothing to do is still once its memory is the same for so many looks.
const LOOKS: usize = 10;

/// MB resident when that has stopped to change.
async fn when_still(worker: &Process) -> f64 {
    let (mut last, mut same) = (0.0, 0);
    while same < LOOKS {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = procfs::resident(worker.id()).unwrap();
        same = if now.total_cmp(&last).is_eq() { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// Seconds from the assignment of a partition to its first record, by partition.
async fn first_records(worker: &Process) -> BTreeMap<String, f64> {
    let text =
        reqwest::get(format!("http://{}/metrics", worker.address)).await.unwrap().text().await.unwrap();
    let told = text.lines().filter(|line| line.starts_with("parking_stage_first_record_seconds{"));
    told.map(|line| {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        let partition = labels.split("partition=\"").nth(1).unwrap().split('"').next().unwrap();
        (partition.to_owned(), value.parse().unwrap())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures: make bench runs it"]
async fn idle_workers_are_small_and_take_their_first_record_at_once() {
    let city = City::new().await;
    let roles = [Role::Ingest, Role::Occupancy, Role::Alert, Role::Archive, Role::Notify];
    let mut workers = BTreeMap::from(roles.map(|role| (role, city.spawn(role, role.as_str()))));
    for (role, worker) in &workers {
        worker.until_ready().await;
        let (all, of_files) = (when_still(worker).await, procfs::of_files(worker.id()).unwrap());
        println!("{role}, idle: {all:.1} MB resident, {of_files:.1} of them pages of its program");
    }
    for role in STAGES {
        workers.get_mut(&role).unwrap().kill();
    }
    city.replay_to(&workers[&Role::Ingest].address).await;
    for role in STAGES {
        let worker = workers.get_mut(&role).unwrap();
        worker.restart();
        worker.until_ready().await;
        let expected = usize::try_from(city.deployment.partitions()).unwrap();
        let told = async {
            loop {
                let told = first_records(worker).await;
                if told.len() == expected {
                    break told;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
        let longest = told.values().copied().fold(0.0, f64::max);
        println!(
            "{role}, first record {longest:.3} s after its assignment at the most, of {expected} partitions"
        );
    }
}
