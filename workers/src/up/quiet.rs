//! What a running pipeline gives back when nothing arrives.
//!
//! Must not hold up a role: it looks from time to time, and whoever works has changed what it looks at.

use std::sync::Arc;

use parking_crds::duration::Duration;
use tokio::task::JoinSet;

use super::Pipeline;
use crate::{adapters::embedded::DataFolder, ports::clock::Clock};

const LOOK: Duration = Duration::from_secs(2);

/// Looks until the set is dropped.
pub(super) fn start(pipeline: &Pipeline<'_>) -> JoinSet<()> {
    JoinSet::from_iter([watch(pipeline.folder.clone(), Arc::clone(&pipeline.ports.clock))])
}

async fn watch(folder: DataFolder, clock: Arc<dyn Clock>) {
    let mut before = folder.unsettled_bytes();
    loop {
        clock.pause(LOOK).await;
        if folder.unsettled_bytes() == before {
            folder.settle().await;
        }
        before = folder.unsettled_bytes();
    }
}
