//! How far every route has come: one state of the store for each slot of the work.
//!
//! Invariants: a position moves only forward, and past a notification only once that was answered; where it is not
//! known what was told, that is known, and nothing that came after the claim is passed over for it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{ROLE, Slots};
use crate::{
    domain::verdict::encode,
    ports::{
        ErrorKind, PortError, PortResult,
        event_log::{Bounds, EventLog, Offset, Partition, Stream, all_bounds},
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
    /// By partition.
    routes: BTreeMap<u128, Vec<Place>>,
    /// Routes that moved since the last commit.
    moved: BTreeSet<u128>,
}

/// What there is of the stream.
struct Reach {
    log_id: Uuid,
    partitions: Vec<Bounds>,
}

impl Reach {
    async fn of(log: &dyn EventLog, partitions: Partition) -> PortResult<Self> {
        let log_id = log.log_id(Stream::Alerts).await?;
        Ok(Self { log_id, partitions: all_bounds(log, Stream::Alerts, partitions).await? })
    }
}

/// How far a route is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// What comes first has yet to be told.
    Next(Offset),
    /// It is not known what was told of that which stands before the end.
    Unknown { end: Offset },
}

impl Place {
    fn next(self) -> Option<Offset> {
        match self {
            Self::Next(next) => Some(next),
            Self::Unknown { .. } => None,
        }
    }
}

/// Where it is not known what was told of a partition.
pub(super) struct Unknown {
    pub(super) slots: BTreeSet<Partition>,
    pub(super) end: Offset,
}

impl Positions {
    /// Takes the slots over. Of a route that is new, or whose positions are gone, it is not known what was told
    /// before the present end of the stream.
    pub async fn claim(
        ports: StagePorts,
        routes: &[String],
        slots: &Slots,
        partitions: Partition,
        mut draw_owner: impl FnMut() -> Uuid,
    ) -> PortResult<Self> {
        let mut claimed = Vec::new();
        for &slot in &slots.owned {
            claimed.push((slot, ports.store.claim(&key(slot), draw_owner()).await?));
        }
        // Asked after the claims: the owner before may have read beyond any earlier end.
        let reach = Reach::of(ports.log.as_ref(), partitions).await?;
        let mut owned = BTreeMap::new();
        for (slot, (token, stored)) in claimed {
            owned.insert(slot, Slot::new(token, stored, &reach, routes)?);
        }
        let positions = Self { ports, owned: Mutex::new(owned) };
        positions.store().await?;
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
        let places = routes.values().filter_map(|places| places.get(slot as usize));
        Some(places.map(|place| place.next().unwrap_or(0)).min().unwrap_or(0))
    }

    /// The slots that do not know what was told of the partition on the route, if there are any.
    pub(super) async fn unknown(&self, route: &str, partition: Partition) -> Option<Unknown> {
        let (owned, id) = (self.owned.lock().await, route_id(route));
        let end = |slot: &Slot| match slot.place(id, partition)? {
            Place::Unknown { end } => Some(end),
            Place::Next(_) => None,
        };
        let ends: BTreeMap<_, _> =
            owned.iter().filter_map(|(&slot, state)| Some((slot, end(state)?))).collect();
        let end = ends.values().max().copied()?;
        Some(Unknown { slots: ends.into_keys().collect(), end })
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

    /// What fired before the end was told to the slots that did not know.
    pub(super) async fn recovered(&self, route: &str, partition: Partition) -> PortResult<()> {
        let id = route_id(route);
        for slot in self.owned.lock().await.values_mut() {
            if let Some(Place::Unknown { end }) = slot.place(id, partition) {
                slot.set(id, partition, end);
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
            // Who does not know one place knows none after a crash.
            let places: Option<Vec<Offset>> =
                slot.routes.get(&id)?.iter().map(|place| place.next()).collect();
            Some((BlockKey { class: POSITION_CLASS, id }, Some(encode(&places?))))
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
    fn new(token: Token, stored: Option<Stored>, reach: &Reach, routes: &[String]) -> PortResult<Self> {
        let of_this_log = stored.as_ref().is_none_or(|stored| stored.log_id == reach.log_id);
        let commits = stored.as_ref().map_or(0, |stored| stored.next_offset);
        let mut known = BTreeMap::new();
        for (key, bytes) in stored.into_iter().flat_map(|stored| stored.blocks) {
            let positions: Vec<Offset> = postcard::from_bytes(&bytes).map_err(|error| {
                PortError::caused(ErrorKind::Corrupt, "reading the position of a route", error)
            })?;
            known.insert(key.id, positions);
        }
        let place = |id: u128| {
            let positions = known.remove(&id).filter(|_| of_this_log);
            (id, places(positions.as_deref(), reach))
        };
        let routes: BTreeMap<_, _> = routes.iter().map(|route| route_id(route)).map(place).collect();
        let moved = routes.keys().copied().collect();
        Ok(Self { token, log_id: reach.log_id, commits, routes, moved })
    }

    fn place(&self, route: u128, partition: Partition) -> Option<Place> {
        self.routes.get(&route)?.get(partition as usize).copied()
    }

    fn at(&self, route: u128, partition: Partition) -> Option<Offset> {
        self.place(route, partition)?.next()
    }

    fn pass(&mut self, route: u128, partition: Partition, next: Offset) {
        if self.at(route, partition).is_some_and(|at| at < next) {
            self.set(route, partition, next);
        }
    }

    fn set(&mut self, route: u128, partition: Partition, next: Offset) {
        let places = self.routes.get_mut(&route);
        if let Some(place) = places.and_then(|places| places.get_mut(partition as usize)) {
            *place = Place::Next(next);
            self.moved.insert(route);
        }
    }
}

/// The places of a route in every partition; without positions nothing is known but of partitions that are empty.
fn places(positions: Option<&[Offset]>, reach: &Reach) -> Vec<Place> {
    let place = |(partition, &Bounds { start, end }): (usize, &Bounds)| {
        let next = match positions {
            // A partition that came since holds nothing that was told.
            Some(positions) => Some(positions.get(partition).copied().unwrap_or(start)),
            None => (start == end).then_some(end),
        };
        let next = next.filter(|next| (start..=end).contains(next));
        next.map_or(Place::Unknown { end }, Place::Next)
    };
    reach.partitions.iter().enumerate().map(place).collect()
}

fn key(slot: Partition) -> StageKey {
    StageKey { role: ROLE, partition: slot }
}

fn route_id(route: &str) -> u128 {
    xxh3_128(route.as_bytes())
}
