//! The object store of the tests: nothing of it stays.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_e2e::{minio::Minio, wait::eventually};

const LIMIT: Duration = Duration::from_secs(30);

/// What the store's process was started with, and where its data are.
fn process(store: &Minio) -> (PathBuf, PathBuf) {
    let holder = store.holder();
    let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap();
    let process = Path::new("/proc").join(children.trim());
    let line = fs::read_to_string(process.join("cmdline")).unwrap();
    let folder = line.trim_end_matches('\0').rsplit('\0').next().unwrap().into();
    (process, folder)
}

#[test]
fn nothing_is_left_when_nobody_drops_it_and_the_test_process_ends() {
    let mut store = Minio::start().unwrap();
    let (process, folder) = process(&store);
    assert!(process.exists() && folder.is_dir());
    store.let_go();
    eventually("its end", LIMIT, || (!process.exists() && !folder.exists()).then_some(())).unwrap();
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let store = Minio::start().unwrap();
    let (process, folder) = process(&store);
    assert!(process.exists() && folder.is_dir());
    drop(store);
    assert!(!process.exists() && !folder.exists());
}
