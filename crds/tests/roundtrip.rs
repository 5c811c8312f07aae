//! Every example and every fixture reads, writes and reads again without losing anything.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use parking_crds::manifest::{Manifest, parse};
use serde::Serialize;

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

fn manifests() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    yaml_files(Path::new("../examples"), &mut files);
    yaml_files(Path::new("tests/fixtures"), &mut files);
    files.sort();
    let texts = files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    texts.filter(|(_, text)| text.contains("\nkind:")).collect()
}

fn written(manifest: &Manifest) -> String {
    fn yaml(object: &impl Serialize) -> String {
        serde_saphyr::to_string(object).unwrap()
    }
    match manifest {
        Manifest::Pipeline(object) => yaml(object),
        Manifest::Rule(object) => yaml(object),
        Manifest::StatsJob(object) => yaml(object),
        Manifest::ConfigMap(object) => yaml(object),
        Manifest::Secret(object) => yaml(object),
    }
}

#[test]
fn every_manifest_reads_back_as_it_was_written() {
    let manifests = manifests();
    assert!(manifests.len() >= 4, "{manifests:?}");
    for (path, text) in manifests {
        let documents = parse(&text).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        assert!(!documents.is_empty(), "{}", path.display());
        for document in documents {
            let text = written(&document.manifest);
            let again =
                parse(&text).unwrap_or_else(|problems| panic!("{}: {problems}\n{text}", path.display()));
            assert_eq!(
                again.first().map(|again| &again.manifest),
                Some(&document.manifest),
                "{}",
                path.display()
            );
        }
    }
}
