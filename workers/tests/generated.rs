//! Committed files that are made from the code: the descriptions of the HTTP interfaces, and the metrics.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use parking_crds::role::Role;
use parking_workers::metrics::Described;

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

const METRICS: &str = "# Metrics of workers

What `/metrics` answers, in the text format of Prometheus. `up` stands for `parking up`, where the roles occupancy and
alert are one, `occupancy+alert`; all else are roles of `parking worker`. Every value of a label comes from a closed
list, or from the pipeline: its routes, its partitions, its rules. Counters begin at zero with each process, but in
`parking up` those of events, dead letters, late events and sessions stand for all that its data folder holds.

Made from the code by `make generate`; the dashboard and the warnings in `charts/parking-operator/monitoring` are
checked against it.

| Metric | Type | Labels | Told by | Meaning |
|---|---|---|---|---|
";

/// What each program tells, as it registers it.
fn described() -> BTreeMap<&'static str, Vec<Described>> {
    let of_role = |role: Role| (role.as_str(), parking_workers::worker::described_metrics(role).unwrap());
    let roles = [Role::Ingest, Role::Occupancy, Role::Alert, Role::Archive, Role::Notify];
    let mut programs = BTreeMap::from(roles.map(of_role));
    programs.insert("up", parking_workers::http::described_metrics().unwrap());
    programs
}

fn reference() -> String {
    let mut told: BTreeMap<Described, Vec<&str>> = BTreeMap::new();
    for (program, families) in described() {
        for family in families {
            told.entry(family).or_default().push(program);
        }
    }
    let mut text = METRICS.to_owned();
    for (Described { name, kind, labels, help }, programs) in told {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels, programs) = (kind.as_str(), labels.join(", "), programs.join(", "));
        writeln!(text, "| `{name}` | {kind} | {labels} | {programs} | {help} |").unwrap();
    }
    text
}

#[test]
fn reference_of_metrics_names_every_family_of_every_role() {
    check("metrics.md", &reference());
}

#[test]
fn families_of_one_name_mean_the_same_in_every_program() {
    let mut known: BTreeMap<String, Described> = BTreeMap::new();
    for family in described().into_values().flatten() {
        let first = known.entry(family.name.clone()).or_insert_with(|| family.clone());
        assert_eq!((first.kind, &first.labels), (family.kind, &family.labels), "{}", family.name);
    }
}
