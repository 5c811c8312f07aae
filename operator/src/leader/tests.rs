//! A thousand losses of the leadership, on a paused clock, against a double of the API server.
//!
//! The double judges on its own terms: a write is right only if, at the instant it is sent, the stored Lease
//! names its sender, and the sender's newest applied renewal was sent less than a lease ago.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    num::NonZeroU32,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use axum::body::Body as AnswerBody;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tower::{BoxError, Service};

use super::*;
use crate::gate::{GateLayer, GateSettings};

const LEASE: Duration = Duration::from_secs(10);

/// How the network between one replica and the API server is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Milliseconds of delay.
    Calm,
    /// Delays, errors, lost requests and lost answers.
    Noisy,
    /// Nothing arrives.
    Cut,
    /// Requests arrive, answers take longer than anyone waits.
    Deaf,
}

struct World {
    chance: StdRng,
    lease: Option<Value>,
    version: u64,
    links: BTreeMap<String, Link>,
    /// When each replica sent its newest Lease that was applied.
    renewed: BTreeMap<String, Instant>,
    last_write: Option<(String, Instant)>,
    writes: u64,
    violations: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

impl World {
    fn holder(&self) -> Option<String> {
        self.lease.as_ref()?["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// A write leaves a replica.
    fn judge(&mut self, sender: &str) {
        let now = monotonic::now();
        let holder = self.holder();
        let renewed = self.renewed.get(sender).copied();
        if holder.as_deref() != Some(sender) || renewed.is_none_or(|sent| now >= sent + LEASE) {
            self.violations
                .push(format!("{sender} wrote; {holder:?} holds, renewed {renewed:?}, now {now:?}"));
        }
        self.last_write = Some((sender.to_owned(), now));
        self.writes += 1;
    }

    /// The API server handles a request about the Lease.
    fn apply(&mut self, method: &Method, body: &[u8], sender: &str, sent: Instant) -> (u16, Value) {
        let stored = self.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method, stored) {
            (&Method::GET, Some(_)) => return (200, self.lease.clone().unwrap()),
            (&Method::GET | &Method::PUT, None) => return failure(404),
            (&Method::POST, Some(_)) => return failure(409),
            _ => {}
        }
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        if *method == Method::PUT
            && self.lease.as_ref().unwrap()["metadata"]["resourceVersion"]
                != lease["metadata"]["resourceVersion"]
        {
            return failure(409);
        }
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if lease["spec"]["holderIdentity"].as_str() == Some(sender) {
            self.renewed.insert(sender.to_owned(), sent);
        }
        self.lease = Some(lease.clone());
        (200, lease)
    }
}

fn failure(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}))
}

/// One replica's way to the API server.
struct Wire {
    world: Shared,
    sender: String,
}

impl Service<Request<Body>> for Wire {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[expect(clippy::disallowed_methods, reason = "a request lives on when its sender gives up")]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (world, sender, sent) = (Arc::clone(&self.world), self.sender.clone(), monotonic::now());
        let election = request.uri().path().contains("/leases");
        if !election {
            world.lock().unwrap().judge(&sender);
        }
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(result) = carry(&world, &sender, sent, election, request).await {
                let _ = answer.send(result);
            } else {
                // The connection stays open and silent for longer than anyone waits.
                monotonic::sleep(Duration::from_mins(2)).await;
            }
        });
        Box::pin(async move {
            let (code, body) = answered.await.map_err(|_| BoxError::from("connection reset"))?;
            Ok(Response::builder().status(code).body(AnswerBody::from(body.to_string())).unwrap())
        })
    }
}

