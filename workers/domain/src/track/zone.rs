//! One zone: its spaces, or its count where no space is watched.

use parking_crds::{
    event::{EventType, Millis},
    inventory::Zone,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    News,
    space::{Presence, Scene, Sighting, SpaceState, SpaceView},
};
use crate::{
    hints::Hint,
    id_map::IdMap,
    observation::ZoneView,
    record::{Body, Record},
};

/// The state of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneState {
    spaces: IdMap<SpaceState>,
    count: Option<Count>,
    closed: Option<(Millis, bool)>,
    /// Newest accepted record, ms.
    last_record: Option<Millis>,
    counters: Counters,
    /// What follows from `spaces`, kept beside them so that no record looks at all of them.
    #[serde(skip)]
    tally: Tally,
}

/// Spaces by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    out_of_service: u32,
    occupied: u32,
    free: u32,
}

impl Tally {
    /// Where a space counts; a space of which nobody knows counts nowhere.
    fn of(&mut self, space: &SpaceState) -> Option<&mut u32> {
        match (space.is_out_of_service(), space.presence) {
            (true, _) => Some(&mut self.out_of_service),
            (false, Presence::Occupied) => Some(&mut self.occupied),
            (false, Presence::Free) => Some(&mut self.free),
            (false, Presence::Unknown) => None,
        }
    }

    fn add(&mut self, space: &SpaceState) {
        if let Some(count) = self.of(space) {
            *count += 1;
        }
    }

    fn remove(&mut self, space: &SpaceState) {
        if let Some(count) = self.of(space) {
            *count = count.saturating_sub(1);
        }
    }
}

/// The last count report of a zone without watched spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    time: Millis,
    /// `None` after the device was lost.
    occupied: Option<u32>,
}

/// What was noticed and could be noticed only here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Departures without an arrival.
    pub orphan_ends: u64,
    /// Stays that an arrival closed.
    pub inferred_ends: u64,
    /// Records older than the state of their space or zone.
    pub out_of_order: u64,
    /// Count reports above the capacity.
    pub over_capacity: u64,
    /// Stays that began.
    pub sessions: u64,
}

impl ZoneState {
    /// Applies an accepted record to the zone.
    pub(super) fn apply(
        &mut self,
        place: &Zone,
        record: &Record<'_>,
        late: bool,
        hint: &mut Hint,
        news: &mut News,
    ) {
        self.last_record = self.last_record.max(Some(record.time));
        match record.body {
            Body::Event(event_type) => self.apply_event(place, record, event_type, late, hint, news),
            Body::ZoneClosed(closed) => {
                if self.closed.is_none_or(|(since, _)| since <= record.time) {
                    self.closed = Some((record.time, closed));
                }
            }
            Body::SpaceOutOfService(out) => {
                if let Some(space) = record.space {
                    let state = self.spaces.get_or_insert_with(space, hint, SpaceState::default);
                    self.tally.remove(state);
                    state.switch(record.time, out);
                    self.tally.add(state);
                }
            }
            Body::CountCorrected(counted) => self.count(place, record, u32::try_from(counted).ok()),
            Body::Tick | Body::InputEnded | Body::Fact => {}
        }
        self.counters.sessions += news.sessions.iter().filter(|session| session.revision == 0).count() as u64;
    }

    fn apply_event(
        &mut self,
        place: &Zone,
        record: &Record<'_>,
        event_type: EventType,
        late: bool,
        hint: &mut Hint,
        news: &mut News,
    ) {
        if place.is_count_only() {
            match event_type {
                EventType::CommsLost | EventType::Decommissioned => self.count(place, record, None),
                EventType::ScheduledReport => {
                    let reported = record.occupied.and_then(|occupied| u32::try_from(occupied).ok());
                    if let Some(occupied) = reported.or(record.occupants) {
                        self.count(place, record, Some(occupied));
                    }
                }
                _ => {}
            }
            return;
        }
        let Some(sighting) = sighting(record, event_type) else { return };
        for space in watched(place, record) {
            let state = self.spaces.get_or_insert_with(space, hint, SpaceState::default);
            let counters = &mut self.counters;
            self.tally.remove(state);
            state.apply(sighting, &mut Scene { zone: place.id, space, record, late, news, counters });
            self.tally.add(state);
        }
    }

