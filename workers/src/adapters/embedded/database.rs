//! One database per data folder: opening it, its keyspaces, and what its errors mean to callers.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use parking_crds::duration::Duration;
use tokio::{
    sync::{mpsc, watch},
    task,
};
use uuid::Uuid;

use super::{
    batch,
    clock::SystemClock,
    event_log::EmbeddedEventLog,
    folder::{self, HeldFolder, OpenError},
    journal, keys,
    object_store::FolderObjectStore,
    state_store::EmbeddedStateStore,
    writer::{self, Work},
};
use crate::{
    adapters::outbox::stream_number,
    ports::{
        ErrorKind, PortError,
        clock::Clock,
        event_log::{Offset, Partition, Stream, StreamPartition},
    },
};

/// Journals are replayed at a start, so their size bounds its time.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;
/// A table keeps about this much in memory until it is flushed.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Less than this in memory is not worth a table of its own.
const SETTLE_BYTES: u64 = 4 * 1024 * 1024;
const SETTLE_LOOK: Duration = Duration::from_millis(10);
const SETTLE_LOOKS: u32 = 100;
/// What waits for the writer before callers wait too.
const QUEUE: usize = 64;

/// Tables of the database.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) database: Database,
    pub(super) records: Keyspace,
    pub(super) blocks: Keyspace,
    pub(super) outbox: Keyspace,
    pub(super) meta: Keyspace,
}

impl Tables {
    fn all(&self) -> [&Keyspace; 4] {
        [&self.records, &self.blocks, &self.outbox, &self.meta]
    }

    /// Closes what stands in memory, for the database to write as tables.
    fn rotate(&self) -> fjall::Result<()> {
        self.all().into_iter().try_for_each(|table| table.rotate_memtable().map(drop))
    }
}

/// Ends of all partitions, as far as they are durable.
#[derive(Debug)]
pub(super) struct Ends {
    partitions: Partition,
    by_partition: Vec<watch::Sender<Offset>>,
}

impl Ends {
    pub(super) fn of(&self, at: StreamPartition) -> Option<&watch::Sender<Offset>> {
        let position = usize::from(stream_number(at.stream)) * self.partitions as usize;
        let fits = at.partition < self.partitions;
        fits.then(|| self.by_partition.get(position + at.partition as usize)).flatten()
    }
}

/// What all adapters of one data folder share. The order of fields is the order of closing.
pub(super) struct Shared {
    work: Option<mpsc::Sender<Work>>,
    writer: Option<JoinHandle<()>>,
    pub(super) tables: Tables,
    pub(super) ends: Arc<Ends>,
    pub(super) log_id: Uuid,
    _folder: HeldFolder,
}

impl Shared {
    /// Hands work to the writer; `false` if it has stopped.
    pub(super) async fn send(&self, work: Work) -> bool {
        match &self.work {
            Some(queue) => queue.send(work).await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.work = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already failed every caller.
            let _ = writer.join();
        }
    }
}

/// An open data folder. The folder stays held until it, its clones and every adapter of it are dropped.
#[derive(Clone)]
pub struct DataFolder {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl DataFolder {
    /// The pipeline's log.
    pub fn event_log(&self) -> EmbeddedEventLog {
        EmbeddedEventLog::new(Arc::clone(&self.shared))
    }

    /// The stages' state.
    pub fn state_store(&self) -> EmbeddedStateStore {
        EmbeddedStateStore::new(Arc::clone(&self.shared))
    }

    /// Snapshots and other objects.
    pub fn object_store(&self) -> FolderObjectStore {
        FolderObjectStore::new(self.path.join("objects"))
    }

    /// Where the lake's tables stand.
    pub fn lake_path(&self) -> PathBuf {
        lake_path(&self.path)
    }

    /// Moves what stands in memory beside the journal into tables, which frees the memory and leaves the
    /// next start less to replay. A wish: nothing that was answered depends on it, so a disk that takes no
    /// more is told to the next writer, and a slow one is not waited for.
    pub async fn settle(&self) {
        if self.unsettled_bytes() < SETTLE_BYTES {
            return;
        }
        let (shared, clock) = (Arc::clone(&self.shared), SystemClock::new());
        let rotated = task::spawn_blocking(move || shared.tables.rotate()).await;
        if let Ok(Err(error)) = rotated {
            tracing::warn!("a table stays in memory: {error}");
            return;
        }
        for _ in 0..SETTLE_LOOKS {
            if self.shared.tables.all().iter().all(|table| table.sealed_memtable_count() == 0) {
                return;
            }
            clock.pause(SETTLE_LOOK).await;
        }
    }

    /// Bytes that stand in memory beside the journal.
    pub fn unsettled_bytes(&self) -> u64 {
        self.shared.tables.database.write_buffer_size()
    }

