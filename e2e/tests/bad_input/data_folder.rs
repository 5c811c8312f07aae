//! Data folders that are taken, foreign or unusable, and ports that are; what stands in a folder is left
//! as it was.

use std::{fs, net::TcpListener, path::Path};

use parking_e2e::{process::Running, wait::eventually};

use crate::{LIMIT, accepted, complaint, small};

#[test]
fn folder_of_another_pipeline() {
    let pipeline = small();
    let report = accepted(&pipeline);
    pipeline.replace("pipeline.yaml", "  name: birmingham\n", "  name: leeds\n").unwrap();
    for file in ["rules.yaml", "stats.yaml"] {
        pipeline.replace(file, "pipelineRef: {name: birmingham}", "pipelineRef: {name: leeds}").unwrap();
    }
    let said = complaint(&mut pipeline.up().unwrap());
    let data = pipeline.data();
    assert_eq!(said, format!("data folder {} belongs to pipeline birmingham, not to leeds", data.display()));
    let owner = small();
    let again = parking_e2e::process::run(&mut owner.up_on(&data).unwrap(), LIMIT).unwrap();
    assert!(again.status.success(), "{}", again.stderr);
    assert_eq!(parking_e2e::pipeline::report(&again.stdout).unwrap(), report);
}

#[test]
fn folder_with_another_number_of_partitions() {
    let pipeline = small();
    accepted(&pipeline);
    pipeline.replace("pipeline.yaml", "partitions: 4", "partitions: 5").unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(said.contains("was made with 4 partitions, the pipeline has 5"), "{said}");
}

#[test]
fn second_process_on_the_same_folder() {
    let pipeline = small();
    let first =
        Running::start(pipeline.up().unwrap().args(["--replay-batch", "1", "--replay-pause", "1s"])).unwrap();
    eventually("its data folder", LIMIT, || pipeline.data().join("pipeline.json").exists().then_some(()))
        .unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert_eq!(said, format!("data folder {} is in use by another process", pipeline.data().display()));
    first.kill().unwrap();
    accepted(&pipeline);
}

#[test]
fn folder_with_other_files() {
    let pipeline = small();
    fs::create_dir(pipeline.data()).unwrap();
    fs::write(pipeline.data().join("letter.txt"), "dear").unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(said.contains("holds other files"), "{said}");
    let left: Vec<_> =
        fs::read_dir(pipeline.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
}

#[test]
fn file_in_place_of_a_folder() {
    let pipeline = small();
    fs::write(pipeline.data(), "dear").unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(said.contains("Not a directory"), "{said}");
    assert_eq!(fs::read_to_string(pipeline.data()).unwrap(), "dear");
}

#[test]
fn folder_that_nobody_may_write() {
    // Not even root makes folders in /proc.
    let said = complaint(&mut small().up_on(Path::new("/proc/parking")).unwrap());
    assert!(said.starts_with("data folder /proc/parking cannot be used: "), "{said}");
}

#[test]
fn damaged_folder() {
    let pipeline = small();
    accepted(&pipeline);
    fs::write(pipeline.data().join("pipeline.json"), "{").unwrap();
    let said = complaint(&mut pipeline.up().unwrap());
    assert!(said.starts_with(&format!("data folder {} is damaged: ", pipeline.data().display())), "{said}");
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let pipeline = small();
    let said = complaint(pipeline.up().unwrap().args(["--listen", &address]));
    assert!(said.starts_with(&format!("cannot listen on {address}: Address already in use")), "{said}");
    assert!(!pipeline.data().exists(), "it began to write");
}
