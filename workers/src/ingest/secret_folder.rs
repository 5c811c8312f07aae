//! Secrets as a mounted folder: one file per entry, replaced as a whole while the process runs.
//!
//! Must not print what a file holds. Invariant: a change is told once it is there in full; a folder that
//! cannot be read leaves what was read before.

use std::{collections::BTreeMap, fs, io, path::Path};

use sha2::{Digest, Sha256};

/// Longest entry, bytes: what Kubernetes allows for a whole Secret.
const LONGEST_ENTRY: u64 = 1024 * 1024;

/// The entries of a folder by name.
pub(super) type Entries = BTreeMap<String, Vec<u8>>;

/// Reads all entries. What begins with a dot is the mount's own.
pub(super) fn read(folder: &Path) -> io::Result<Entries> {
    let mut entries = Entries::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Entries of a mounted Secret are links: what they lead to counts.
        let facts = fs::metadata(entry.path())?;
        if name.starts_with('.') || !facts.is_file() || facts.len() > LONGEST_ENTRY {
            continue;
        }
        entries.insert(name, fs::read(entry.path())?);
    }
    Ok(entries)
}

/// Tells whether a folder changed since it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watched {
    seen: Option<[u8; 32]>,
}

impl Watched {
    /// The entries, if they are others than the last time.
    pub(super) fn changed(&mut self, folder: &Path) -> io::Result<Option<Entries>> {
        let entries = read(folder)?;
        let digest = digest_of(&entries);
        let same = self.seen.replace(digest) == Some(digest);
        Ok((!same).then_some(entries))
    }
}

fn digest_of(entries: &Entries) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, content) in entries {
        for part in [name.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mounted_secret_is_read_through_its_links_and_told_when_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, key) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("north"), key).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/north", at("north")).unwrap();
        let mut watched = Watched::default();
        let first = watched.changed(folder.path()).unwrap().unwrap();
        assert_eq!(first, Entries::from([("north".to_owned(), b"old".to_vec())]));
        assert_eq!(watched.changed(folder.path()).unwrap(), None);
        symlink("..2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        let second = watched.changed(folder.path()).unwrap().unwrap();
        assert_eq!(second["north"], b"new");
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Watched::default().changed(&folder.path().join("gone")).is_err());
    }
}
