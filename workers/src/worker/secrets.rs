//! Secrets as files: one folder each, one file an entry.
//!
//! Must not: print what a file holds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use parking_crds::names::ObjectName;

/// A secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the Secret {name} has no readable {key} at {}: {source}", path.display())]
pub struct SecretFileError {
    name: ObjectName,
    key: String,
    path: PathBuf,
    source: io::Error,
}

/// The folder with all of them.
pub(super) struct Secrets<'a>(pub(super) &'a Path);

impl Secrets<'_> {
    /// An entry that must be there.
    pub(super) fn text(&self, name: &ObjectName, key: &str) -> Result<String, SecretFileError> {
        let path = self.0.join(name.as_str()).join(key);
        let text = fs::read_to_string(&path);
        // Who makes a Secret from a file often leaves its last line end.
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        text.map_err(|source| SecretFileError { name: name.clone(), key: key.to_owned(), path, source })
    }

    /// An entry that may be absent.
    pub(super) fn optional(&self, name: &ObjectName, key: &str) -> Result<Option<String>, SecretFileError> {
        match self.text(name, key) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_without_its_line_end_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("login")).unwrap();
        fs::write(folder.path().join("login/password"), "secret\n").unwrap();
        let (secrets, name) = (Secrets(folder.path()), "login".parse().unwrap());
        assert_eq!(secrets.text(&name, "password").unwrap(), "secret");
        assert_eq!(secrets.optional(&name, "username").unwrap(), None);
        let missing = secrets.text(&name, "username").unwrap_err().to_string();
        assert!(missing.starts_with("the Secret login has no readable username"), "{missing}");
    }
}
