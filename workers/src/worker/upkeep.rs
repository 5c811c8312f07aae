//! What the lake needs beside its rows: maintenance, and the index that others read instead of tables.
//!
//! Must not hold up the archive. Invariant: it is done by the owner of partition 0; were two of them owners for a
//! moment, each would do what the other does.

use std::sync::Arc;

use parking_crds::{duration::Duration, inventory::Inventory};
use tokio::task::JoinSet;

use crate::{
    adapters::lake::{DeltaLake, IndexWriter, Maintenance, MaintenanceSettings},
    ports::{
        clock::Clock,
        event_log::{Stream, StreamPartition},
    },
    runtime::standing::ShareBoard,
    sentence::sentence,
};

/// How often the index is compared with the tables.
const INDEX: Duration = Duration::from_secs(5);
/// How often tables are maintained.
const MAINTENANCE: Duration = Duration::from_secs(3_600);

/// Goes on until the set is dropped.
#[expect(clippy::disallowed_methods, reason = "the composition root is where tasks begin")]
pub(super) fn start(
    lake: &Arc<DeltaLake>,
    inventory: &Arc<Inventory>,
    clock: &Arc<dyn Clock>,
    board: ShareBoard,
    settings: MaintenanceSettings,
) -> JoinSet<()> {
    let has_spaces = inventory
        .revisions()
        .iter()
        .any(|revision| revision.zones().iter().any(|zone| !zone.spaces.is_empty()));
    let writer = IndexWriter::new(Arc::clone(lake), has_spaces);
    let maintenance = Maintenance::new(Arc::clone(lake), Arc::clone(clock), settings);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_index(writer, Arc::clone(clock), board.clone()));
    tasks.spawn(maintain(maintenance, Arc::clone(clock), board));
    tasks
}

fn is_ours(board: &ShareBoard) -> bool {
    board.has(StreamPartition { stream: Stream::Events, partition: 0 })
}

async fn keep_index(mut writer: IndexWriter, clock: Arc<dyn Clock>, board: ShareBoard) {
    loop {
        clock.pause(INDEX).await;
        if is_ours(&board)
            && let Err(error) = writer.write().await
        {
            tracing::warn!("statistics wait for the index of the lake: {}", sentence(&error));
        }
    }
}

async fn maintain(maintenance: Maintenance, clock: Arc<dyn Clock>, board: ShareBoard) {
    loop {
        clock.pause(MAINTENANCE).await;
        if !is_ours(&board) {
            continue;
        }
        for (table, done) in maintenance.run().await {
            match done {
                Ok(done) => tracing::info!(table = table.as_str(), "maintained: {done:?}"),
                Err(error) => {
                    tracing::warn!(table = table.as_str(), "not maintained: {}", sentence(&error));
                }
            }
        }
    }
}