/// Carries a request there and its answer back, as far as the link lets it.
async fn carry(
    world: &Shared,
    sender: &str,
    sent: Instant,
    election: bool,
    request: Request<Body>,
) -> Option<(u16, Value)> {
    let (method, body) = (request.method().clone(), request.into_body().collect_bytes().await.unwrap());
    let (there, back, fate) = {
        let mut world = world.lock().unwrap();
        let link = world.links.get(sender).copied().unwrap_or(Link::Calm);
        let chance = &mut world.chance;
        let (calm, slow) = (chance.random_range(1..30), chance.random_range(1..2500));
        match link {
            Link::Calm => (calm, calm, 99),
            Link::Noisy => (if slow % 3 == 0 { slow } else { calm }, calm, chance.random_range(0..100)),
            Link::Cut => return None,
            Link::Deaf => (calm, 60_000, 99),
        }
    };
    monotonic::sleep(Duration::from_millis(there)).await;
    let answer = match fate {
        0..4 => return None,
        4..8 => failure(500),
        8..10 => failure(429),
        _ if election => world.lock().unwrap().apply(&method, &body, sender, sent),
        _ => (200, json!({})),
    };
    monotonic::sleep(Duration::from_millis(back)).await;
    match fate {
        10..14 => None,
        14..17 => Some(failure(500)),
        _ => Some(answer),
    }
}

/// Whether a process is stopped, as by SIGSTOP.
#[derive(Clone, Default)]
struct Freezer(Arc<Mutex<(bool, Option<Waker>)>>);

impl Freezer {
    fn set(&self, frozen: bool) {
        let mut state = self.0.lock().unwrap();
        state.0 = frozen;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    /// Runs the future whenever the process is not stopped.
    async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            state.1 = Some(context.waker().clone());
            if state.0 {
                return Poll::Pending;
            }
            drop(state);
            Pin::new(&mut future).poll(context)
        })
        .await
    }
}

/// One life of a replica.
struct Life {
    identity: String,
    stop: Option<oneshot::Sender<()>>,
    freezer: Freezer,
    task: JoinHandle<Ended>,
}

#[expect(clippy::disallowed_methods, reason = "each replica is a process of its own")]
fn begin(world: &Shared, identity: String) -> Life {
    let (stop, stopped) = oneshot::channel::<()>();
    let freezer = Freezer::default();
    let (frozen, world, name) = (freezer.clone(), Arc::clone(world), identity.clone());
    let task = tokio::spawn(async move { frozen.run(Box::pin(live(world, name, stopped))).await });
    Life { identity, stop: Some(stop), freezer, task }
}

