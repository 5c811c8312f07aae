//! Where every stage of a pipeline stands, and the zones that follow from it.

use std::sync::Arc;

use parking_crds::{event::Millis, inventory::Zone};
use uuid::Uuid;

use super::{ViewError, ViewSettings};
use crate::{
    domain::partitioner::partition_of_zone,
    ports::{
        event_log::{Offset, Partition, Stream, StreamPartition},
        state_store::StageKey,
    },
    rows::{ZoneDetail, ZoneRow},
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
        let partition = self.partition_of(place.id)?;
        ZoneDetail::of(place, partition.stage.tracker(), partition.watermark())
    }

    fn zone_row(&self, place: &Zone) -> Option<ZoneRow> {
        let partition = self.partition_of(place.id)?;
        ZoneRow::of(place, partition.stage.tracker(), partition.watermark())
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
