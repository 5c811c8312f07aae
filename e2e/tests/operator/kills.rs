//! SIGKILL at a write, before it is sent or after the API server applied it: the next operator comes to the same end.
//!
//! A city lives through cycles of creation, edit and deletion. In each of the three the operator is killed at the
//! n-th write, counted from the moment at which the user acted; no later write passes before it is dead.

use std::{cell::RefCell, collections::VecDeque, env, time::Duration};

use futures::future::join_all;
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use parking_crds::{
    alert_rule::AlertRule,
    condition::{ConditionType, holds},
    stats_job::StatsJob,
};
use parking_e2e::kubernetes::{
    interceptor::{Fault, Interceptor},
    wait::{always, eventually},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    city::{City, PIPELINE},
    example,
    holdings::{Holdings, difference, holdings},
};

/// How long anything may take while several cities are busy.
const LIMIT: Duration = Duration::from_mins(2);
/// Cities that one test keeps at the same time.
const CITIES: usize = 2;
/// Names the seed of a sample that shall be taken again.
const SEED: &str = "PARKING_KILLS_SEED";

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Update,
    Delete,
}

const ACTS: [Act; 3] = [Act::Create, Act::Update, Act::Delete];

/// What an act comes to when nobody disturbs it.
struct Undisturbed {
    holdings: Holdings,
    writes: u64,
}

/// A city whose operator can be killed at a write.
struct Mortal {
    city: City,
    interceptor: Interceptor,
}

impl Mortal {
    async fn start() -> Self {
        let mut city = City::without_operator().await;
        let interceptor = Interceptor::start(city.namespace.cluster()).unwrap();
        city.start_operator_through(&interceptor).await;
        Self { city, interceptor }
    }

    async fn act(&self, act: Act) {
        let city = &self.city;
        let rules: Api<AlertRule> = city.namespace.api();
        let jobs: Api<StatsJob> = city.namespace.api();
        match act {
            Act::Create => example::apply(city).await,
            Act::Update => {
                let stricter = json!({"spec": {"condition": {"threshold": {"value": "0.8"}}}});
                rules.patch("full", &PatchParams::default(), &Patch::Merge(&stricter)).await.unwrap();
                city.patch(json!({"spec": {
                    "image": "workers:next",
                    "monitoring": null,
                    "events": {"retention": "3d"},
                    "workers": {"archive": {"autoscaling": null, "replicas": 2}, "occupancy": {"replicas": 2}},
                }}))
                .await;
            }
            Act::Delete => {
                let how = DeleteParams::background();
                city.pipelines().delete(PIPELINE, &how).await.unwrap();
                jobs.delete("hourly", &how).await.unwrap();
                for rule in ["full", "nearly-full"] {
                    rules.delete(rule, &how).await.unwrap();
                }
            }
        }
    }

