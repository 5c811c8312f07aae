//! One watched space: who is there, since when, and the stays that can still be repaired.

use parking_crds::event::Millis;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    News,
    session::{EndKind, SessionRecordType, Stay},
    zone::Counters,
};
use crate::{observation::SessionChange, record::Record};

/// What is known of the space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// Nothing.
    #[default]
    Unknown,
    /// No vehicle.
    Free,
    /// A vehicle.
    Occupied,
}

/// How a space stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceView {
    /// Who is there.
    pub presence: Presence,
    /// Since when a vehicle stands there.
    pub since: Option<Millis>,
    /// It counts neither as free nor as occupied.
    pub out_of_service: bool,
}

/// Decides which of two records on one space is the newer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Order(Millis, SmallVec<[u8; 16]>, u64);

impl Order {
    fn of(record: &Record<'_>) -> Self {
        let boot = record.boot.as_deref().unwrap_or_default().as_bytes();
        Self(record.time, SmallVec::from_slice(boot), record.seq.unwrap_or(0))
    }
}

/// One space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpaceState {
    pub(super) presence: Presence,
    /// When it last left service or came back, and which.
    out_of_service: Option<(Millis, bool)>,
    order: Option<Order>,
    open: Option<Stay>,
    /// The stay before, while a late record may still correct it.
    closed: Option<Stay>,
    /// A departure without an arrival: an arrival that comes later completes it.
    orphan_end: Option<Millis>,
}

/// What a record says of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// A vehicle arrived.
    Arrival,
    /// A vehicle left.
    Departure,
    /// A vehicle stands there.
    Present,
    /// None stands there.
    Absent,
    /// Nobody can tell.
    Lost,
}

/// Where a sighting was made and how its news is told.
pub(super) struct Scene<'a> {
    pub(super) zone: Uuid,
    pub(super) space: Uuid,
    pub(super) record: &'a Record<'a>,
    pub(super) late: bool,
    pub(super) news: &'a mut News,
    pub(super) counters: &'a mut Counters,
}

impl SpaceState {
    pub(super) fn view(&self) -> SpaceView {
        let since = self.open.as_ref().filter(|_| self.presence == Presence::Occupied).map(|stay| stay.start);
        SpaceView { presence: self.presence, since, out_of_service: self.is_out_of_service() }
    }

    /// Touches every part of it; the answer means nothing.
    pub(super) fn look_ahead(&self) -> u64 {
        let order = self.order.as_ref().map_or(0, |order| order.2);
        order ^ u64::from(self.open.is_some()) ^ u64::from(self.closed.is_some())
    }

    /// The space left service or came back, unless a newer record said otherwise.
    pub(super) fn switch(&mut self, time: Millis, out: bool) {
        if self.out_of_service.is_none_or(|(since, _)| since <= time) {
            self.out_of_service = Some((time, out));
        }
    }

    /// Whether it left service.
    pub(super) fn is_out_of_service(&self) -> bool {
        self.out_of_service.is_some_and(|(_, out)| out)
    }

    /// Applies a sighting: newer ones decide, older ones repair.
    pub(super) fn apply(&mut self, sighting: Sighting, scene: &mut Scene<'_>) {
        let order = Order::of(scene.record);
        if self.order.as_ref().is_some_and(|newest| order < *newest) {
            self.repair(sighting, scene);
            return;
        }
        self.order = Some(order);
        match sighting {
            Sighting::Arrival => self.arrive(EndKind::Observed, scene),
            Sighting::Departure => self.depart(scene),
            Sighting::Present if self.open.is_none() => self.arrive(EndKind::Inferred, scene),
            Sighting::Present => self.presence = Presence::Occupied,
            Sighting::Absent => {
                self.close(EndKind::Inferred, scene);
                self.presence = Presence::Free;
            }
            Sighting::Lost => self.presence = Presence::Unknown,
        }
    }

