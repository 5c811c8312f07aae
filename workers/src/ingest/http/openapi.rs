//! The interface description of ingest, OpenAPI 3.1: paths by hand, shapes from the types that are answered.

use parking_crds::event::DeadLetterReason;
use serde_json::{Value, json};

use super::{Published, Status};
use crate::{
    http::{ErrorBody, generator_of_components},
    ingest::{MAX_RECORDS, Reason},
};

/// The whole document.
pub fn document() -> Value {
    let mut generator = generator_of_components();
    let published = generator.subschema_for::<Published>().to_value();
    let status = generator.subschema_for::<Status>().to_value();
    let error = generator.subschema_for::<ErrorBody>().to_value();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Parking ingest",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events into one pipeline's log. What was answered as accepted is in the log.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/events": {"post": publish(&published, &error)},
            "/status": {"get": {
                "summary": "The process.", "security": [],
                "responses": {"200": answer("The process.", &status)},
            }},
            "/livez": {"get": probe("The process lives.")},
            "/readyz": {"get": probe("The log can be reached; 503 says why not.")},
            "/metrics": {"get": probe("Metrics in the text format of Prometheus.")},
        },
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer",
                "description": "An API key of the pipeline; not asked for where none is configured.",
            }},
            "schemas": schemas(generator.take_definitions(true)),
        },
    })
}

fn publish(published: &Value, error: &Value) -> Value {
    let again = |meaning: &str| {
        json!({
            "description": meaning, "content": content(error),
            "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
        })
    };
    json!({
        "summary": "Write records; answered once they are in the log.",
        "description": format!(
            "Curb events and companion records; at most {MAX_RECORDS} records of 65536 bytes each. Records \
             that are sent again with the same ids are counted once. Of a sender's records of one zone, those \
             of one request keep their order, and those of a request that is sent after the answer to the one \
             before, too. `event_publication_time` of live records is set here and may be left out."
        ),
        "parameters": [{
            "name": "Content-Encoding", "in": "header", "schema": {"enum": ["gzip", "identity"]},
        }],
        "requestBody": {"required": true, "content": {
            "application/json": {"schema": {"oneOf": [
                {"type": "object", "description": "One record."},
                {"type": "array", "items": {"type": "object"}, "maxItems": MAX_RECORDS},
            ]}},
            "application/x-ndjson": {"schema": {"type": "string", "description": "One record a line."}},
        }},
        "responses": {
            "202": answer("All records are in the log.", published),
            "207": answer("Some records are in the log; those that are refused are named.", published),
            "403": answer("None is: the key may not write them, or they are another tenant's.", published),
            "422": answer("None is: all are refused.", published),
            "400": answer("The body has no records.", error),
            "401": answer("A valid key is needed.", error),
            "408": answer("The body came too slowly.", error),
            "413": answer("The body is too long, or has too many records.", error),
            "415": answer("Content type or encoding are not supported.", error),
            "429": again("More was sent than may be: send it again later."),
            "503": again("The log failed: send the same records again later."),
            "default": answer("What went wrong.", error),
        },
    })
}

/// The shapes, with the reasons as the closed list that they are.
fn schemas(mut definitions: serde_json::Map<String, Value>) -> Value {
    let words = DeadLetterReason::ALL.into_iter().map(Reason::Unusable);
    let words = words.chain([Reason::WrongTenant, Reason::NoRight, Reason::NoPlateKey]);
    let words: Vec<_> = words.map(Reason::as_str).collect();
    if let Some(reason) =
        definitions.get_mut("RefusedRecord").and_then(|it| it.pointer_mut("/properties/reason"))
    {
        *reason = json!({"enum": words, "description": "A word for programs."});
    }
    definitions.into()
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

fn answer(meaning: &str, schema: &Value) -> Value {
    json!({"description": meaning, "content": content(schema)})
}

fn probe(summary: &str) -> Value {
    let content = json!({"text/plain": {"schema": {"type": "string"}}});
    json!({
        "summary": summary, "security": [],
        "responses": {"200": {"description": summary, "content": content}},
    })
}
