//! Rows of alerts that are raised.

use bytes::Bytes;
use parking_crds::inventory::Inventory;

use super::{Changed, LiveRow, json};
use crate::{
    domain::alert::{AlertRecord, AlertStatus},
    rows::AlertRow,
};

/// See the module.
#[derive(Debug, Default)]
pub struct LiveAlerts {
    noted: Option<Changed<Option<Bytes>>>,
}

impl LiveAlerts {
    /// Begins to note changes; these are raised, and count as changed.
    pub fn note<'a>(&mut self, raised: impl Iterator<Item = &'a AlertRecord>, inventory: &Inventory) {
        self.noted = Some(Changed::default());
        raised.for_each(|alert| self.told(alert, inventory));
    }

    /// An alert changed.
    pub fn told(&mut self, alert: &AlertRecord, inventory: &Inventory) {
        let Some(noted) = &mut self.noted else { return };
        let row = match alert.state {
            AlertStatus::Firing | AlertStatus::NoData => json(&AlertRow::of(alert, inventory)),
            AlertStatus::Resolved => None,
        };
        noted.insert(alert.alert_id, row);
    }

    /// Whether some row changed.
    pub fn has_changed(&self) -> bool {
        self.noted.as_ref().is_some_and(|noted| !noted.is_empty())
    }

    /// Takes the next row that changed.
    pub fn take_next(&mut self) -> Option<LiveRow> {
        self.noted.as_mut()?.take_next()
    }
}