    /// Waits until the status says that all is done.
    async fn until_done(&self, act: Act) {
        let city = &self.city;
        if act != Act::Delete {
            let done = async {
                city.until("Ready", "True").await;
                city.until("Progressing", "False").await;
                self.until_rules_are_active().await;
            };
            tokio::select! {
                () = keep_loaded(city) => {}
                () = done => {}
            }
            return;
        }
        let pipelines = city.pipelines();
        eventually("the pipeline is gone", LIMIT, async || {
            match pipelines.get_opt(PIPELINE).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(pipeline) => Err(format!("{:?}", pipeline.status.map(|status| status.conditions))),
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
    }

    /// Workers are asked for what they have loaded now and then only.
    async fn until_rules_are_active(&self) {
        let rules: Api<AlertRule> = self.city.namespace.api();
        eventually("active rules", LIMIT, async || {
            let list = rules.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let active = list.items.iter().all(|rule| {
                let status = rule.status.clone().unwrap_or_default();
                holds(&status.conditions, ConditionType::Active, rule.metadata.generation.unwrap_or_default())
            });
            if active { Ok(()) } else { Err(format!("{:?}", list.items)) }
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.city.log()));
    }

    async fn until_as(&self, act: Act, expected: &Holdings) {
        self.until_done(act).await;
        let (mut turn, mut last) = (0, String::new());
        eventually(&format!("the same objects after {act:?}"), LIMIT, async || {
            turn += 1;
            // To read everything is much work for the API server, too much for every turn.
            if turn % 20 == 1 {
                last = difference(&holdings(&self.city).await, expected).join("\n");
                if last.is_empty() {
                    return Ok(());
                }
            }
            Err(last.clone())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", self.city.log()));
    }

    /// One cycle without a kill; each act is over when nothing was written for a while.
    async fn undisturbed(&self) -> [Undisturbed; 3] {
        let mut made = Vec::new();
        for act in ACTS {
            let before = self.interceptor.writes();
            self.act(act).await;
            self.until_done(act).await;
            eventually("quiet", LIMIT, async || {
                let writes = self.interceptor.writes();
                let same =
                    async || if self.interceptor.writes() == writes { Ok(()) } else { Err(String::new()) };
                always("no write", Duration::from_secs(3), same).await.map_err(|error| error.to_string())
            })
            .await
            .unwrap();
            let writes = self.interceptor.writes() - before;
            made.push(Undisturbed { holdings: holdings(&self.city).await, writes });
        }
        made.try_into().unwrap_or_else(|_| panic!("three acts"))
    }

    /// Whether the act had so many writes that the operator died at this one; the end is the same.
    async fn survives(&mut self, act: Act, write: u64, fault: Fault, expected: &Holdings) -> bool {
        let (deadly, held) = (self.interceptor.writes() + write, self.interceptor.held());
        self.interceptor.set(move |call| match call.write {
            Some(write) if write == deadly => fault,
            Some(write) if write > deadly => Fault::Hold,
            _ => Fault::Pass,
        });
        self.act(act).await;
        let reached = tokio::select! {
            biased;
            reached = self.interceptor.until_held(held, LIMIT) => { reached.unwrap(); true }
            () = self.until_as(act, expected) => false,
        };
        if reached {
            self.city.kill_operator().await;
        }
        self.interceptor.pass();
        if reached {
            self.city.start_operator_through(&self.interceptor).await;
            self.until_as(act, expected).await;
        }
        reached
    }
}

/// The alert workers load every new bundle, as real ones do.
async fn keep_loaded(city: &City) {
    let mut turn = 0;
    let load = async || {
        if turn % 10 == 0 {
            city.load_rules(example::RULES).await;
        }
        turn += 1;
        Ok(())
    };
    always("workers load rules", Duration::from_hours(1), load).await.unwrap();
}

/// Kills at the chosen writes of each act, and counts the kills.
async fn kill_at(fault: Fault, choose: impl FnMut(u64) -> Vec<u64>) {
    let mut cities = vec![Mortal::start().await];
    let undisturbed = cities[0].undisturbed().await;
    assert!(undisturbed[2].holdings.is_empty(), "{:?}", undisturbed[2].holdings.keys());
    let writes: Vec<u64> = undisturbed.iter().map(|undisturbed| undisturbed.writes).collect();
    let chosen: Vec<Vec<u64>> = writes.iter().copied().map(choose).collect();
    println!("{fault:?}: writes of each act {writes:?}, kills at {chosen:?}");
    let planned: usize = chosen.iter().map(Vec::len).sum();
    let cycles = chosen.iter().map(Vec::len).max().unwrap_or_default();
    let cycles = (0..cycles).map(|cycle| [0, 1, 2].map(|act: usize| chosen[act].get(cycle).copied()));
    let cycles: RefCell<VecDeque<[Option<u64>; 3]>> = RefCell::new(cycles.collect());
    while cities.len() < CITIES {
        cities.push(Mortal::start().await);
    }
    let lives = cities.iter_mut().map(async |city| {
        let mut kills = 0;
        loop {
            let Some(cycle) = cycles.borrow_mut().pop_front() else { return kills };
            for ((act, write), undisturbed) in ACTS.into_iter().zip(cycle).zip(&undisturbed) {
                let beyond = undisturbed.writes + 1_000;
                let write = write.unwrap_or(beyond);
                kills += usize::from(city.survives(act, write, fault, &undisturbed.holdings).await);
            }
        }
    });
    let kills: usize = join_all(lives).await.into_iter().sum();
    println!("{fault:?}: {kills} kills of {planned} planned");
    // The number of Events and of status writes depends on what was seen together: the last ones may not come.
    assert!(kills * 10 >= planned * 8, "only {kills} of {planned} writes were reached");
}

/// So many of the writes, one from each part of equal length.
fn spread(seed: u64, count: u64) -> impl FnMut(u64) -> Vec<u64> {
    let mut chance = StdRng::seed_from_u64(seed);
    move |writes| {
        let parts = count.min(writes);
        (0..parts)
            .map(|part| chance.random_range(part * writes / parts..(part + 1) * writes / parts) + 1)
            .collect()
    }
}

/// How many kills a sample makes in each act.
const SAMPLE: u64 = 5;

fn seed() -> u64 {
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("{SEED}={seed}");
    seed
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn an_operator_killed_before_a_write_is_sent_is_followed_by_one_that_ends_in_the_same() {
    kill_at(Fault::Hold, spread(seed(), SAMPLE)).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn an_operator_killed_after_a_write_was_applied_is_followed_by_one_that_ends_in_the_same() {
    kill_at(Fault::HoldAnswer, spread(seed(), SAMPLE)).await;
}

#[tokio::test]
#[ignore = "takes many minutes: make soak"]
async fn an_operator_killed_at_every_write_is_followed_by_one_that_ends_in_the_same() {
    for fault in [Fault::Hold, Fault::HoldAnswer] {
        kill_at(fault, |writes| (1..=writes).collect()).await;
    }
}
