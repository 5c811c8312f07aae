//! The data folder: who may open it, and for which pipeline.
//!
//! Invariants: one process at a time (a lock that the system drops with the process); the marker
//! `pipeline.json` is written last, so a folder without it was never in use, and what an interrupted
//! first start left in it may be made again.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::ports::event_log::Partition;

/// Name of the file that tells the address of the process that has the folder open.
pub const ADDRESS_FILE: &str = "address";

const FORMAT: u32 = 1;
const LOCK: &str = "lock";
const MARKER: &str = "pipeline.json";

/// Why a data folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("data folder {0} is in use by another process")]
    InUse(PathBuf),
    /// It belongs to another pipeline.
    #[error("data folder {folder} belongs to pipeline {found}, not to {wanted}")]
    OtherPipeline {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        wanted: String,
    },
    /// It was made with another number of partitions.
    #[error(
        "data folder {folder} was made with {found} partitions, the pipeline has {wanted}: use a new folder"
    )]
    OtherPartitions {
        /// The folder.
        folder: PathBuf,
        /// The number it was made with.
        found: Partition,
        /// The pipeline's number.
        wanted: Partition,
    },
    /// It was made by another version of this program.
    #[error("data folder {folder} has format {found}, this program reads format {FORMAT}")]
    OtherFormat {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It holds files of something else.
    #[error("folder {0} holds other files and no pipeline's data: use an empty folder")]
    NotOurs(PathBuf),
    /// What it holds is not what was written.
    #[error("data folder {folder} is damaged: {reason}")]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        reason: String,
    },
    /// There is nothing in it.
    #[error("{0} holds no pipeline's data; `parking up -f … --data {0}` makes some")]
    NoData(PathBuf),
    /// The system refused.
    #[error("data folder {folder} cannot be used: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    pipeline: String,
    partitions: Partition,
}

/// A data folder that this process holds.
#[derive(Debug)]
pub(super) struct HeldFolder {
    path: PathBuf,
    marker: Marker,
    is_new: bool,
    _lock: File,
}

impl HeldFolder {
    /// Takes a folder, or says why not. A new folder counts as new until [`Self::finish`].
    pub(super) fn take(path: &Path, pipeline: &str, partitions: Partition) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { folder: path.to_owned(), source };
        let marker = Marker { format: FORMAT, pipeline: pipeline.to_owned(), partitions };
        if !is_ours_or_empty(path).map_err(io)? {
            return Err(OpenError::NotOurs(path.to_owned()));
        }
        fs::create_dir_all(path).map_err(io)?;
        let lock = File::options().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.to_owned()),
            TryLockError::Error(source) => io(source),
        })?;
        let is_new = match fs::read(path.join(MARKER)) {
            Ok(bytes) => check(path, &bytes, &marker).map(|()| false)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(io(error)),
        };
        Ok(Self { path: path.to_owned(), marker, is_new, _lock: lock })
    }

    /// Whether it has never been in use.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes the marker: from here on the folder is in use.
    pub(super) fn finish(&mut self) -> Result<(), OpenError> {
        // A marker is plain data and always has a JSON form.
        keep(&self.path, MARKER, &serde_json::to_vec(&self.marker).unwrap_or_default())?;
        self.is_new = false;
        Ok(())
    }
}

/// Whose data a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The pipeline.
    pub pipeline: String,
    /// Its partitions.
    pub partitions: Partition,
}

/// Looks at a folder without taking it.
pub fn describe(path: &Path) -> Result<Description, OpenError> {
    let bytes = match fs::read(path.join(MARKER)) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(OpenError::NoData(path.to_owned()));
        }
        Err(source) => return Err(OpenError::Io { folder: path.to_owned(), source }),
    };
    let found = read_marker(path, &bytes)?;
    Ok(Description { pipeline: found.pipeline, partitions: found.partitions })
}

/// Writes a small file whole or not at all.
pub(super) fn keep(folder: &Path, name: &str, body: &[u8]) -> Result<(), OpenError> {
    let write = || {
        let draft = folder.join(format!("{name}.new"));
        let mut file = File::create(&draft)?;
        file.write_all(body)?;
        file.sync_all()?;
        fs::rename(draft, folder.join(name))?;
        sync_folder(folder)
    };
    write().map_err(|source| OpenError::Io { folder: folder.to_owned(), source })
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn is_ours_or_empty(path: &Path) -> io::Result<bool> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    Ok(path.join(LOCK).try_exists()? || entries.next().is_none())
}

fn check(folder: &Path, bytes: &[u8], wanted: &Marker) -> Result<(), OpenError> {
    let found = read_marker(folder, bytes)?;
    let folder = folder.to_owned();
    if found.pipeline != wanted.pipeline {
        let (found, wanted) = (found.pipeline, wanted.pipeline.clone());
        return Err(OpenError::OtherPipeline { folder, found, wanted });
    }
    if found.partitions != wanted.partitions {
        let (found, wanted) = (found.partitions, wanted.partitions);
        return Err(OpenError::OtherPartitions { folder, found, wanted });
    }
    Ok(())
}

fn read_marker(folder: &Path, bytes: &[u8]) -> Result<Marker, OpenError> {
    let folder = folder.to_owned();
    let found: Marker = match serde_json::from_slice(bytes) {
        Ok(found) => found,
        Err(error) => return Err(OpenError::Damaged { folder, reason: format!("{MARKER}: {error}") }),
    };
    if found.format != FORMAT {
        return Err(OpenError::OtherFormat { folder, found: found.format });
    }
    Ok(found)
}