    fn count(&mut self, place: &Zone, record: &Record<'_>, occupied: Option<u32>) {
        if !place.is_count_only() {
            return;
        }
        if self.count.is_some_and(|count| record.time < count.time) {
            self.counters.out_of_order += 1;
            return;
        }
        if occupied.is_some_and(|occupied| occupied > place.capacity) {
            self.counters.over_capacity += 1;
        }
        self.count = Some(Count { time: record.time, occupied });
    }

    pub(super) fn look_ahead(&self, space: Uuid, hint: Hint) -> u64 {
        self.spaces.peek(space, hint).map_or(0, SpaceState::look_ahead)
    }

    /// How the zone stands at `watermark`.
    pub fn view(&self, place: &Zone, watermark: Millis) -> ZoneView {
        if self.is_closed() {
            return ZoneView::default();
        }
        if place.is_count_only() {
            return self.count_view(place, watermark);
        }
        let Tally { out_of_service, occupied, free } = self.tally;
        let capacity = place.capacity.saturating_sub(out_of_service);
        ZoneView { occupied, unknown: capacity.saturating_sub(occupied + free), capacity, stale_at: None }
    }

    /// Counts the spaces of a state that comes from a store.
    pub(super) fn recount(&mut self) {
        self.tally = Tally::default();
        self.spaces.values().for_each(|space| self.tally.add(space));
    }

    fn count_view(&self, place: &Zone, watermark: Millis) -> ZoneView {
        let capacity = place.capacity.saturating_sub(self.tally.out_of_service);
        let fresh = self.count.filter(|count| watermark < count.time + place.stale_after().millis());
        match fresh.and_then(|count| Some((count.occupied?, count.time))) {
            Some((occupied, time)) => {
                let stale_at = Some(time + place.stale_after().millis());
                ZoneView { occupied, unknown: 0, capacity, stale_at }
            }
            None => ZoneView { occupied: 0, unknown: capacity, capacity, stale_at: None },
        }
    }

    /// What is known of a space; `None` before the first word of it.
    pub fn space(&self, id: Uuid) -> Option<SpaceView> {
        self.spaces.get(id).map(SpaceState::view)
    }

    /// Whether the zone is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some_and(|(_, closed)| closed)
    }

    /// Newest accepted record, ms.
    pub fn last_record(&self) -> Option<Millis> {
        self.last_record
    }

    /// What was noticed.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn sighting(record: &Record<'_>, event_type: EventType) -> Option<Sighting> {
    match event_type {
        EventType::ParkStart => Some(Sighting::Arrival),
        EventType::ParkEnd => Some(Sighting::Departure),
        EventType::CommsLost | EventType::Decommissioned => Some(Sighting::Lost),
        EventType::ScheduledReport => {
            record.space?;
            let seen = record.occupied.map(|occupied| occupied > 0);
            let seen = seen.or(record.occupants.map(|occupants| occupants > 0))?;
            Some(if seen { Sighting::Present } else { Sighting::Absent })
        }
        EventType::CommsRestored | EventType::EnterArea | EventType::ExitArea => None,
    }
}

/// The spaces that a record speaks of: its own, or those that its device watches.
fn watched(place: &Zone, record: &Record<'_>) -> impl Iterator<Item = Uuid> {
    let devices = if record.space.is_some() { [].as_slice() } else { &place.devices };
    let of_device = devices.iter().filter(move |device| device.id == record.device);
    record.space.into_iter().chain(of_device.filter_map(|device| device.space))
}
