//! The fields of a custom resource, as its definition says.

use std::collections::BTreeSet;

use kube::CustomResourceExt;
use serde_json::Value;

/// Parts of a worker that are Kubernetes' own and are passed on as they are written.
const PASSED_ON: [&str; 5] = ["resources", "nodeSelector", "tolerations", "topologySpread", "podTemplate"];

/// The fields of a schema without further members, each once for all roles.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let last = path.rsplit('.').next().unwrap_or_default();
    let members = schema["properties"].as_object().or_else(|| schema["items"]["properties"].as_object());
    let Some(members) = members.filter(|members| !members.is_empty() && !PASSED_ON.contains(&last)) else {
        found.insert(path.to_owned());
        return;
    };
    let path = if schema["items"].is_null() { path.to_owned() } else { format!("{path}[]") };
    for (name, member) in members {
        let below = match path.as_str() {
            "" => name.clone(),
            "workers" => {
                found.insert(format!("workers.{name}"));
                "workers.*".to_owned()
            }
            path => format!("{path}.{name}"),
        };
        fields(member, &below, found);
    }
}

/// The fields of the spec: members by a dot, members of a list's items by `[].`, and `*` for each role.
pub(crate) fn fields_of<K: CustomResourceExt>() -> BTreeSet<String> {
    let definition = K::crd();
    let schema = definition.spec.versions[0].schema.as_ref().unwrap();
    let schema = serde_json::to_value(&schema.open_api_v3_schema).unwrap();
    let mut all = BTreeSet::new();
    fields(&schema["properties"]["spec"], "", &mut all);
    all
}