    fn arrive(&mut self, start_kind: EndKind, scene: &mut Scene<'_>) {
        if self.open.is_some() {
            scene.counters.inferred_ends += 1;
            self.close(EndKind::Inferred, scene);
        }
        let stay = open_stay(start_kind, scene);
        scene.tell(SessionRecordType::Started, &stay);
        self.open = Some(stay);
        self.orphan_end = None;
        self.presence = Presence::Occupied;
    }

    fn depart(&mut self, scene: &mut Scene<'_>) {
        if self.open.is_some() {
            self.close(EndKind::Observed, scene);
        } else {
            scene.counters.orphan_ends += 1;
            self.orphan_end = Some(scene.record.time);
        }
        self.presence = Presence::Free;
    }

    fn close(&mut self, end_kind: EndKind, scene: &mut Scene<'_>) {
        let Some(mut stay) = self.open.take() else { return };
        stay.revision += 1;
        stay.end = Some(scene.record.time);
        stay.end_kind = end_kind;
        scene.tell(SessionRecordType::Ended, &stay);
        self.closed = Some(stay);
    }

    /// A record older than the state: it may put a stay right, never the presence.
    fn repair(&mut self, sighting: Sighting, scene: &mut Scene<'_>) {
        scene.counters.out_of_order += 1;
        let time = scene.record.time;
        match sighting {
            Sighting::Arrival => self.repair_start(time, scene),
            Sighting::Departure => self.repair_end(time, scene),
            Sighting::Present | Sighting::Absent | Sighting::Lost => {}
        }
    }

    fn repair_start(&mut self, time: Millis, scene: &mut Scene<'_>) {
        let inferred = |stay: &&mut Stay| stay.start_kind == EndKind::Inferred && time < stay.start;
        let after_closed = self.closed.as_ref().and_then(|stay| stay.end).is_none_or(|end| end <= time);
        if let Some(stay) = self.open.as_mut().filter(inferred).filter(|_| after_closed) {
            (stay.start, stay.start_kind) = (time, EndKind::Observed);
            stay.revision += 1;
            let stay = stay.clone();
            scene.tell(SessionRecordType::Corrected, &stay);
        } else if let Some(end) = self.orphan_end.filter(|end| time <= *end && after_closed) {
            let mut stay = open_stay(EndKind::Observed, scene);
            (stay.end, stay.end_kind) = (Some(end), EndKind::Observed);
            scene.tell(SessionRecordType::Ended, &stay);
            self.orphan_end = None;
            self.closed = Some(stay);
        }
    }

    fn repair_end(&mut self, time: Millis, scene: &mut Scene<'_>) {
        let wrong = |stay: &&mut Stay| {
            stay.end_kind == EndKind::Inferred && stay.start <= time && stay.end.is_some_and(|end| time < end)
        };
        let Some(stay) = self.closed.as_mut().filter(wrong) else {
            scene.counters.orphan_ends += 1;
            return;
        };
        (stay.end, stay.end_kind) = (Some(time), EndKind::Observed);
        stay.revision += 1;
        let stay = stay.clone();
        scene.tell(SessionRecordType::Corrected, &stay);
    }
}

impl Scene<'_> {
    fn tell(&mut self, record_type: SessionRecordType, stay: &Stay) {
        let replayed = self.record.is_replayed();
        self.news.sessions.push(stay.record(record_type, self.zone, self.space, self.late, replayed));
        self.news.changes.push(match stay.end {
            None => SessionChange::Started {
                session: stay.session,
                space: Some(self.space),
                device: stay.device,
                start: stay.start,
            },
            Some(_) => SessionChange::Ended { session: stay.session },
        });
    }
}

/// A stay that begins with the scene's record. Without an id of its own it gets one from the record.
fn open_stay(start_kind: EndKind, scene: &Scene<'_>) -> Stay {
    let record = scene.record;
    let session = record.session.unwrap_or_else(|| Uuid::new_v5(&scene.space, record.id.as_bytes()));
    Stay {
        session,
        revision: 0,
        device: record.device,
        start: record.time,
        start_kind,
        end: None,
        end_kind: EndKind::Missing,
    }
}
