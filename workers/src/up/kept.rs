//! What a data folder keeps of the deployment that ran on it, so that it can be looked at without its
//! manifests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_crds::inventory::{Inventory, InventoryError};
use serde::{Deserialize, Serialize};

use crate::{
    adapters::embedded::{self, DataFolder, OpenError, SystemClock},
    deployment::Deployment,
    domain::verdict::EventLimits,
    runtime::stage::StagePorts,
    view::{View, ViewSettings},
};

const FILE: &str = "deployment.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    limits: EventLimits,
    inventory: String,
}

/// Why a data folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What it keeps of its deployment cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The inventory that it keeps is none.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}

/// Keeps what [`open_view`] needs.
pub(super) fn keep(folder: &DataFolder, deployment: &Deployment) -> Result<(), OpenError> {
    let kept = Kept { limits: deployment.limits(), inventory: deployment.inventory_text.clone() };
    // Plain data always has a JSON form.
    folder.keep(FILE, &serde_json::to_vec(&kept).unwrap_or_default())
}

/// Opens a data folder that no process has open, to look at it.
pub fn open_view(data: &Path) -> Result<View, KeptError> {
    let described = embedded::describe(data)?;
    let folder = embedded::open(data, &described.pipeline, described.partitions)?;
    let path = data.join(FILE);
    let unreadable = |reason: String| KeptError::Unreadable { path: path.clone(), reason };
    let bytes = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok(View::new(ViewSettings {
        ports: StagePorts {
            log: Arc::new(folder.event_log()),
            store: Arc::new(folder.state_store()),
            clock: Arc::new(SystemClock::new()),
        },
        inventory: Arc::new(Inventory::parse(&kept.inventory)?),
        limits: kept.limits,
        partitions: described.partitions,
    }))
}
