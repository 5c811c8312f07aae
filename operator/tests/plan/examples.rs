//! The whole plan of every example, as people review it.

use std::path::Path;

use clap::Parser;
use parking_operator::{
    architecture::{check, check_inventory, orphans},
    cli::{Cli, Command},
    offline,
    owned_kinds::OwnedKind,
    plan::plan,
};

use serde_json::Value;

use crate::fixture::Files;

/// The object as YAML, without the scripts, which are files that are the same for every pipeline.
fn text(manifest: &Value) -> String {
    let mut manifest = manifest.clone();
    for (name, value) in manifest["data"].as_object_mut().into_iter().flatten() {
        if name.strip_suffix(".sh").is_some() {
            *value = "…".into();
        }
    }
    serde_saphyr::to_string(&manifest).unwrap()
}

#[track_caller]
fn assert_plan(name: &str) {
    let files = Files::of_example(name);
    let plan = plan(&files.valid());
    let texts: Vec<String> = plan.objects.iter().map(|object| text(&object.manifest)).collect();
    insta::assert_snapshot!(name, texts.join("---\n"));
}

#[test]
fn plan_of_birmingham() {
    assert_plan("birmingham");
}

#[test]
fn plan_of_city() {
    assert_plan("city");
}

#[test]
fn plan_of_melbourne() {
    assert_plan("melbourne");
}

#[test]
fn every_example_is_shown_as_a_tree_with_its_statistics() {
    for name in ["birmingham", "city", "melbourne"] {
        let folder = Path::new("../examples").join(name);
        let folder = folder.to_str().unwrap();
        let cli = Cli::try_parse_from(["parking-operator", "plan", "-o", "tree", "-f", folder]).unwrap();
        let Command::Plan(arguments) = cli.command else { panic!("{:?}", cli.command) };
        let shown = offline::plan(arguments).unwrap();
        assert_eq!((shown.findings.as_str(), shown.broken), ("", false), "{name}");
        insta::assert_snapshot!(format!("{name}-tree"), shown.text);
    }
}

#[test]
fn nothing_is_wrong_with_the_examples() {
    for name in ["birmingham", "city", "melbourne"] {
        let files = Files::of_example(name);
        let pipeline = files.valid();
        let plan = plan(&pipeline);
        assert_eq!(check(&pipeline.topology, &pipeline, &plan, &files.rules, &files.jobs), []);
        assert_eq!(orphans(std::slice::from_ref(&pipeline.id), &files.rules, &files.jobs), []);
        assert_eq!(check_inventory(&pipeline, &files.config_maps), []);
        assert!(plan.objects.iter().any(|object| object.kind == OwnedKind::StatefulSet));
    }
}
