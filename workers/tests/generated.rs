//! Committed files that are made from the code: the descriptions of the HTTP interfaces.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::{fs, path::Path};

#[track_caller]
fn check(path: &str, wanted: &str) {
    let path = Path::new(path);
    if std::env::var_os("PARKING_GENERATE").is_some() {
        fs::write(path, wanted).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == wanted, "{} is out of date: run `make generate`", path.display());
}

#[track_caller]
fn check_description(path: &str, document: &serde_json::Value) {
    check(path, &(serde_json::to_string_pretty(document).unwrap() + "\n"));
}

#[test]
fn interface_description_is_the_one_that_is_served() {
    check_description("openapi.json", &parking_workers::http::document());
}

#[test]
fn interface_description_of_ingest_is_the_one_that_is_served() {
    check_description("openapi-ingest.json", &parking_workers::ingest::http::document());
}

/// The Rust of the interface over gRPC, made without a compiler of protocol buffers on the machine. It is
/// committed, so that only tests build what makes it.
fn rust_of_the_grpc_interface(client: bool) -> String {
    let descriptors = protox::compile(["parking/ingest/v1/ingest.proto"], ["proto"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_client(client)
        .build_server(!client)
        .build_transport(false)
        .bytes(".")
        .out_dir(folder.path())
        .compile_fds(descriptors)
        .unwrap();
    fs::read_to_string(folder.path().join("parking.ingest.v1.rs")).unwrap()
}

#[test]
fn server_over_grpc_is_that_of_the_committed_interface() {
    check("src/ingest/grpc/generated/parking.ingest.v1.rs", &rust_of_the_grpc_interface(false));
}

#[test]
fn client_over_grpc_is_that_of_the_committed_interface() {
    check("tests/ingest/generated/parking.ingest.v1.rs", &rust_of_the_grpc_interface(true));
}
