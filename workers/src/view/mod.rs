//! How a pipeline stands: zones, spaces and alerts, read from what its stages stored.
//!
//! Must not change anything, and must not know who asks. Invariants: it shows the last commit, never a
//! state that a crash could take back; however many ask, the store is read at most twice a second.

mod alerts;
mod standing;

use std::sync::Arc;

use parking_crds::{duration::Duration, event::Millis, inventory::Inventory};
use tokio::sync::Mutex;

pub use alerts::AlertFilter;
pub use standing::{PartitionStanding, Standing};

use self::alerts::AlertBook;
use crate::{
    domain::verdict::EventLimits,
    ports::{PortError, event_log::Partition},
    rows::AlertRow,
    runtime::stage::{BoxError, StagePorts},
};

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Stored state cannot be read.
    #[error("the state of {role}/{partition} cannot be read: {source}")]
    State {
        /// The role.
        role: &'static str,
        /// The partition.
        partition: Partition,
        /// Why.
        source: BoxError,
    },
}

/// What a view is made from.
#[derive(Clone)]
pub struct ViewSettings {
    /// Where state and streams are.
    pub ports: StagePorts,
    /// The pipeline's inventory.
    pub inventory: Arc<Inventory>,
    /// The pipeline's limits.
    pub limits: EventLimits,
    /// Number of partitions.
    pub partitions: Partition,
}

/// See the module.
pub struct View {
    settings: ViewSettings,
    standing: Mutex<Option<(Millis, Arc<Standing>)>>,
    alerts: Mutex<AlertBook>,
}

/// How long a standing is shown before it is read anew.
const FRESH: Duration = Duration::from_millis(500);

impl View {
    /// A view of a pipeline.
    pub fn new(settings: ViewSettings) -> Self {
        let alerts = Mutex::new(AlertBook::new(settings.partitions));
        Self { settings, standing: Mutex::default(), alerts }
    }

    /// Zones, verdicts and positions.
    pub async fn standing(&self) -> Result<Arc<Standing>, ViewError> {
        let mut cached = self.standing.lock().await;
        let now = self.settings.ports.clock.monotonic();
        if let Some((read, standing)) = cached.as_ref()
            && now - read < FRESH.millis()
        {
            return Ok(Arc::clone(standing));
        }
        let standing = Arc::new(Standing::read(&self.settings).await?);
        *cached = Some((now, Arc::clone(&standing)));
        Ok(standing)
    }

    /// Alerts that pass the filter: those that are firing first, then the newest first.
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Vec<AlertRow>, ViewError> {
        let mut book = self.alerts.lock().await;
        book.read_on(self.settings.ports.log.as_ref(), &self.settings.inventory).await?;
        Ok(book.list(filter))
    }
}
