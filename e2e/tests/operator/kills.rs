//! SIGKILL at a write, before it is sent or after the API server applied it: the next operator comes to the same end.
//!
//! A city lives through creation, edit and deletion, again and again. In each of the three the operator is killed at
//! the n-th write, counted from the moment at which the user acted; no later write passes before it is dead.

use std::{
    cell::RefCell,
    env,
    time::{Duration, Instant},
};

use futures::future::join_all;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use parking_crds::{alert_rule::AlertRule, stats_job::StatsJob};
use parking_e2e::kubernetes::{
    interceptor::{Fault, Interceptor},
    wait::{always, eventually},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    city::{City, LIMIT, PIPELINE},
    example,
    holdings::{Holdings, difference, holdings},
};

/// How long anything may take while several cities are busy.
const BUSY: Duration = LIMIT.saturating_mul(2);
/// For how long cities of a sample begin another life.
const SAMPLE: Duration = Duration::from_mins(1);
/// The same where every write has its kill.
const ALL: Duration = Duration::from_hours(12);
/// Lives of a sample at most.
const LIVES: usize = 8;
/// Names the seed of a sample that shall be taken again.
const SEED: &str = "PARKING_KILLS_SEED";
/// How many cities live at the same time where every write has its kill.
const CITIES: &str = "PARKING_KILLS_CITIES";
/// How many lives of a soak were lived before, when it goes on where another one ended.
const LIVED: &str = "PARKING_KILLS_LIVED";
/// What an operator says last that could not renew its lease in time, as on a machine with too much to do.
const LOST: &str = "the leadership was lost";

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Update,
    Delete,
}

const ACTS: [Act; 3] = [Act::Create, Act::Update, Act::Delete];
const FAULTS: [Fault; 2] = [Fault::Hold, Fault::HoldAnswer];

/// Where the operator dies: at which write of an act, and whether before or after it was applied.
#[derive(Clone, Copy, Debug)]
struct Kill {
    write: u64,
    fault: Fault,
}

