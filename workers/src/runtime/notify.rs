//! Delivery of alerts: reads the `alerts` stream for one route and tells what the route is for.
//!
//! Must not lose a notification: a position moves only after its deliveries were answered (at least once,
//! known by their keys). Invariants: one route that fails holds back no other; more than a route takes a
//! minute wait, none is dropped; one that the receiver refuses for good is logged and passed over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_crds::{duration::Duration, event::Millis};
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    domain::{
        alert::AlertRecord,
        notify::{Routing, idempotency_key},
        verdict::encode,
    },
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Fetched, Offset, Partition, Stream, StreamPartition},
        notifier::{Notification, Notifier},
        state_store::{BlockKey, Commit, Outcome, StageKey, Token},
    },
    runtime::stage::StagePorts,
};

/// The role, as stores name it.
pub const ROLE: &str = "notify";
const KEY: StageKey = StageKey { role: ROLE, partition: 0 };
const POSITION_CLASS: u8 = 1;
const READ_BYTES: usize = 1 << 18;
const FIRST_PAUSE: Millis = 250;
const LONGEST_PAUSE: Millis = 60_000;

/// How far every route has come, kept in one block of the state store each.
pub struct Positions {
    ports: StagePorts,
    owned: Mutex<Owned>,
}

struct Owned {
    token: Token,
    log_id: Uuid,
    commits: Offset,
    blocks: BTreeMap<u128, Vec<Offset>>,
}

impl Positions {
    /// Takes them over. A route that is new begins at the present end of the stream.
    pub async fn claim(ports: StagePorts, routes: &[String], name: Uuid) -> PortResult<Self> {
        let facts = ports.log.facts(Stream::Alerts).await?;
        let (token, stored) = ports.store.claim(&KEY, name).await?;
        let mut blocks = BTreeMap::new();
        let commits = stored.as_ref().map_or(0, |stored| stored.next_offset);
        for (key, bytes) in stored.into_iter().flat_map(|stored| stored.blocks) {
            let positions = postcard::from_bytes(&bytes);
            let attempt = "reading the position of a route";
            let positions =
                positions.map_err(|error| PortError::caused(ErrorKind::Corrupt, attempt, error))?;
            blocks.insert(key.id, positions);
        }
        for route in routes {
            blocks.entry(route_id(route)).or_insert_with(|| facts.ends.clone());
        }
        let owned = Owned { token, log_id: facts.log_id, commits, blocks };
        Ok(Self { ports, owned: Mutex::new(owned) })
    }

    async fn of(&self, route: &str, partition: Partition) -> Offset {
        let owned = self.owned.lock().await;
        let positions = owned.blocks.get(&route_id(route));
        positions.and_then(|positions| positions.get(partition as usize)).copied().unwrap_or(0)
    }

    async fn advance(&self, route: &str, partition: Partition, next: Offset) -> PortResult<()> {
        let mut owned = self.owned.lock().await;
        let id = route_id(route);
        let Some(positions) = owned.blocks.get_mut(&id) else { return Ok(()) };
        if let Some(position) = positions.get_mut(partition as usize) {
            *position = next;
        }
        let block: Bytes = encode(positions);
        let commit = Commit {
            token: owned.token,
            log_id: owned.log_id,
            base: owned.commits,
            next: owned.commits + 1,
            blocks: vec![(BlockKey { class: POSITION_CLASS, id }, Some(block))],
            outbox: Vec::new(),
        };
        match self.ports.store.commit(&KEY, commit).await? {
            Outcome::Stored => owned.commits += 1,
            Outcome::Fenced => {
                return Err(PortError::new(ErrorKind::Closed, "delivering alerts as a former owner"));
            }
        }
        Ok(())
    }
}

fn route_id(route: &str) -> u128 {
    xxh3_128(route.as_bytes())
}

/// What all partitions of one route share.
pub struct Outlet {
    /// Its name.
    pub route: String,
    /// Who is told.
    pub notifier: Arc<dyn Notifier>,
    /// Time between two notifications, ms.
    pub spacing: Millis,
    not_before: Mutex<Millis>,
    delivered: AtomicU64,
    refused: AtomicU64,
}

impl Outlet {
    /// A route that tells at most so many a minute.
    pub fn new(route: &str, notifier: Arc<dyn Notifier>, max_per_minute: u32) -> Self {
        Self {
            route: route.to_owned(),
            notifier,
            spacing: 60_000 / Millis::from(max_per_minute.max(1)),
            not_before: Mutex::default(),
            delivered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Notifications that were taken, and those that were refused for good.
    pub fn totals(&self) -> (u64, u64) {
        (self.delivered.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

/// Tells the alerts of one partition on one route.
pub struct Delivery {
    /// Where alerts are read and time is told.
    pub ports: StagePorts,
    /// Which alerts are told.
    pub routing: Arc<Routing>,
    /// How far it is.
    pub positions: Arc<Positions>,
    /// Who is told.
    pub outlet: Arc<Outlet>,
    /// What is read.
    pub partition: Partition,
}

impl Delivery {
    /// Delivers what is there; answers whether something was read.
    pub async fn round(&self) -> PortResult<bool> {
        let next = self.positions.of(&self.outlet.route, self.partition).await;
        let fetched = self.ports.log.read(self.source(), next, READ_BYTES).await?;
        if fetched.records.is_empty() {
            return Ok(false);
        }
        self.deliver_all(&fetched).await?;
        Ok(true)
    }

    /// Completes when there is something to read.
    pub async fn wait(&self) -> PortResult<()> {
        let next = self.positions.of(&self.outlet.route, self.partition).await;
        self.ports.log.arrived(self.source(), next).await
    }

    fn source(&self) -> StreamPartition {
        StreamPartition { stream: Stream::Alerts, partition: self.partition }
    }

    async fn deliver_all(&self, fetched: &Fetched) -> PortResult<()> {
        let route = &self.outlet.route;
        for (offset, record) in fetched.iter() {
            // The stream also carries watermarks, which are no alerts.
            let Ok(alert) = serde_json::from_slice::<AlertRecord>(record) else { continue };
            if !self.routing.tells(route, &alert) {
                continue;
            }
            let Ok(body) = serde_json::from_slice::<Box<RawValue>>(record) else { continue };
            let idempotency_key = idempotency_key(&alert, route);
            self.deliver(&Notification { idempotency_key, route: route.clone(), alert: body }).await;
            self.positions.advance(route, self.partition, offset + 1).await?;
        }
        self.positions.advance(route, self.partition, fetched.next_offset()).await
    }

    /// Tries until the receiver takes it or refuses it for good.
    async fn deliver(&self, notification: &Notification) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.wait_for_turn().await;
            match self.outlet.notifier.notify(notification).await {
                Ok(()) => {
                    self.outlet.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(error) if matches!(error.kind, ErrorKind::Transient | ErrorKind::Ambiguous) => {
                    tracing::warn!(route = self.outlet.route, "alert not delivered, trying again: {error}");
                    self.ports.clock.pause(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.outlet.refused.fetch_add(1, Ordering::Relaxed);
                    let key = &notification.idempotency_key;
                    tracing::error!(route = self.outlet.route, key, "alert not delivered: {error}");
                    return;
                }
            }
        }
    }

    async fn wait_for_turn(&self) {
        let wait = {
            let mut not_before = self.outlet.not_before.lock().await;
            let now = self.ports.clock.monotonic();
            let turn = now.max(*not_before);
            *not_before = turn + self.outlet.spacing;
            turn - now
        };
        if wait > 0 {
            self.ports.clock.pause(Duration::from_millis(wait)).await;
        }
    }
}

#[cfg(test)]
mod tests;
