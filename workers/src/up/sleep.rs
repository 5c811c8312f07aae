//! When the archive may sleep: a note of how all stood when nothing was left to do.
//!
//! Invariant: the note is a hint and never a position. It names the log, its ends, the lake's versions and
//! the inventory of that moment; where one of them differs, or it cannot be read, the archive looks at
//! the lake as always. Asleep it holds no table in memory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Pipeline;
use crate::{
    adapters::{embedded::DataFolder, lake::DeltaLake},
    ports::{
        PortResult,
        event_log::{EventLog, Offset, Stream, StreamPartition, all_bounds},
        lake::Table,
    },
};

const FILE: &str = "archived.json";

/// All that decides whether the archive has work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    log_id: Uuid,
    ends: Vec<Vec<Offset>>,
    /// Newest entry of each table's log.
    versions: Vec<Option<String>>,
    revisions: usize,
}

/// Reads, keeps and compares standings.
pub(super) struct Sleep {
    folder: DataFolder,
    log: Arc<dyn EventLog>,
    lake: Arc<DeltaLake>,
    note: PathBuf,
    revisions: usize,
}

impl Sleep {
    pub(super) fn new(pipeline: &Pipeline<'_>, lake: &Arc<DeltaLake>) -> Self {
        Self {
            folder: pipeline.folder.clone(),
            log: Arc::clone(&pipeline.ports.log),
            lake: Arc::clone(lake),
            note: pipeline.options.data.join(FILE),
            revisions: pipeline.deployment.inventory.revisions().len(),
        }
    }

    /// How all stands now.
    pub(super) async fn standing(&self) -> PortResult<Standing> {
        let (mut log_id, mut ends) = (Uuid::nil(), Vec::with_capacity(Stream::ALL.len()));
        for stream in Stream::ALL {
            log_id = self.log.log_id(stream).await?;
            let bounds = all_bounds(self.log.as_ref(), stream, self.lake.partitions()).await?;
            ends.push(bounds.into_iter().map(|bounds| bounds.end).collect());
        }
        let versions = Table::ALL.map(|table| newest_entry(&self.lake.folder(table)?)).into();
        Ok(Standing { log_id, ends, versions, revisions: self.revisions })
    }

    /// Whether the last run left nothing to do at this standing.
    pub(super) fn was_done_at(&self, standing: &Standing) -> bool {
        let note = fs::read(&self.note).ok();
        note.and_then(|bytes| serde_json::from_slice::<Standing>(&bytes).ok()).as_ref() == Some(standing)
    }

    /// Notes that nothing is left to do.
    pub(super) fn done_at(&self, standing: &Standing) {
        // Plain data always has a JSON form.
        let bytes = serde_json::to_vec(standing).unwrap_or_default();
        if let Err(error) = self.folder.keep(FILE, &bytes) {
            tracing::warn!("the next start will look at every table: {error}");
        }
    }

    /// Completes when something was appended since.
    pub(super) async fn until_after(&self, standing: &Standing) {
        let ends = Stream::ALL.into_iter().zip(&standing.ends);
        let places = ends.flat_map(|(stream, ends)| {
            (0..).zip(ends).map(move |(partition, end)| (StreamPartition { stream, partition }, *end))
        });
        let arrival = |(at, end)| {
            let log = Arc::clone(&self.log);
            async move { log.arrived(at, end).await }
        };
        let mut arrivals: JoinSet<_> = places.map(arrival).collect();
        // Whatever ends a wait is a reason to look.
        let _ = arrivals.join_next().await;
    }
}

fn newest_entry(table: &Path) -> Option<String> {
    let entries = fs::read_dir(table.join("_delta_log")).ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "json")).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded;

    async fn append(log: &dyn EventLog) {
        let at = StreamPartition { stream: Stream::Alerts, partition: 1 };
        log.append(vec![(at, ["x"].into_iter().collect())]).await.unwrap();
    }

    fn sleep(data: &Path) -> Sleep {
        let folder = embedded::open(data, "city", 2).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(folder.event_log());
        let lake = Arc::new(DeltaLake::open(folder.lake_path(), "log", 2).unwrap());
        Sleep { folder, log, lake, note: data.join(FILE), revisions: 1 }
    }

    #[tokio::test]
    async fn only_the_very_standing_that_was_noted_lets_the_archive_sleep() {
        let data = tempfile::tempdir().unwrap();
        let mut sleep = sleep(data.path());
        let standing = sleep.standing().await.unwrap();
        assert!(!sleep.was_done_at(&standing), "nothing was noted yet");
        sleep.done_at(&standing);
        assert!(sleep.was_done_at(&sleep.standing().await.unwrap()));

        sleep.revisions = 2;
        assert!(!sleep.was_done_at(&sleep.standing().await.unwrap()), "the inventory has grown");
        sleep.revisions = 1;
        let entries = sleep.lake.folder(Table::Alerts).unwrap().join("_delta_log");
        fs::create_dir_all(&entries).unwrap();
        fs::write(entries.join("00000000000000000000.json"), "").unwrap();
        assert!(!sleep.was_done_at(&sleep.standing().await.unwrap()), "the lake has another version");
        fs::remove_dir_all(&entries).unwrap();
        assert!(sleep.was_done_at(&sleep.standing().await.unwrap()));
        append(sleep.log.as_ref()).await;
        assert!(!sleep.was_done_at(&sleep.standing().await.unwrap()), "the log has grown");

        fs::write(&sleep.note, "{").unwrap();
        assert!(!sleep.was_done_at(&standing), "a note that cannot be read is none");
    }

    #[tokio::test]
    async fn a_record_of_any_stream_ends_the_sleep() {
        let data = tempfile::tempdir().unwrap();
        let sleep = sleep(data.path());
        let standing = sleep.standing().await.unwrap();
        let log = Arc::clone(&sleep.log);
        let ((), ()) = tokio::join!(sleep.until_after(&standing), append(log.as_ref()));
        assert_ne!(sleep.standing().await.unwrap(), standing);
    }
}