/// The kill of each act, if there is one.
type Life = [Option<Kill>; 3];

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
                city.until_rules_are_active().await;
            };
            tokio::select! {
                () = keep_loaded(city) => {}
                () = done => {}
            }
            return;
        }
        city.until_gone(PIPELINE).await;
    }

    /// Waits until the city is as after an act that nobody disturbed.
    async fn until_as(&mut self, act: Act, expected: &Holdings) {
        loop {
            tokio::select! {
                () = self.comes_to(act, expected) => return,
                () = self.loses_leadership() => {}
            }
            self.start_again(|_| ()).await;
        }
    }

    /// Waits for an operator that ended by itself; a kubelet would start it again.
    async fn loses_leadership(&self) {
        let lost = async || if self.city.log().contains(LOST) { Ok(()) } else { Err(String::new()) };
        eventually("a lost leadership", ALL, lost).await.unwrap();
    }

    /// Another operator in place of this one, or of one that has ended. What is changed between the two lets no write
    /// of the dead one pass.
    async fn start_again(&mut self, change: impl FnOnce(&Interceptor)) {
        self.city.kill_operator().await;
        change(&self.interceptor);
        self.city.start_operator_through(&self.interceptor).await;
    }

    async fn comes_to(&self, act: Act, expected: &Holdings) {
        self.until_done(act).await;
        let (mut turn, mut last) = (0, String::new());
        eventually(&format!("the same objects after {act:?}"), BUSY, async || {
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
            eventually("quiet", BUSY, async || {
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

    /// Goes through a life, and counts the kills. An edit that nobody disturbs would show nothing: it is left out.
    async fn live(&mut self, life: Life, undisturbed: &[Undisturbed; 3]) -> usize {
        let mut kills = 0;
        for ((act, kill), undisturbed) in ACTS.into_iter().zip(life).zip(undisturbed) {
            match kill {
                Some(kill) => {
                    kills += usize::from(self.survives(act, kill, &undisturbed.holdings).await);
                }
                None if act == Act::Update => {}
                None => {
                    self.act(act).await;
                    self.until_as(act, &undisturbed.holdings).await;
                }
            }
        }
        kills
    }

    /// Whether the act had so many writes that the operator died at this one; the end is the same.
    async fn survives(&mut self, act: Act, kill: Kill, expected: &Holdings) -> bool {
        let Kill { write, fault } = kill;
        let (deadly, held) = (self.interceptor.writes() + write, self.interceptor.held());
        self.interceptor.set(move |call| match call.write {
            Some(write) if write == deadly => fault,
            Some(write) if write > deadly => Fault::Hold,
            _ => Fault::Pass,
        });
        self.act(act).await;
        let reached = loop {
            tokio::select! {
                biased;
                reached = self.interceptor.until_held(held, BUSY) => match reached {
                    Ok(()) => break true,
                    Err(error) => panic!("{act:?}, {kill:?}: {error}\noperator:\n{}", self.city.log()),
                },
                () = self.comes_to(act, expected) => break false,
                () = self.loses_leadership() => {}
            }
            self.start_again(|_| ()).await;
        };
        if reached {
            self.start_again(Interceptor::pass).await;
            self.until_as(act, expected).await;
        } else {
            self.interceptor.pass();
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

/// Several cities share the lives that are planned for so many writes of each act; none begins another one when the
/// time is over.
#[expect(clippy::disallowed_methods, reason = "outside the system under test the real clock is the only one")]
async fn share_lives<L: Iterator<Item = Life>>(
    cities: usize,
    time: Duration,
    plan: impl FnOnce([u64; 3]) -> L,
) {
    let first = Mortal::start().await;
    let undisturbed = first.undisturbed().await;
    assert!(undisturbed[2].holdings.is_empty(), "{:?}", undisturbed[2].holdings.keys());
    let writes = [0, 1, 2].map(|act: usize| undisturbed[act].writes);
    println!("{writes:?} writes to create, edit and delete");
    let mut cities: Vec<Mortal> =
        std::iter::once(first).chain(join_all((1..cities).map(|_| Mortal::start())).await).collect();
    let (lives, begun) = (RefCell::new(plan(writes)), Instant::now());
    let ends = cities.iter_mut().enumerate().map(async |(number, city)| {
        let (mut kills, mut planned) = (0, 0);
        loop {
            let life = lives.borrow_mut().next().filter(|_| planned == 0 || begun.elapsed() < time);
            let Some(life) = life else { return (kills, planned) };
            planned += life.iter().flatten().count();
            kills += city.live(life, &undisturbed).await;
            println!("{:.0?}: city {number} lived {life:?}", begun.elapsed());
        }
    });
    let ends: Vec<(usize, usize)> = join_all(ends).await;
    let kills: usize = ends.iter().map(|(kills, _)| kills).sum();
    let planned: usize = ends.iter().map(|(_, planned)| planned).sum();
    println!("{kills} kills of {planned} planned in {:.0?}", begun.elapsed());
    // The number of Events and of status writes depends on what was seen together: the last ones may not come.
    assert!(kills * 3 >= planned * 2, "only {kills} of {planned} writes were reached");
}

/// Lives by chance, with a kill in every act and each fault in turn.
fn sample(seed: u64, writes: [u64; 3]) -> impl Iterator<Item = Life> {
    let mut chance = StdRng::seed_from_u64(seed);
    (0..LIVES).map(move |life| {
        [0, 1, 2].map(|act: usize| {
            let write = chance.random_range(1..=writes[act].max(1));
            Some(Kill { write, fault: FAULTS[(life + act) % FAULTS.len()] })
        })
    })
}

/// Lives with a kill at every write and with each fault.
fn all(writes: [u64; 3]) -> impl Iterator<Item = Life> {
    let most = writes.into_iter().max().unwrap_or_default();
    FAULTS.into_iter().flat_map(move |fault| {
        (1..=most).map(move |write| writes.map(|writes| (write <= writes).then_some(Kill { write, fault })))
    })
}

fn number<T: std::str::FromStr + std::fmt::Display>(name: &str, otherwise: impl FnOnce() -> T) -> T {
    let number = env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or_else(otherwise);
    println!("{name}={number}");
    number
}

#[tokio::test]
async fn an_operator_killed_at_a_write_is_followed_by_one_that_ends_in_the_same() {
    let seed = number(SEED, || rand::rng().random());
    share_lives(2, SAMPLE, |writes| sample(seed, writes)).await;
}

#[tokio::test]
#[ignore = "takes many minutes: make soak"]
async fn an_operator_killed_at_every_write_is_followed_by_one_that_ends_in_the_same() {
    let lived = number(LIVED, || 0);
    share_lives(number(CITIES, || 4), ALL, |writes| all(writes).skip(lived)).await;
}
