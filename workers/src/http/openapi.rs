//! The interface description, OpenAPI 3.1: paths by hand, shapes from the types that are answered.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{ErrorBody, Status};
use crate::rows::{AlertRow, ZoneDetail, ZoneRow};

/// Makes shapes that stand among the components of a description.
pub(crate) fn generator_of_components() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// The whole document.
pub fn document() -> Value {
    let mut generator = generator_of_components();
    let of = |schema: schemars::Schema| schema.to_value();
    let zone = of(generator.subschema_for::<ZoneRow>());
    let detail = of(generator.subschema_for::<ZoneDetail>());
    let alert = of(generator.subschema_for::<AlertRow>());
    let status = of(generator.subschema_for::<Status>());
    let error = of(generator.subschema_for::<ErrorBody>());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Parking pipeline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Live occupancy and alerts of one pipeline. Unknown is null, never zero.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/zones": {"get": operation("Every zone as it stands.", &[], &list(&zone), &error, false)},
            "/v1/zones/{id}": {"get": operation(
                "One zone with its spaces, by id or by the city's code.",
                &[path_parameter()], &detail, &error, true,
            )},
            "/v1/alerts": {"get": operation(
                "Alerts: those that are firing first, then the newest first.",
                &alert_parameters(), &list(&alert), &error, false,
            )},
            "/status": {"get": operation("The process and its positions.", &[], &status, &error, false)},
            "/livez": {"get": probe("The process lives.")},
            "/readyz": {"get": probe("Every stage has its state; 503 says what is missing.")},
            "/metrics": {"get": probe("Metrics in the text format of Prometheus.")},
        },
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn operation(summary: &str, parameters: &[Value], answer: &Value, error: &Value, may_miss: bool) -> Value {
    let content = |schema: &Value| json!({"application/json": {"schema": schema}});
    let mut responses = json!({
        "200": {"description": summary, "content": content(answer)},
        "default": {"description": "What went wrong.", "content": content(error)},
    });
    if may_miss && let Some(responses) = responses.as_object_mut() {
        let missing = json!({"description": "There is none.", "content": content(error)});
        responses.insert("404".to_owned(), missing);
    }
    json!({"summary": summary, "parameters": parameters, "responses": responses})
}

fn probe(summary: &str) -> Value {
    let content = json!({"text/plain": {"schema": {"type": "string"}}});
    json!({"summary": summary, "responses": {"200": {"description": summary, "content": content}}})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn path_parameter() -> Value {
    json!({
        "name": "id", "in": "path", "required": true, "schema": {"type": "string"},
        "description": "`curb_zone_id` or `user_zone_id`",
    })
}

fn alert_parameters() -> Vec<Value> {
    let query = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "query", "schema": schema, "description": description});
    vec![
        query("state", json!({"enum": ["firing", "nodata", "resolved"]}), "Only alerts in this state."),
        query("rule", json!({"type": "string"}), "Only alerts of this rule."),
        query(
            "limit",
            json!({"type": "integer", "minimum": 0, "maximum": super::MAX_ALERTS}),
            "At most so many.",
        ),
    ]
}
