//! Delivery of alerts: reads the `alerts` stream for one route and tells what the route is for.
//!
//! Must not lose a notification: a position moves only after its deliveries were answered (at least once,
//! known by their keys). Invariants: one route that fails holds back no other; more than a route takes a
//! minute wait, none is dropped; one that the receiver refuses for good is logged and passed over; where it is
//! not known any more what was told, the alerts that fire now are told, and nothing that is over. The stream also
//! carries watermarks, which are no alerts.
//!
//! The work is cut into slots: a group of alerts on a route belongs to one of them, and whoever owns the slot tells
//! it, out of all partitions.

mod outlet;
mod positions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_crds::duration::Duration;
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use self::positions::Unknown;
pub use self::{
    outlet::{Counts, Outlet, Totals},
    positions::Positions,
};
use crate::{
    domain::{
        alert::{AlertRecord, AlertStatus},
        notify::{Routing, idempotency_key},
    },
    ports::{
        PortResult,
        event_log::{Fetched, Offset, Partition, Stream, StreamPartition},
        notifier::Notification,
    },
    runtime::stage::StagePorts,
};

/// The role, as stores name it.
pub const ROLE: &str = "notify";
const READ_BYTES: usize = 1 << 18;

/// The slots of the work, and those that are this process's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many there are.
    pub count: Partition,
    /// Which of them are owned.
    pub owned: BTreeSet<Partition>,
}

impl Slots {
    /// All work in one hand.
    pub fn one() -> Self {
        Self { count: 1, owned: [0].into() }
    }

    /// The slot of a group of alerts on a route.
    fn of(&self, route: &str, group: &str) -> Partition {
        let hash = xxh3_64(format!("{route}/{group}").as_bytes());
        // Below the count, which fits.
        Partition::try_from(hash % u64::from(self.count.max(1))).unwrap_or_default()
    }
}

/// Tells the alerts of one partition on one route.
pub struct Delivery {
    /// Where alerts are read and time is told.
    pub ports: StagePorts,
    /// Which alerts are told.
    pub routing: Arc<Routing>,
    /// Which of them are told from here.
    pub slots: Slots,
    /// How far it is.
    pub positions: Arc<Positions>,
    /// Who is told.
    pub outlet: Arc<Outlet>,
    /// What is read.
    pub partition: Partition,
    /// How long a rule is waited for that fires and is not known yet; nothing where rules come with the process.
    pub late_rules: Option<Duration>,
}

/// An alert that is to be told.
struct Told {
    slot: Partition,
    notification: Notification,
}

impl Delivery {
    /// Delivers without end.
    pub async fn run(&self) -> PortResult<()> {
        loop {
            if !self.round().await? {
                self.wait().await?;
            }
        }
    }

    /// Delivers what is there; answers whether something was read.
    pub async fn round(&self) -> PortResult<bool> {
        if let Some(unknown) = self.positions.unknown(&self.outlet.route, self.partition).await {
            self.recover(&unknown).await?;
        }
        let next = self.positions.next(&self.outlet.route, self.partition).await;
        let fetched = self.ports.log.read(self.source(), next, READ_BYTES).await?;
        if fetched.records.is_empty() {
            return Ok(false);
        }
        self.deliver_all(&fetched).await?;
        Ok(true)
    }

    /// Completes when there is something to read.
    pub async fn wait(&self) -> PortResult<()> {
        let next = self.positions.next(&self.outlet.route, self.partition).await;
        self.ports.log.arrived(self.source(), next).await
    }

    fn source(&self) -> StreamPartition {
        StreamPartition { stream: Stream::Alerts, partition: self.partition }
    }

    async fn deliver_all(&self, fetched: &Fetched) -> PortResult<()> {
        let route = &self.outlet.route;
        for (offset, record) in fetched.iter() {
            let Ok(alert) = serde_json::from_slice::<AlertRecord>(record) else { continue };
            self.wait_for_rule(&alert).await;
            let Some(Told { slot, notification }) = self.told(&alert, record, false) else { continue };
            if self.positions.wants(slot, route, self.partition, offset).await {
                let _answered = self.outlet.deliver(&notification, self.ports.clock.as_ref()).await;
                self.positions.answered(slot, route, self.partition, offset + 1).await?;
            }
        }
        self.positions.passed(route, self.partition, fetched.next_offset()).await;
        Ok(())
    }

    /// An alert may come before its rule, which other workers had a little earlier. With newer rules all deliveries are
    /// begun anew, and meet the alert again.
    async fn wait_for_rule(&self, alert: &AlertRecord) {
        let Some(patience) = self.late_rules else { return };
        // Of a rule that was deleted nothing fires any more.
        if alert.state != AlertStatus::Resolved && !self.routing.knows(alert) {
            tracing::info!(rule = &*alert.rule, "an alert waits for its rule, which is not known here yet");
            self.ports.clock.pause(patience).await;
        }
    }

    /// What the alert is to the route.
    fn told(&self, alert: &AlertRecord, record: &[u8], recovered: bool) -> Option<Told> {
        let route = &self.outlet.route;
        if !self.routing.tells(route, alert) {
            return None;
        }
        let notification = Notification {
            idempotency_key: idempotency_key(alert, route),
            route: route.clone(),
            recovered,
            alert: serde_json::from_slice::<Box<RawValue>>(record).ok()?,
        };
        // An alert is a group of its own.
        Some(Told { slot: self.slots.of(route, &alert.alert_id.to_string()), notification })
    }

    /// Tells what fires, for slots that do not know what was told.
    async fn recover(&self, Unknown { slots, end }: &Unknown) -> PortResult<()> {
        let firing = self.firing(*end).await?;
        let route = &self.outlet.route;
        let told = firing.values().filter_map(|(alert, record)| self.told(alert, record, true));
        let told: Vec<Told> = told.filter(|told| slots.contains(&told.slot)).collect();
        tracing::warn!(
            route,
            partition = self.partition,
            firing = told.len(),
            "it is not known what was told: telling the alerts that fire, and nothing that is over"
        );
        for Told { notification, .. } in &told {
            drop(self.outlet.deliver(notification, self.ports.clock.as_ref()).await);
        }
        self.positions.recovered(route, self.partition).await
    }

    /// The newest record before the end of each alert that is not over, in their order.
    async fn firing(&self, end: Offset) -> PortResult<BTreeMap<Offset, (AlertRecord, Vec<u8>)>> {
        let mut next = self.ports.log.bounds(self.source()).await?.start;
        let (mut newest, mut firing) = (BTreeMap::<Uuid, Offset>::new(), BTreeMap::new());
        while next < end {
            let fetched = self.ports.log.read(self.source(), next, READ_BYTES).await?;
            for (offset, record) in fetched.iter().take_while(|(offset, _)| *offset < end) {
                let Ok(alert) = serde_json::from_slice::<AlertRecord>(record) else { continue };
                if let Some(before) = newest.remove(&alert.alert_id) {
                    firing.remove(&before);
                }
                if alert.state != AlertStatus::Resolved {
                    newest.insert(alert.alert_id, offset);
                    firing.insert(offset, (alert, record.to_vec()));
                }
            }
            if fetched.records.is_empty() {
                break;
            }
            next = fetched.next_offset();
        }
        Ok(firing)
    }
}

#[cfg(test)]
mod tests;
