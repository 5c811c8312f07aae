//! How far every route has come: one state of the store for each slot of the work.
//!
//! Invariants: a position moves only forward, and past a notification only once that was answered; a slot whose
//! positions are gone says so, and is never taken for a new one where a witness of its beginning stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{ROLE, Slots};
use crate::{
    domain::verdict::encode,
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Offset, Partition, Stream, StreamFacts},
        object_store::ObjectStore,
        state_store::{BlockKey, Commit, Outcome, StageKey, Stored, Token},
    },
    runtime::stage::StagePorts,
};

const POSITION_CLASS: u8 = 1;

/// The positions of the slots that this process owns.
pub struct Positions {
    ports: StagePorts,
    owned: Mutex<BTreeMap<Partition, Slot>>,
}

/// One slot as it is owned.
struct Slot {
    token: Token,
    log_id: Uuid,
    commits: Offset,
    routes: BTreeMap<u128, Vec<Offset>>,
    /// Routes that moved since the last commit.
    moved: BTreeSet<u128>,
    /// Partitions of each route whose positions are not known.
    lost: BTreeMap<u128, BTreeSet<Partition>>,
}

/// What tells a slot that lost its positions from one that never had any.
pub type Witnesses = Arc<dyn ObjectStore>;

impl Positions {
    /// Takes the slots over. A route that is new begins at the present end of the stream; with `witnesses`, a slot
    /// that had positions and has none any more is lost.
    pub async fn claim(
        ports: StagePorts,
        witnesses: Option<&Witnesses>,
        routes: &[String],
        slots: &Slots,
        mut draw_owner: impl FnMut() -> Uuid,
    ) -> PortResult<Self> {
        let mut owned = BTreeMap::new();
        for &slot in &slots.owned {
            let (token, stored) = ports.store.claim(&key(slot), draw_owner()).await?;
            // Asked after the claim: the owner before may have read beyond any earlier end.
            let facts = ports.log.facts(Stream::Alerts).await?;
            let known = stored.is_none() && is_known(witnesses, slot).await?;
            owned.insert(slot, Slot::new(token, stored, &facts, known, routes)?);
        }
        let positions = Self { ports, owned: Mutex::new(owned) };
        positions.store().await?;
        for &slot in &slots.owned {
            if let Some(witnesses) = witnesses {
                // One that exists already says the same.
                witnesses.put_new(&witness(slot), Bytes::new()).await?;
            }
        }
        Ok(positions)
    }

    /// Where the route goes on in a partition: the least of its slots.
    pub(super) async fn next(&self, route: &str, partition: Partition) -> Offset {
        let owned = self.owned.lock().await;
        owned.values().filter_map(|slot| slot.at(route_id(route), partition)).min().unwrap_or(0)
    }

    /// How far the slot is in the partition of its own number, on the route that is behind; `None` where it is not
    /// owned.
    pub(in crate::runtime) async fn least(&self, slot: Partition) -> Option<Offset> {
        let owned = self.owned.lock().await;
        let routes = &owned.get(&slot)?.routes;
        let positions = routes.values().filter_map(|positions| positions.get(slot as usize));
        Some(positions.min().copied().unwrap_or(0))
    }

    /// The slots whose positions of the route in the partition are lost.
    pub(super) async fn lost(&self, route: &str, partition: Partition) -> BTreeSet<Partition> {
        let (owned, id) = (self.owned.lock().await, route_id(route));
        let is_lost = |slot: &Slot| slot.lost.get(&id).is_some_and(|lost| lost.contains(&partition));
        owned.iter().filter(|(_, slot)| is_lost(slot)).map(|(number, _)| *number).collect()
    }

    /// Whether the slot is owned, and what stands there is not behind it.
    pub(super) async fn wants(&self, slot: Partition, route: &str, partition: Partition, at: Offset) -> bool {
        let owned = self.owned.lock().await;
        let next = owned.get(&slot).and_then(|slot| slot.at(route_id(route), partition));
        next.is_some_and(|next| next <= at)
    }

    /// A notification of the slot was answered.
    pub(super) async fn answered(
        &self,
        slot: Partition,
        route: &str,
        partition: Partition,
        next: Offset,
    ) -> PortResult<()> {
        let mut owned = self.owned.lock().await;
        let Some(position) = owned.get_mut(&slot) else { return Ok(()) };
        position.pass(route_id(route), partition, next);
        self.commit(slot, position).await
    }

    /// Nothing before `next` is left to tell; stored with the next answer, or when it is asked for.
    pub(super) async fn passed(&self, route: &str, partition: Partition, next: Offset) {
        for slot in self.owned.lock().await.values_mut() {
            slot.pass(route_id(route), partition, next);
        }
    }

    /// What was lost has been made up for.
    pub(super) async fn recovered(&self, route: &str, partition: Partition, next: Offset) -> PortResult<()> {
        let id = route_id(route);
        for slot in self.owned.lock().await.values_mut() {
            if slot.lost.get_mut(&id).is_some_and(|lost| lost.remove(&partition)) {
                slot.pass(id, partition, next);
            }
        }
        self.store().await
    }

