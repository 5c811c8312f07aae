//! Faults of processes, servers and networks while a city runs, numbered as in the table of faults: what it leaves is
//! what nothing disturbed.
//!
//! Each row prints its line of the table of faults; how its recoveries are measured stands in `recovery`. Elsewhere
//! stand what needs no servers: every step of row 2, and the clock of row 18, which `simulation` has in its hand; rows
//! 14 to 16, which are of the embedded log (`embedded_durability`). How much row 20 takes is measured by `parking bench`.

mod bucket;
mod events;
mod network;
mod servers;
mod workers;

use std::{env, time::Duration};

use parking_crds::{duration::Duration as Length, role::Role};
use parking_e2e::fault_table;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    city::City,
    lake::{self, Offsets},
    process::Process,
    recovery::Recoveries,
    reference::{Reference, each_once, without_origin},
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

/// A city's input lasts for so many: how many faults each city bears of all that are asked for.
fn by_cities(all: u64, of_a_city: u64) -> impl Iterator<Item = usize> {
    let first = (0..all).step_by(usize::try_from(of_a_city).unwrap());
    first.map(move |done| usize::try_from((all - done).min(of_a_city)).unwrap())
}

fn chance() -> ChaCha8Rng {
    let seed = number("PARKING_SEED", Uuid::new_v4().as_u64_pair().0);
    println!("PARKING_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

/// A city whose workers are processes.
struct Run {
    /// Dropped before the city: their last words stand in its folder.
    workers: Vec<Process>,
    city: City,
    times: Vec<Duration>,
}

impl Run {
    async fn start(mut city: City) -> Self {
        city.roll_after = Length::from_secs(1);
        let workers: Vec<_> = ROLES.iter().map(|(role, name)| city.spawn(*role, name)).collect();
        for worker in &workers {
            worker.until_ready().await;
        }
        Self { workers, city, times: Vec::new() }
    }

    /// Lets readings come while `disturb` does what it does, and the rest of them when it has done it.
    async fn replay(&mut self, disturb: impl AsyncFnOnce(&City, &mut [Process], &mut Recoveries)) {
        let ingest = self.workers[0].address.clone();
        let ((calm, is_calm), (over, is_over)) = (watch::channel(false), watch::channel(false));
        let (log, partitions) = (self.city.log().await, self.city.deployment.partitions());
        let mut recoveries = Recoveries::new(Box::new(log), partitions, &self.workers, is_over);
        let disturbed = async {
            disturb(&self.city, &mut self.workers, &mut recoveries).await;
            recoveries.settle().await;
            calm.send_replace(true);
        };
        tokio::join!(self.city.flow_to(&ingest, is_calm, over), disturbed);
        self.times.extend(recoveries.times().await);
    }

    /// Nothing is lost, doubled or wrong. Where ingest or the log were disturbed, a sender's second try may stand
    /// in the log: offsets are then other ones.
    async fn check(self, reference: &Reference, offsets: Offsets) -> Vec<Duration> {
        self.city.until_told(reference).await;
        Box::pin(self.check_kept(reference, offsets)).await
    }

    /// The same of all that is kept: who lost what was told tells nothing that is over.
    async fn check_kept(self, reference: &Reference, offsets: Offsets) -> Vec<Duration> {
        let Self { workers, city, times } = self;
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
        city.until_shown(reference).await;
        drop(workers);
        times
    }
}

#[test]
#[ignore = "make soak prints what its rows left"]
fn the_table_of_faults() {
    let lines = fault_table::lines().unwrap();
    print!("\n{}", fault_table::table(&lines));
    assert!(lines.iter().all(|line| line.is_whole), "a row failed");
}
