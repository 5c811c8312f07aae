//! Corrections to derived schemas.
//!
//! Must not: change what a schema accepts; only its texts.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

/// The schema of a Kubernetes type without its documentation, which would fill the definition many times over.
pub(crate) fn bare<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut value = T::json_schema(generator).to_value();
    strip(&mut value);
    Schema::try_from(value).unwrap_or_default()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Removes the text of an enumeration: kube would put it in place of the text of an optional field.
pub(crate) fn leave_text_to_the_field(schema: &mut Schema) {
    schema.remove("description");
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Toleration;

    use super::*;

    #[test]
    fn a_bare_schema_has_fields_but_no_texts() {
        let schema = bare::<Toleration>(&mut SchemaGenerator::default()).to_value();
        assert!(schema.pointer("/properties/effect").is_some());
        assert!(!schema.to_string().contains("description"), "{schema}");
    }
}
