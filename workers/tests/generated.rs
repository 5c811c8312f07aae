//! Committed files that are made from the code: the description of the HTTP interface.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::{fs, path::Path};

#[test]
fn interface_description_is_the_one_that_is_served() {
    let path = Path::new("openapi.json");
    let wanted = serde_json::to_string_pretty(&parking_workers::http::document()).unwrap() + "\n";
    if std::env::var_os("PARKING_GENERATE").is_some() {
        fs::write(path, &wanted).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == wanted, "{} is out of date: run `make generate`", path.display());
}