/// A replica that takes part in the election and tries to write all the time.
async fn live(world: Shared, identity: String, stopped: oneshot::Receiver<()>) -> Ended {
    let lease = LeaseName { namespace: "ops".to_owned(), name: "parking-operator".to_owned() };
    let (publisher, leads) = leadership();
    let metrics = Metrics::new().unwrap();
    let settings = GateSettings::new(lease.clone(), NonZeroU32::new(100).unwrap());
    let gate = GateLayer::new(settings, leads, metrics.clone());
    let wire = Wire { world, sender: identity.clone() };
    let client = ClientBuilder::new(wire, "default").with_layer(&gate).build();
    let election = Election::new(client.clone(), &lease, Terms::new(identity), publisher, metrics);
    let writes = async {
        loop {
            let write = Request::post("/api/v1/namespaces/a/configmaps").body(Vec::new()).unwrap();
            let _ = client.request_text(write).await;
            monotonic::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        ended = election.run(async { let _ = stopped.await; }, gate.quiet()) => ended,
        () = writes => unreachable!("writes go on"),
    }
}

struct Run {
    seed: u64,
    world: Shared,
    chance: StdRng,
    lives: Vec<Life>,
    born: u32,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = Arc::new(Mutex::new(World {
            chance: StdRng::seed_from_u64(seed ^ 0x5eed),
            lease: None,
            version: 0,
            links: BTreeMap::new(),
            renewed: BTreeMap::new(),
            last_write: None,
            writes: 0,
            violations: Vec::new(),
        }));
        let mut run = Self { seed, world, chance: StdRng::seed_from_u64(seed), lives: Vec::new(), born: 0 };
        run.replace_the_dead();
        run
    }

    /// Three replicas live at any time, as a Deployment would see to it.
    fn replace_the_dead(&mut self) {
        self.lives.retain(|life| !life.task.is_finished());
        while self.lives.len() < 3 {
            self.born += 1;
            self.lives.push(begin(&self.world, format!("replica-{}", self.born)));
        }
    }

    fn set_links(&self, link: Link) {
        let mut world = self.world.lock().unwrap();
        world.links = self.lives.iter().map(|life| (life.identity.clone(), link)).collect();
    }

    async fn pass(&mut self, time: Duration) {
        let end = monotonic::now() + time;
        while monotonic::now() < end {
            self.replace_the_dead();
            monotonic::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until someone but `lost` writes; returns who.
    async fn writer_but(&mut self, lost: Option<&str>, bound: Duration, what: &str) -> usize {
        let start = monotonic::now();
        loop {
            self.replace_the_dead();
            let newest = self.world.lock().unwrap().last_write.clone();
            if let Some((writer, at)) =
                newest.filter(|(writer, at)| *at > start && Some(writer.as_str()) != lost)
                && let Some(place) = self.lives.iter().position(|life| life.identity == writer)
            {
                assert!(at - start <= bound, "seed {}: {what}: {:?}", self.seed, at - start);
                return place;
            }
            let waited = monotonic::now() - start;
            assert!(
                waited <= bound + Duration::from_secs(1),
                "seed {}: nobody leads after {what}: {:?}",
                self.seed,
                self.world.lock().unwrap().lease
            );
            monotonic::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn lose_once(&mut self) {
        self.set_links(Link::Noisy);
        let noise = Duration::from_millis(self.chance.random_range(0..10_000));
        self.pass(noise).await;
        self.set_links(Link::Calm);
        self.world.lock().unwrap().links.clear();
        self.pass(Duration::from_secs(4)).await;
        let leader = self.writer_but(None, Duration::from_secs(30), "noise").await;
        let lost = self.lives[leader].identity.clone();
        let failover = Duration::from_secs(15);
        match self.chance.random_range(0..5) {
            0 => {
                self.lives[leader].task.abort();
                self.writer_but(Some(&lost), failover, "a kill").await;
            }
            1 => {
                self.lives[leader].stop.take().unwrap().send(()).unwrap();
                self.writer_but(Some(&lost), Duration::from_secs(2), "SIGTERM").await;
            }
            2 => {
                let freezer = self.lives[leader].freezer.clone();
                freezer.set(true);
                self.writer_but(Some(&lost), failover, "SIGSTOP").await;
                let more = Duration::from_millis(self.chance.random_range(0..20_000));
                self.pass(more).await;
                freezer.set(false);
                self.ends(&lost).await;
            }
            cut => {
                let link = if cut == 3 { Link::Cut } else { Link::Deaf };
                self.world.lock().unwrap().links.insert(lost.clone(), link);
                self.ends(&lost).await;
                self.writer_but(Some(&lost), failover, "a partition").await;
            }
        }
        let violations = &self.world.lock().unwrap().violations;
        assert!(violations.is_empty(), "seed {}: {violations:#?}", self.seed);
    }

    /// The replica that lost its leadership ends by itself.
    async fn ends(&mut self, lost: &str) {
        let start = monotonic::now();
        while self.lives.iter().any(|life| life.identity == lost && !life.task.is_finished()) {
            assert!(monotonic::now() - start < LEASE, "seed {}: {lost} goes on", self.seed);
            monotonic::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn lose(losses: u32, seed: u64) {
    println!("seed {seed}");
    let mut run = Run::new(seed);
    for _ in 0..losses {
        run.lose_once().await;
    }
    assert!(run.world.lock().unwrap().writes > u64::from(losses), "seed {seed}: hardly anything was written");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_losses_let_nobody_write_without_the_lease_first_half() {
    lose(500, rand::random()).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_losses_let_nobody_write_without_the_lease_second_half() {
    lose(500, rand::random()).await;
}
