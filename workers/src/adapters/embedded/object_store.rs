//! The object store as a folder: an object is a file, its key the path.
//!
//! An object is written and synced under a name that no key has and then linked to its own, so it is
//! there whole or not at all, and of many racers one makes it. A key cannot also be another's folder.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task;
use uuid::Uuid;

use super::folder::sync_folder;
use crate::ports::{
    ErrorKind, PortError, PortResult,
    object_store::{ObjectStore, PutNew, check_key},
};

/// Begins with a dot: no key does.
const DRAFTS: &str = ".drafts";

/// See the module. A clone is another handle on the same store.
#[derive(Clone, Debug)]
pub struct FolderObjectStore {
    root: Arc<PathBuf>,
}

impl FolderObjectStore {
    /// The store in `root`, which is made with the first object.
    pub fn new(root: PathBuf) -> Self {
        Self { root: Arc::new(root) }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempt: String,
        job: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
    ) -> PortResult<T> {
        let root = Arc::clone(&self.root);
        match task::spawn_blocking(move || job(&root)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Failure { kind, source })) => Err(PortError::caused(kind, attempt, source)),
            Err(error) => Err(PortError::caused(ErrorKind::Closed, attempt, error)),
        }
    }
}

#[async_trait]
impl ObjectStore for FolderObjectStore {
    async fn put_new(&self, key: &str, body: Bytes) -> PortResult<PutNew> {
        check_key(key)?;
        let own_key = key.to_owned();
        self.run(format!("making object {key}"), move |root| put_new(root, &own_key, &body)).await
    }

    async fn get(&self, key: &str) -> PortResult<Option<Bytes>> {
        check_key(key)?;
        let own_key = key.to_owned();
        let get = move |root: &Path| present(fs::read(root.join(own_key)).map(Bytes::from));
        self.run(format!("reading object {key}"), get).await
    }

    async fn list(&self, prefix: &str) -> PortResult<Vec<String>> {
        let own_prefix = prefix.to_owned();
        self.run(format!("listing objects under {prefix:?}"), move |root| list(root, &own_prefix)).await
    }

    async fn delete(&self, key: &str) -> PortResult<()> {
        check_key(key)?;
        let own_key = key.to_owned();
        let delete = move |root: &Path| {
            let path = root.join(own_key);
            if present(fs::remove_file(&path))?.is_some() {
                sync_folder(path.parent().unwrap_or(root))?;
            }
            Ok(())
        };
        self.run(format!("deleting object {key}"), delete).await
    }
}

#[derive(Debug)]
struct Failure {
    kind: ErrorKind,
    source: io::Error,
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                ErrorKind::Full
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Closed,
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Transient,
        };
        Self { kind, source }
    }
}

fn present<T>(found: io::Result<T>) -> Result<Option<T>, Failure> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn put_new(root: &Path, key: &str, body: &[u8]) -> Result<PutNew, Failure> {
    let target = root.join(key);
    let folder = target.parent().unwrap_or(root);
    if target.try_exists()? {
        // Its maker may still be before the sync of the name.
        sync_folder(folder)?;
        return Ok(PutNew::AlreadyExists);
    }
    let drafts = root.join(DRAFTS);
    fs::create_dir_all(&drafts)?;
    let draft = drafts.join(Uuid::new_v4().to_string());
    let made = write_draft(&draft, body).and_then(|()| link(root, folder, &draft, &target));
    // What stays behind is no object and is never read.
    let _ = fs::remove_file(&draft);
    made
}

fn write_draft(draft: &Path, body: &[u8]) -> Result<(), Failure> {
    let mut file = File::create_new(draft)?;
    file.write_all(body)?;
    Ok(file.sync_all()?)
}

fn link(root: &Path, folder: &Path, draft: &Path, target: &Path) -> Result<PutNew, Failure> {
    fs::create_dir_all(folder)?;
    let made = match fs::hard_link(draft, target) {
        Ok(()) => PutNew::Created,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => PutNew::AlreadyExists,
        Err(error) => return Err(error.into()),
    };
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
        sync_folder(folder).map_err(|source| Failure { kind: ErrorKind::Ambiguous, source })?;
    }
    Ok(made)
}

fn list(root: &Path, prefix: &str) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    let start = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut folders = vec![start.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = present(fs::read_dir(root.join(&folder)))? else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                folders.push(key);
            } else if key.starts_with(prefix) {
                keys.push(key);
            }
        }
    }
    keys.sort_unstable();
    Ok(keys)
}