    /// Stores what moved.
    pub async fn store(&self) -> PortResult<()> {
        let mut owned = self.owned.lock().await;
        for (&number, slot) in owned.iter_mut().filter(|(_, slot)| !slot.moved.is_empty()) {
            self.commit(number, slot).await?;
        }
        Ok(())
    }

    async fn commit(&self, number: Partition, slot: &mut Slot) -> PortResult<()> {
        let block = |id: u128| {
            // A partition that is lost stands nowhere: after a crash it is lost again.
            let routes = slot.routes.get(&id).filter(|_| slot.lost.get(&id).is_none_or(BTreeSet::is_empty));
            Some((BlockKey { class: POSITION_CLASS, id }, Some(encode(routes?))))
        };
        let commit = Commit {
            token: slot.token,
            log_id: slot.log_id,
            base: slot.commits,
            next: slot.commits + 1,
            blocks: slot.moved.iter().copied().filter_map(block).collect(),
            outbox: Vec::new(),
        };
        if commit.blocks.is_empty() {
            return Ok(());
        }
        match self.ports.store.commit(&key(number), commit).await? {
            Outcome::Stored => {
                slot.commits += 1;
                slot.moved.clear();
                Ok(())
            }
            Outcome::Fenced => Err(PortError::new(ErrorKind::Closed, "delivering alerts as a former owner")),
        }
    }
}

impl Slot {
    fn new(
        token: Token,
        stored: Option<Stored>,
        facts: &StreamFacts,
        is_known: bool,
        routes: &[String],
    ) -> PortResult<Self> {
        let of_this_log = stored.as_ref().is_none_or(|stored| stored.log_id == facts.log_id);
        let commits = stored.as_ref().map_or(0, |stored| stored.next_offset);
        let mut slot = Self {
            token,
            log_id: facts.log_id,
            commits,
            routes: BTreeMap::new(),
            moved: BTreeSet::new(),
            lost: BTreeMap::new(),
        };
        let mut known = BTreeMap::new();
        for (key, bytes) in stored.into_iter().flat_map(|stored| stored.blocks) {
            let positions: Vec<Offset> = postcard::from_bytes(&bytes).map_err(|error| {
                PortError::caused(ErrorKind::Corrupt, "reading the position of a route", error)
            })?;
            known.insert(key.id, positions);
        }
        for id in routes.iter().map(|route| route_id(route)) {
            let positions = known.remove(&id).filter(|_| of_this_log);
            let lost = match &positions {
                Some(positions) => out_of_range(positions, facts),
                None if is_known || !of_this_log => {
                    (0..).zip(&facts.ends).map(|(number, _)| number).collect()
                }
                None => BTreeSet::new(),
            };
            let mut positions = positions.unwrap_or_else(|| facts.ends.clone());
            // Partitions that came since hold nothing that was told.
            positions.resize(facts.ends.len(), 0);
            slot.routes.insert(id, positions);
            slot.moved.insert(id);
            slot.lost.insert(id, lost);
        }
        Ok(slot)
    }

    /// `None` where it is lost.
    fn at(&self, route: u128, partition: Partition) -> Option<Offset> {
        if self.lost.get(&route).is_some_and(|lost| lost.contains(&partition)) {
            return None;
        }
        self.routes.get(&route)?.get(partition as usize).copied()
    }

    fn pass(&mut self, route: u128, partition: Partition, next: Offset) {
        if self.lost.get(&route).is_some_and(|lost| lost.contains(&partition)) {
            return;
        }
        let positions = self.routes.get_mut(&route);
        let position = positions.and_then(|positions| positions.get_mut(partition as usize));
        if let Some(position) = position.filter(|position| **position < next) {
            *position = next;
            self.moved.insert(route);
        }
    }
}

/// Partitions where what comes next was removed, or never was.
fn out_of_range(positions: &[Offset], facts: &StreamFacts) -> BTreeSet<Partition> {
    let is_there = |(at, (start, end)): (&Offset, (&Offset, &Offset))| (start..=end).contains(&at);
    let places = positions.iter().zip(facts.starts.iter().zip(&facts.ends));
    (0..).zip(places).filter(|(_, place)| !is_there(*place)).map(|(partition, _)| partition).collect()
}

fn key(slot: Partition) -> StageKey {
    StageKey { role: ROLE, partition: slot }
}

fn route_id(route: &str) -> u128 {
    xxh3_128(route.as_bytes())
}

fn witness(slot: Partition) -> String {
    format!("notify/slots/{slot}")
}

async fn is_known(witnesses: Option<&Witnesses>, slot: Partition) -> PortResult<bool> {
    let Some(witnesses) = witnesses else { return Ok(false) };
    Ok(witnesses.get(&witness(slot)).await?.is_some())
}
