//! Values are strict, described, used and documented.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::rendering::{charts, rendered_text};

#[test]
fn wrong_values_are_refused_with_their_path() {
    let refused: [(&[&str], &str); 12] = [
        (&["replica=3"], "'replica' not allowed"),
        (&["image.tags=x"], "/image"),
        (&["image.digest=sha256:short"], "/image/digest"),
        (&["replicas=0"], "/replicas"),
        (&["scope=world"], "/scope"),
        (&["scope=namespaced"], "/namespaces"),
        (&["namespaces={parking}"], "/namespaces"),
        (&["scope=namespaced", "namespaces={Parking}"], "/namespaces/0"),
        (&["kafkaNamespaces.kafka=parking"], "/kafkaNamespaces/kafka"),
        (&["resync=soon"], "/resync"),
        (&["redisImage.tag="], "/redisImage"),
        (&["service.port=80"], "/service/port"),
    ];
    for (sets, path) in refused {
        let error = rendered_text("parking-operator", sets, &[]).unwrap_err();
        assert!(error.contains(path), "{sets:?}: {error}");
    }
    let error = rendered_text("parking-operator-crds", &["keeps=false"], &[]).unwrap_err();
    assert!(error.contains("'keeps' not allowed"), "{error}");
    let error = rendered_text("parking-operator", &["serviceAccount.create=false"], &[]).unwrap_err();
    assert!(error.contains("serviceAccount.name is needed"), "{error}");
}

fn templates_of(chart: &str) -> String {
    let folder = fs::read_dir(charts().join(chart).join("templates")).unwrap();
    folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// Paths of the schema's members that a chart's author names, such as `image.tag`.
fn members(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let text = member["description"].as_str().unwrap_or_default();
        let known_to_kubernetes = path.starts_with("resources.");
        assert!(known_to_kubernetes || text.ends_with('.'), "{path} is not described in the schema");
        if member["properties"].is_object() && !known_to_kubernetes && path != "resources" {
            assert_eq!(member["additionalProperties"], false, "{path} takes any value");
            members(member, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_value_has_a_default_a_schema_a_use_and_a_line_in_the_readme() {
    for chart in ["parking-operator", "parking-operator-crds"] {
        let file = |name: &str| fs::read_to_string(charts().join(chart).join(name)).unwrap();
        let values: Value = serde_saphyr::from_str(&file("values.yaml")).unwrap();
        let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
        let (templates, readme) = (templates_of(chart), file("README.md"));
        assert_eq!(schema["additionalProperties"], false);
        let mut paths = BTreeSet::new();
        members(&schema, "", &mut paths);
        // Helm adds it to subcharts.
        assert!(paths.remove("global"));
        for path in &paths {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(values.pointer(&pointer).is_some(), "{chart}: {path} has no default in values.yaml");
            let parent = path.split('.').next().unwrap();
            let used = templates.contains(&format!(".Values.{path}"))
                || (parent.ends_with("mage") && templates.contains(&format!(".Values.{parent} ")));
            assert!(used, "{chart}: no template uses {path}");
            assert!(readme.contains(&format!("`{path}`")), "{chart}: README.md does not name {path}");
        }
        for (name, value) in values.as_object().unwrap() {
            assert!(schema["properties"][name].is_object(), "{chart}: {name} is not in the schema");
            for inner in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
                let known = &schema["properties"][name];
                assert!(
                    !known["properties"][inner].is_null(),
                    "{chart}: {name}.{inner} is not in the schema"
                );
            }
        }
    }
}
