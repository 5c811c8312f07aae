//! Manifests from files and folders, read as `parking up` reads them.
//!
//! Must not: judge what the objects mean together. Invariant: all problems of all files are reported at once.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use parking_crds::manifest::{self, Document};

/// Bytes that a file with manifests has at most: the API server takes no larger objects anyway.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// One object and the file that it stands in.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The file.
    pub path: PathBuf,
    /// The object.
    pub document: Document,
}

/// Why manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is wrong, one line for each problem.
    #[error("{}", Lines(.0))]
    Problems(Vec<String>),
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads the files, and of folders every `.yaml` and `.yml` in them, sorted by name.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Placed>, ReadError> {
    let (mut placed, mut problems) = (Vec::new(), Vec::new());
    for path in files(paths)? {
        match manifest::parse(&text(&path)?) {
            Ok(documents) => {
                placed.extend(documents.into_iter().map(|document| Placed { path: path.clone(), document }));
            }
            Err(found) => {
                problems.extend(found.0.iter().map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    if problems.is_empty() { Ok(placed) } else { Err(ReadError::Problems(problems)) }
}

fn text(path: &Path) -> Result<String, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST_FILE {
        let problem = format!("{}: larger than {LARGEST_FILE} bytes, so no manifest", path.display());
        return Err(ReadError::Problems(vec![problem]));
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |source| ReadError::Unreadable { path: path.clone(), source };
        if !fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries: Vec<_> =
            fs::read_dir(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
        let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let mut found: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(is_yaml).collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> PathBuf {
        Path::new("../examples").join(name)
    }

    #[test]
    fn every_manifest_of_a_folder_is_read() {
        let placed = read(&[example("birmingham")]).unwrap();
        let names = placed.iter().map(|one| one.path.file_name().unwrap().to_str().unwrap());
        let names: std::collections::BTreeSet<_> = names.collect();
        assert_eq!(names, ["inventory.yaml", "pipeline.yaml", "rules.yaml", "stats.yaml"].into());
    }

    #[test]
    fn problems_of_all_files_are_reported_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yml", "ignored.txt"] {
            fs::write(folder.path().join(name), "apiVersion: v1\nkind: Pod\n").unwrap();
        }
        let error = read(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(error.contains("a.yaml: line 2") && error.contains("b.yml: line 2"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(&[PathBuf::from("/nowhere/city.yaml")]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/city.yaml cannot be read: "), "{error}");
    }
}
