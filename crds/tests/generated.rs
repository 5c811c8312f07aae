//! The committed custom resource definitions and the API reference are what the types say.
//!
//! `make generate` rewrites them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use serde_json::Value;

mod reference;

fn definitions() -> [CustomResourceDefinition; 3] {
    [ParkingPipeline::crd(), AlertRule::crd(), StatsJob::crd()]
}

fn yaml(definition: &CustomResourceDefinition) -> String {
    let head = "# Generated from the types in crds/src; see crds/tests/generated.rs.\n";
    format!("{head}{}", serde_saphyr::to_string(definition).unwrap())
}

fn assert_current(name: &str, text: &str) {
    let path = Path::new("generated").join(name);
    if std::env::var_os("PARKING_GENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let drift = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        committed == text,
        "{} differs from the types (first at line {:?}): run `make generate`",
        path.display(),
        drift.map(|line| line + 1)
    );
}

fn below(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        below(child, &format!("{path}.{name}"), see);
    }
    for keyword in ["items", "additionalProperties"] {
        if schema[keyword].is_object() {
            below(&schema[keyword], &format!("{path}[]"), see);
        }
    }
}

fn every_node(mut see: impl FnMut(&str, &Value)) {
    for definition in definitions() {
        let schema = definition.spec.versions[0].schema.as_ref().unwrap();
        let schema = serde_json::to_value(&schema.open_api_v3_schema).unwrap();
        below(&schema, &definition.spec.names.kind, &mut see);
    }
}

#[test]
fn committed_definitions_are_current() {
    for definition in definitions() {
        assert_current(&format!("{}.yaml", definition.spec.names.plural), &yaml(&definition));
    }
}

#[test]
fn the_committed_api_reference_is_current() {
    assert_current("api.md", &reference::render(&definitions()));
}

#[test]
fn each_definition_fits_an_annotation_with_room_to_spare() {
    for definition in definitions() {
        let size = yaml(&definition).len();
        assert!(size < 200_000, "{} has {size} bytes", definition.spec.names.kind);
    }
}

#[test]
fn definitions_have_short_names_the_category_and_their_columns() {
    let found = definitions().map(|definition| {
        let names = definition.spec.names;
        let columns =
            definition.spec.versions.into_iter().flat_map(|v| v.additional_printer_columns.unwrap());
        assert_eq!(names.categories, Some(vec!["parking".to_owned()]));
        (names.short_names.unwrap().join(","), columns.map(|c| c.name).collect::<Vec<_>>().join(" "))
    });
    let expected = [
        ("pp", "Phase Ready Workers Lag Firing Age"),
        ("ar", "Pipeline Severity Accepted Loaded Firing Pending Age"),
        ("stj", "Schedule Suspended LastWindow LastResult NextRun Age"),
    ];
    assert_eq!(found, expected.map(|(short, columns)| (short.to_owned(), columns.to_owned())));
}

#[test]
fn no_field_has_a_default_that_a_gitops_tool_would_see_as_drift() {
    every_node(|path, schema| assert!(schema.get("default").is_none(), "{path}"));
}

#[test]
fn integers_have_formats_that_the_api_server_knows() {
    every_node(|path, schema| {
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(["", "int32", "int64", "date-time"].contains(&format), "{path}: {format}");
    });
}

#[test]
fn no_field_is_a_float() {
    every_node(|path, schema| assert_ne!(schema["type"], "number", "{path}"));
}

#[test]
fn every_field_is_documented_and_optional_ones_say_their_default() {
    every_node(|path, schema| {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let ours = !["resources", "tolerations", "topologySpread", "zoneSelector", "conditions", "status"]
            .iter()
            .any(|foreign| path.contains(foreign));
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let text = field["description"].as_str().unwrap_or_default();
            let root = ["spec", "status", "apiVersion", "kind", "metadata"].contains(&name.as_str());
            assert!(root || !ours || !text.is_empty(), "{path}.{name} is not documented");
            let exclusive = text.is_empty()
                || !ours
                || root
                || schema.to_string().contains("exactly one of")
                || path.ends_with("status");
            assert!(
                exclusive || required.contains(&name.as_str()) || text.contains("Default: "),
                "{path}.{name}: {text}"
            );
        }
    });
}

#[test]
fn every_list_and_map_of_ours_is_bounded() {
    every_node(|path, schema| {
        let foreign = ["resources", "tolerations[]", "topologySpread[]", "zoneSelector", "conditions[]"];
        if foreign.iter().any(|foreign| path.contains(foreign)) {
            return;
        }
        match schema["type"].as_str() {
            Some("array") => assert!(schema["maxItems"].is_number(), "{path}"),
            Some("object") if schema["additionalProperties"].is_object() => {
                assert!(schema["maxProperties"].is_number(), "{path}");
            }
            _ => {}
        }
    });
}
