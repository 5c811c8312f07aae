//! Where tables are: a folder, or a bucket below a prefix. A table is a folder in either.
//!
//! Must not know what a table holds. Invariant: what a put answered is durable, and a commit's entry is
//! made by one writer: in a folder by a hard link, in a bucket by a conditional put.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use deltalake::{
    DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri, kernel::Version, logstore::LogStoreRef,
};

#[cfg(feature = "s3")]
use crate::adapters::s3::{self, Bucket, S3Failure};
use crate::{
    adapters::s3::S3Settings,
    ports::{ErrorKind, PortError, PortResult},
};

/// Where a lake is.
#[derive(Clone, Debug)]
pub enum LakePlace {
    /// In a folder, which is made when absent.
    Folder(PathBuf),
    /// In a bucket, which must exist.
    S3(S3Settings),
}

impl From<PathBuf> for LakePlace {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}

impl From<&Path> for LakePlace {
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}

impl From<S3Settings> for LakePlace {
    fn from(settings: S3Settings) -> Self {
        Self::S3(settings)
    }
}

/// How a put went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The file has these bytes.
    Done,
    /// A file of that name has others, and was left alone.
    Differs,
}

/// A place that can be used.
#[derive(Debug)]
pub(super) enum Place {
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

impl Place {
    pub(super) fn open(place: LakePlace) -> PortResult<Self> {
        match place {
            LakePlace::Folder(root) => {
                fs::create_dir_all(&root).map_err(|error| io_error("opening the lake", error))?;
                Ok(Self::Folder(root))
            }
            #[cfg(feature = "s3")]
            LakePlace::S3(settings) => Ok(Self::Bucket(Bucket::open(&settings)?)),
            #[cfg(not(feature = "s3"))]
            LakePlace::S3(settings) => Err(PortError::caused(
                ErrorKind::Invalid,
                format!("opening bucket {}", settings.bucket),
                "this program was built without the feature `s3`: build it with that feature",
            )),
        }
    }

