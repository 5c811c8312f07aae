//! The bench's own data folders: made new, filled, and gone when they are dropped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    BenchError,
    gauge::{Spent, Stopwatch},
    scenario::{Feed, NAME, PARTITIONS},
};
use crate::{
    adapters::embedded::{self, DataFolder},
    ports::event_log::EventLog,
};

/// Records of one append: several MiB, as a busy producer sends them.
pub(super) const APPEND_RECORDS: u64 = 20_000;

/// A folder that goes away with the value.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new folder inside `parent`.
    pub(super) fn new(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("parking-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), "the bench's folder stays behind: {error}");
        }
    }
}

/// Opens the data folder of the bench's pipeline.
pub(super) fn open(path: &Path) -> Result<DataFolder, BenchError> {
    Ok(embedded::open(path, NAME, PARTITIONS)?)
}

/// What was appended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Appends `records` records, and tells what the appends alone took.
pub(super) async fn fill(
    log: &dyn EventLog,
    feed: &mut Feed,
    records: u64,
) -> Result<(Filled, Vec<Spent>), BenchError> {
    let (mut filled, mut spent) = (Filled::default(), Vec::new());
    while filled.records < records {
        let parts = feed.take(APPEND_RECORDS.min(records - filled.records));
        if parts.is_empty() {
            break;
        }
        filled.records += parts.iter().map(|(_, part)| part.len() as u64).sum::<u64>();
        filled.bytes += parts.iter().map(|(_, part)| part.bytes().len() as u64).sum::<u64>();
        let watch = Stopwatch::start();
        log.append(parts).await?;
        spent.push(watch.stop());
    }
    Ok((filled, spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_goes_away_with_the_value() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::new(parent.path(), "x").unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
