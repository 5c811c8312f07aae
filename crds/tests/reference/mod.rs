//! The API reference as Markdown: one table a kind, one row a field.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// Renders all definitions.
pub(super) fn render(definitions: &[CustomResourceDefinition]) -> String {
    let mut text = String::from(
        "# API reference\n\nGenerated from the types in `crds/src`. `*` marks required fields, `[]` the entries of a list or map.\n",
    );
    for definition in definitions {
        let names = &definition.spec.names;
        let version = &definition.spec.versions[0];
        let schema =
            serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref()).unwrap();
        writeln!(
            text,
            "\n## {}\n\n`{}/{}`, short name `{}`. {}\n",
            names.kind,
            definition.spec.group,
            version.name,
            names.short_names.as_deref().unwrap_or_default().join("`, `"),
            schema["description"].as_str().unwrap_or_default(),
        )
        .unwrap();
        for part in ["spec", "status"] {
            text.push_str("| field | type | meaning |\n|---|---|---|\n");
            fields(&schema["properties"][part], part, &mut text);
            text.push('\n');
        }
        rules(&schema, names.kind.as_str(), &mut text);
    }
    text
}

fn fields(schema: &Value, path: &str, text: &mut String) {
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let star =
            if required.is_some_and(|required| required.iter().any(|r| r == name)) { " *" } else { "" };
        let path = format!("{path}.{name}");
        let meaning =
            field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        writeln!(text, "| `{path}`{star} | {} | {meaning} |", kind(field)).unwrap();
        let foreign = ["resources", "tolerations", "topologySpread", "zoneSelector", "conditions"];
        if foreign.contains(&name.as_str()) {
            continue;
        }
        fields(field, &path, text);
        fields(&field["items"], &format!("{path}[]"), text);
    }
}

fn kind(field: &Value) -> String {
    let name = field["type"].as_str().unwrap_or("any");
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(" ");
    }
    let bound = |low: &str, high: &str| match (field[low].as_f64(), field[high].as_f64()) {
        (Some(low), Some(high)) => format!(" {low}..{high}"),
        (None, Some(high)) => format!(" ..{high}"),
        (Some(low), None) => format!(" {low}.."),
        (None, None) => String::new(),
    };
    match name {
        "integer" => format!("integer{}", bound("minimum", "maximum")),
        "array" => format!("list{}", bound("minItems", "maxItems")),
        "object" if field["additionalProperties"].is_object() => "map".to_owned(),
        other => other.to_owned(),
    }
}

fn rules(schema: &Value, path: &str, text: &mut String) {
    let mut found = Vec::new();
    collect(schema, path, &mut found);
    text.push_str("Rules:\n\n");
    for (path, message) in found {
        writeln!(text, "- `{path}`: {message}").unwrap();
    }
}

fn collect(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.push((path.to_owned(), rule["message"].as_str().unwrap_or_default().to_owned()));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        collect(child, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{path}[]"), found);
    }
}