    /// The folder, if it is one.
    #[cfg_attr(not(feature = "s3"), expect(clippy::unnecessary_wraps, reason = "a bucket is none"))]
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(root) => Some(root),
            #[cfg(feature = "s3")]
            Self::Bucket(_) => None,
        }
    }

    /// The log of a table, which need not exist.
    pub(super) fn log_store(&self, table: &str) -> Result<LogStoreRef, DeltaTableError> {
        match self {
            Self::Folder(root) => {
                let url = ensure_table_uri(root.join(table).to_string_lossy())?;
                DeltaTableBuilder::from_url(url)?.build_storage()
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket_log_store(bucket, table),
        }
    }

    /// The newest version of a table; `None` where nobody has got to making it.
    pub(super) async fn load(&self, table: &str) -> Result<Option<DeltaTable>, DeltaTableError> {
        if self.folder().is_some_and(|root| !root.join(table).join("_delta_log").is_dir()) {
            return Ok(None);
        }
        let mut loaded = DeltaTable::new(self.log_store(table)?);
        match loaded.load().await {
            Ok(()) => Ok(Some(loaded)),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file. In a folder one with other bytes is replaced; in a bucket it is left alone, since
    /// a commit may have named it meanwhile.
    pub(super) async fn put(&self, table: &str, path: &str, body: Bytes) -> PortResult<Put> {
        let attempt = format!("writing {table}/{path}");
        match self {
            Self::Folder(root) => {
                let target = root.join(table).join(path);
                let written = tokio::task::spawn_blocking(move || put_file(&target, &body)).await;
                let written = written.map_err(io::Error::other).and_then(|written| written);
                written.map(|()| Put::Done).map_err(|error| io_error(attempt, error))
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => match bucket.put(&format!("{table}/{path}"), body).await {
                Ok(s3::Put::Done) => Ok(Put::Done),
                Ok(s3::Put::Differs) => Ok(Put::Differs),
                Err(failure) => Err(failure.port_error(attempt)),
            },
        }
    }

    /// Puts a file in the place of the one that [`Put::Differs`] told of.
    pub(super) async fn replace(&self, table: &str, path: &str, body: Bytes) -> PortResult<()> {
        match self {
            Self::Folder(_) => self.put(table, path, body).await.map(|_| ()),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => {
                let replaced = bucket.replace(&format!("{table}/{path}"), body).await;
                replaced.map_err(|failure| failure.port_error(format!("writing {table}/{path}")))
            }
        }
    }

    /// Writes an object that belongs to no table, in the place of the one before.
    pub(super) async fn write_object(&self, key: &str, body: Bytes) -> PortResult<()> {
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        match self {
            Self::Folder(_) => self.put(folder, name, body).await.map(|_| ()),
            #[cfg(feature = "s3")]
            Self::Bucket(_) => self.replace(folder, name, body).await,
        }
    }

    /// An object that belongs to no table, if it exists.
    pub(super) async fn read_object(&self, key: &str) -> PortResult<Option<Bytes>> {
        match self {
            Self::Folder(root) => match tokio::fs::read(root.join(key)).await {
                Ok(body) => Ok(Some(body.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(io_error(format!("reading {key}"), error)),
            },
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => {
                bucket.get(key).await.map_err(|failure| failure.port_error(format!("reading {key}")))
            }
        }
    }

    /// Makes the entry of a commit durable.
    pub(super) fn settle(&self, table: &str, version: Version) -> io::Result<()> {
        match self {
            Self::Folder(root) => {
                sync(&root.join(table).join("_delta_log").join(format!("{version:020}.json")))
            }
            #[cfg(feature = "s3")]
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Waits for an answer no longer than the place allows.
    pub(super) async fn limited<T>(
        &self,
        attempt: &str,
        late: ErrorKind,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        match self {
            Self::Folder(_) => {
                let (_, _) = (attempt, late);
                call.await
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => match tokio::time::timeout(bucket.limit(), call).await {
                Ok(answer) => answer,
                Err(_) => Err(PortError::caused(late, attempt, S3Failure::unanswered())),
            },
        }
    }
}

#[cfg(feature = "s3")]
fn bucket_log_store(bucket: &Bucket, table: &str) -> Result<LogStoreRef, DeltaTableError> {
    use std::sync::Arc;

    use deltalake::logstore::{StorageConfig, default_logstore};

    let text = bucket.url(table);
    let location = text.parse().map_err(|_| DeltaTableError::InvalidTableLocation(text))?;
    let (root, config) = (bucket.root(), StorageConfig::default());
    let below = config.decorate_store(Arc::clone(&root), &location)?;
    Ok(default_logstore(Arc::new(below), root, &location, &config))
}

/// The error of a call that may be repeated at will.
pub(super) fn delta_error(attempt: impl Into<String>, error: DeltaTableError) -> PortError {
    #[cfg(feature = "s3")]
    if let Some(failure) = S3Failure::within(&error) {
        return failure.port_error(attempt);
    }
    PortError::caused(ErrorKind::Transient, attempt, error)
}

/// The error of a commit that may have been made.
pub(super) fn commit_error(attempt: impl Into<String>, error: DeltaTableError) -> PortError {
    #[cfg(feature = "s3")]
    if let Some(failure) = S3Failure::within(&error).filter(|failure| failure.kind() == ErrorKind::Invalid) {
        return PortError::caused(failure.kind_of_write(), attempt, failure);
    }
    PortError::caused(ErrorKind::Ambiguous, attempt, error)
}

/// Writes beside the target, syncs, renames, syncs the folder. A whole file with the same bytes stays.
fn put_file(target: &Path, body: &[u8]) -> io::Result<()> {
    if fs::read(target).is_ok_and(|there| there == body) {
        return Ok(());
    }
    let folder = target.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    fs::create_dir_all(folder)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let mut file = File::create(&beside)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&beside, target)?;
    File::open(folder)?.sync_all()
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn io_error(attempt: impl Into<String>, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Full
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    PortError::caused(kind, attempt, error)
}
