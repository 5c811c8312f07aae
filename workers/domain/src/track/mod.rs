//! Occupancy: how every zone of a partition stands, and the stays that follow from it.
//!
//! Must not judge records (that is [`verdict`](super::verdict)) or know of stores and streams.
//!
//! Invariants: per space `(event_time, boot_id, seq)` decides: an older event never overwrites newer
//! state, it repairs the session (a new revision). What nobody knows is unknown, never free (G6).

mod session;
mod space;
mod zone;

use std::sync::Arc;

use bytes::Bytes;
use parking_crds::{
    event::{EventType, Millis, SourceType},
    inventory::Inventory,
};
use uuid::Uuid;

pub use session::{EndKind, SessionRecord, SessionRecordType};
pub use space::{Presence, SpaceView};
pub use zone::{Counters, ZoneState};

use super::{
    hints::Hints,
    id_map::IdMap,
    observation::{DeviceSignal, DeviceState, SessionChange, ZoneView},
    record::{Body, Record},
    verdict::encode_again,
};
use crate::block_key::BlockKey;

/// Tracks the zones of one partition.
#[derive(Clone, Debug)]
pub struct Tracker {
    inventory: Arc<Inventory>,
    zones: IdMap<KnownZone>,
    /// Zones of which `changed` is set.
    changed: Vec<Uuid>,
    news: News,
}

/// A zone, and whether a store has it as it is.
#[derive(Clone, Debug, Default)]
struct KnownZone {
    state: ZoneState,
    changed: bool,
    /// Of its last block.
    bytes: usize,
}

/// What one record brought about; buffers are used again for the next.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// For rules: what became of stays.
    pub changes: Vec<SessionChange>,
    /// For the `sessions` stream.
    pub sessions: Vec<SessionRecord>,
}

/// A zone after a record.
#[derive(Debug)]
pub struct Tracked<'a> {
    /// The zone.
    pub zone: Uuid,
    /// Whether this is the first record of it.
    pub first: bool,
    /// How it stands.
    pub view: ZoneView,
    /// What the record brought about.
    pub news: &'a News,
    /// The device that spoke.
    pub device: Option<DeviceSignal>,
}

impl Tracker {
    /// Class of its blocks, one per zone.
    pub const CLASS: u8 = 8;

    /// A tracker that knows nothing yet.
    pub fn new(inventory: Arc<Inventory>) -> Self {
        Self { inventory, zones: IdMap::default(), changed: Vec::new(), news: News::default() }
    }

    /// Applies an accepted record; `None` for records without a zone of the inventory. The hints are those
    /// of its device.
    pub fn apply(
        &mut self,
        record: &Record<'_>,
        late: bool,
        watermark: Millis,
        hints: &mut Hints,
    ) -> Option<Tracked<'_>> {
        let id = record.zone?;
        let place = hints.zone(self.inventory.at(record.time), id)?;
        let known = self.zones.get_or_insert_with(id, &mut hints.state.0, KnownZone::default);
        if !std::mem::replace(&mut known.changed, true) {
            self.changed.push(id);
        }
        let zone = &mut known.state;
        self.news.changes.clear();
        self.news.sessions.clear();
        let first = zone.last_record().is_none();
        zone.apply(place, record, late, &mut hints.state.1, &mut self.news);
        Some(Tracked {
            zone: id,
            first,
            view: zone.view(place, watermark),
            news: &self.news,
            device: signal(record),
        })
    }

    /// Looks at what [`Tracker::apply`] will touch, so that memory brings it; the answer means nothing.
    pub fn look_ahead(&self, record: &Record<'_>, hints: &Hints) -> u64 {
        let zone = record.zone.and_then(|zone| self.zones.peek(zone, hints.state.0));
        zone.zip(record.space).map_or(0, |(zone, space)| zone.state.look_ahead(space, hints.state.1))
    }

    /// How a zone stands at `watermark`; unknown while nothing was heard of it.
    pub fn view(&self, zone: Uuid, watermark: Millis) -> Option<ZoneView> {
        let place = self.inventory.at(watermark).zone(zone)?;
        Some(self.zones.get(zone).map_or_else(
            || ZoneState::default().view(place, watermark),
            |known| known.state.view(place, watermark),
        ))
    }

    /// Every revision of the zones.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Zones of which something was heard.
    pub fn zones(&self) -> impl Iterator<Item = (Uuid, &ZoneState)> {
        self.zones.iter().map(|(id, known)| (id, &known.state))
    }

    /// What was heard of a zone.
    pub fn state(&self, zone: Uuid) -> Option<&ZoneState> {
        self.zones.get(zone).map(|known| &known.state)
    }

    /// Blocks that changed since the last call.
    pub fn changed_blocks(&mut self) -> Vec<(BlockKey, Option<Bytes>)> {
        let zones = &mut self.zones;
        let block = |id: Uuid| {
            let key = BlockKey { class: Self::CLASS, id: id.as_u128() };
            let known = zones.get_mut(id)?;
            let block = encode_again(&known.state, known.bytes);
            (known.changed, known.bytes) = (false, block.len());
            Some((key, Some(block)))
        };
        self.changed.drain(..).filter_map(block).collect()
    }

    /// Takes one stored block back; blocks of other classes are left alone.
    pub fn restore_block(&mut self, key: BlockKey, bytes: &[u8]) -> Result<(), postcard::Error> {
        if key.class == Self::CLASS {
            let mut known = KnownZone { state: postcard::from_bytes(bytes)?, ..KnownZone::default() };
            known.state.recount();
            self.zones.insert(Uuid::from_u128(key.id), known);
        }
        Ok(())
    }
}

fn signal(record: &Record<'_>) -> Option<DeviceSignal> {
    let Body::Event(event_type) = record.body else { return None };
    let state = match event_type {
        EventType::CommsLost => DeviceState::Lost,
        EventType::Decommissioned => DeviceState::Decommissioned,
        _ if record.online == Some(false) => DeviceState::Lost,
        _ => DeviceState::Alive,
    };
    let source_type = record.source_type.unwrap_or(SourceType::Other);
    Some(DeviceSignal { id: record.device, source_type, state })
}

#[cfg(test)]
mod tests;