    /// Keeps a small file in the folder, for those who look at it without taking it.
    pub fn keep(&self, name: &str, body: &[u8]) -> Result<(), OpenError> {
        folder::keep(&self.path, name, body)
    }
}

/// Where the lake's tables of a data folder stand.
pub fn lake_path(data_dir: &Path) -> PathBuf {
    data_dir.join("lake")
}

/// Opens the data folder of a pipeline, or makes it.
pub fn open(data_dir: &Path, pipeline: &str, partitions: Partition) -> Result<DataFolder, OpenError> {
    let mut folder = HeldFolder::take(data_dir, pipeline, partitions)?;
    let failed = |error: fjall::Error| open_error(data_dir, error);
    let io_failed = |source| OpenError::Io { folder: data_dir.to_owned(), source };
    let path = data_dir.join("database");
    if folder.is_new() && path.try_exists().map_err(io_failed)? {
        fs::remove_dir_all(&path).map_err(io_failed)?;
    }
    journal::check(&path).map_err(|error| open_error(data_dir, fjall::Error::Io(error)))?;
    let tables = open_tables(&path).map_err(failed)?;
    let log_id = if folder.is_new() {
        let log_id = make_log_id(&tables).map_err(failed)?;
        folder.finish()?;
        log_id
    } else {
        let stored = tables.meta.get(keys::LOG_ID).map_err(failed)?;
        stored
            .and_then(|id| Uuid::from_slice(&id).ok())
            .ok_or_else(|| damaged(data_dir, "the log has no identity"))?
    };
    let ends = Arc::new(find_ends(data_dir, &tables, partitions)?);
    let (work, queue) = mpsc::channel(QUEUE);
    let writer = writer::start(tables.clone(), Arc::clone(&ends), queue).map_err(io_failed)?;
    let shared = Shared { work: Some(work), writer: Some(writer), tables, ends, log_id, _folder: folder };
    Ok(DataFolder { path: data_dir.to_owned(), shared: Arc::new(shared) })
}

fn open_tables(path: &Path) -> fjall::Result<Tables> {
    let database = Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .open()?;
    let apart = KvSeparationOptions::default().compression(CompressionType::None);
    let small = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    Ok(Tables {
        records: database.keyspace("records", || small().with_kv_separation(Some(apart)))?,
        blocks: database.keyspace("blocks", small)?,
        outbox: database.keyspace("outbox", small)?,
        meta: database.keyspace("meta", small)?,
        database,
    })
}

fn make_log_id(tables: &Tables) -> fjall::Result<Uuid> {
    let log_id = Uuid::new_v4();
    tables.meta.insert(keys::LOG_ID, log_id.as_bytes())?;
    tables.database.persist(PersistMode::SyncAll)?;
    Ok(log_id)
}

fn find_ends(folder: &Path, tables: &Tables, partitions: Partition) -> Result<Ends, OpenError> {
    let mut by_partition = Vec::with_capacity(Stream::ALL.len() * partitions as usize);
    for stream in Stream::ALL {
        for partition in 0..partitions {
            let at = StreamPartition { stream, partition };
            by_partition.push(watch::Sender::new(find_end(folder, tables, at)?));
        }
    }
    Ok(Ends { partitions, by_partition })
}

fn find_end(folder: &Path, tables: &Tables, at: StreamPartition) -> Result<Offset, OpenError> {
    let Some(last) = tables.records.prefix(keys::partition(at)).next_back() else { return Ok(0) };
    let (key, value) = last.into_inner().map_err(|error| open_error(folder, error))?;
    let end =
        keys::first_offset(&key).zip(batch::decode(value)).map(|(first, batch)| first + batch.len() as u64);
    end.ok_or_else(|| damaged(folder, &format!("the last batch of {at} is not what was written")))
}

fn damaged(folder: &Path, reason: &str) -> OpenError {
    OpenError::Damaged { folder: folder.to_owned(), reason: reason.to_owned() }
}

fn open_error(folder: &Path, error: fjall::Error) -> OpenError {
    let folder = folder.to_owned();
    match error {
        fjall::Error::Locked => OpenError::InUse(folder),
        fjall::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { folder, source }
        }
        other => OpenError::Damaged { folder, reason: other.to_string() },
    }
}

/// What a failure of the database means to a caller.
pub(super) fn error_kind(error: &fjall::Error) -> ErrorKind {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    ErrorKind::Full
                }
                _ => ErrorKind::Closed,
            }
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => ErrorKind::Closed,
        _ => ErrorKind::Corrupt,
    }
}

/// A failed read.
pub(super) fn read_error(attempt: &str, error: fjall::Error) -> PortError {
    PortError::caused(error_kind(&error), attempt, error)
}

/// The answer where the writer is gone.
pub(super) fn closed(attempt: &str) -> PortError {
    PortError::caused(ErrorKind::Closed, attempt, "the data folder's writer has stopped")
}
