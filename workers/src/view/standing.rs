//! Where every stage of a pipeline stands, and the zones that follow from it.

use std::sync::Arc;

use parking_crds::{event::Millis, inventory::Zone};
use uuid::Uuid;

use super::{SpaceRow, SpaceStatus, ViewError, ViewSettings, ZoneDetail, ZoneRow, instant};
use crate::{
    domain::{
        partitioner::partition_of_zone,
        track::{Presence, SpaceView, ZoneState},
    },
    ports::{
        event_log::{Offset, Partition, Stream, StreamPartition},
        state_store::StageKey,
    },
    runtime::{
        occupancy::{Occupancy, Totals},
        role::{Duty, RoleStage, Together},
        stage::Stage,
    },
};

/// One partition.
#[derive(Debug)]
pub struct PartitionStanding {
    /// The partition.
    pub partition: Partition,
    /// Offset after its last event.
    pub end: Offset,
    /// First event that is not committed.
    next: Offset,
    stage: RoleStage<Occupancy>,
}

impl PartitionStanding {
    /// Events that are not committed.
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    /// Verdicts so far.
    pub fn totals(&self) -> &Totals {
        self.stage.duty().totals()
    }

    /// How far event time has come, ms.
    pub fn watermark(&self) -> Option<Millis> {
        self.stage.watermark()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Standing {
    partitions: Vec<PartitionStanding>,
    inventory: Arc<parking_crds::inventory::Inventory>,
}

impl Standing {
    pub(super) async fn read(settings: &ViewSettings) -> Result<Self, ViewError> {
        let mut partitions = Vec::new();
        for partition in 0..settings.partitions {
            let at = StreamPartition { stream: Stream::Events, partition };
            let end = settings.ports.log.bounds(at).await?.end;
            partitions.push(read_partition(settings, partition, end).await?);
        }
        Ok(Self { partitions, inventory: Arc::clone(&settings.inventory) })
    }

    /// All partitions.
    pub fn partitions(&self) -> &[PartitionStanding] {
        &self.partitions
    }

    /// Every zone of the inventory, in its order.
    pub fn zones(&self) -> Vec<ZoneRow> {
        self.inventory.latest().zones().iter().filter_map(|zone| self.zone_row(zone)).collect()
    }

    /// One zone, by its id or the city's code.
    pub fn zone(&self, name: &str) -> Option<ZoneDetail> {
        let id = name.parse::<Uuid>().ok();
        let zones = self.inventory.latest().zones();
        let place = zones.iter().find(|zone| Some(zone.id) == id || zone.user_zone_id == name)?;
        let state = self.state(place.id);
        let spaces = place.spaces.iter().map(|space| {
            let known = state.and_then(|state| state.space(space.id));
            SpaceRow {
                space_id: space.id,
                number: space.number.clone(),
                state: known.map_or(SpaceStatus::Unknown, status),
                since: known.and_then(|view| view.since).map(instant),
            }
        });
        Some(ZoneDetail {
            zone: self.zone_row(place)?,
            name: place.name.clone(),
            class: place.class.clone(),
            closed: state.is_some_and(ZoneState::is_closed),
            spaces: spaces.collect(),
        })
    }

    fn zone_row(&self, place: &Zone) -> Option<ZoneRow> {
        let partition = self.partition_of(place.id)?;
        let watermark = partition.watermark().unwrap_or(Millis::MIN);
        let view = partition.stage.tracker().view(place.id, watermark)?;
        let known = view.capacity.saturating_sub(view.unknown);
        Some(ZoneRow {
            zone: place.user_zone_id.clone(),
            zone_id: place.id,
            capacity: view.capacity,
            occupied: (known > 0).then_some(view.occupied),
            unknown: view.unknown,
            occupancy: (known > 0).then(|| f64::from(view.occupied) / f64::from(known)),
            as_of: self.state(place.id).and_then(ZoneState::last_record).map(instant),
        })
    }

    fn state(&self, zone: Uuid) -> Option<&ZoneState> {
        self.partition_of(zone)?.stage.tracker().state(zone)
    }

    fn partition_of(&self, zone: Uuid) -> Option<&PartitionStanding> {
        let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        self.partitions.get(partition_of_zone(zone, count) as usize)
    }
}

async fn read_partition(
    settings: &ViewSettings,
    partition: Partition,
    end: Offset,
) -> Result<PartitionStanding, ViewError> {
    let role = Together::ROLE;
    let mut stage = RoleStage::new(settings.limits, &settings.inventory, Occupancy::default());
    let stored = settings.ports.store.peek(&StageKey { role, partition }).await?;
    let next = stored.as_ref().map_or(0, |stored| stored.next_offset);
    if let Some(stored) = stored {
        let unreadable = |source| ViewError::State { role, partition, source };
        stage.restore(&stored.blocks).map_err(unreadable)?;
    }
    Ok(PartitionStanding { partition, end, next, stage })
}

fn status(view: SpaceView) -> SpaceStatus {
    match (view.out_of_service, view.presence) {
        (true, _) => SpaceStatus::OutOfService,
        (_, Presence::Unknown) => SpaceStatus::Unknown,
        (_, Presence::Free) => SpaceStatus::Free,
        (_, Presence::Occupied) => SpaceStatus::Occupied,
    }
}
