//! Objects are such as the API server knows.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::CustomResourceExt;
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    installed,
    rendering::{NAMESPACED, everything, rendered, rendered_text},
};

/// An object that survives its own type has no field that the type does not know.
fn survives<T: DeserializeOwned + Serialize>(object: &Value) {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    let again = serde_json::to_value(&typed).unwrap();
    assert_contains(&again, object, object["kind"].as_str().unwrap());
}

fn assert_contains(typed: &Value, written: &Value, path: &str) {
    match (typed, written) {
        (Value::Object(typed), Value::Object(written)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                let typed = typed.get(name).unwrap_or_else(|| panic!("{path} is no field of its kind"));
                assert_contains(typed, value, &path);
            }
        }
        (Value::Array(typed), Value::Array(written)) => {
            assert_eq!(typed.len(), written.len(), "{path}");
            for (index, (typed, written)) in typed.iter().zip(written).enumerate() {
                assert_contains(typed, written, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(typed, written, "{path}"),
    }
}

#[test]
fn every_object_is_one_that_kubernetes_knows() {
    for sets in [&[] as &[&str], NAMESPACED, &everything()] {
        let objects = rendered(sets, &[]);
        let mut names = BTreeSet::new();
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            match kind {
                "ClusterRole" => survives::<ClusterRole>(object),
                "ClusterRoleBinding" => survives::<ClusterRoleBinding>(object),
                "Deployment" => survives::<Deployment>(object),
                "Job" => survives::<Job>(object),
                "NetworkPolicy" => survives::<NetworkPolicy>(object),
                "PodDisruptionBudget" => survives::<PodDisruptionBudget>(object),
                "Role" => survives::<Role>(object),
                "RoleBinding" => survives::<RoleBinding>(object),
                "Service" => survives::<Service>(object),
                "ServiceAccount" => survives::<ServiceAccount>(object),
                other => panic!("{other} is not expected here"),
            }
            let metadata = &object["metadata"];
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
            assert!(names.insert((kind, metadata["namespace"].to_string(), metadata["name"].to_string())));
        }
    }
}

/// The schema of a kind as Kubernetes describes it, with every field that it does not name refused.
fn strict_schema<T: schemars::JsonSchema>() -> Value {
    let mut schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object) {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn schemas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |kind: &str, schema: Value| {
        fs::write(folder.path().join(format!("{kind}.json")), schema.to_string()).unwrap();
    };
    write("clusterrole", strict_schema::<ClusterRole>());
    write("clusterrolebinding", strict_schema::<ClusterRoleBinding>());
    write("deployment", strict_schema::<Deployment>());
    write("job", strict_schema::<Job>());
    write("networkpolicy", strict_schema::<NetworkPolicy>());
    write("poddisruptionbudget", strict_schema::<PodDisruptionBudget>());
    write("role", strict_schema::<Role>());
    write("rolebinding", strict_schema::<RoleBinding>());
    write("service", strict_schema::<Service>());
    write("serviceaccount", strict_schema::<ServiceAccount>());
    folder
}

/// What kubeconform says of a text, offline.
fn kubeconform(schemas: &Path, text: &str) -> (bool, String) {
    let manifest = schemas.join("rendered.yaml");
    fs::write(&manifest, text).unwrap();
    let location = format!("{}/{{{{ .ResourceKind }}}}.json", schemas.display());
    let output = Command::new(installed::program("kubeconform"))
        .args(["-strict", "-verbose", "-schema-location", &location])
        .arg(&manifest)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn kubeconform_finds_nothing_to_object_to() {
    let schemas = schemas();
    let everything = rendered_text("parking-operator", &everything(), &[]).unwrap();
    let texts =
        [&[] as &[&str], NAMESPACED].map(|sets| rendered_text("parking-operator", sets, &[]).unwrap());
    for text in texts.iter().chain([&everything]) {
        let (fine, said) = kubeconform(schemas.path(), text);
        assert!(fine, "{said}");
    }
}

#[test]
fn kubeconform_would_object_to_a_field_that_does_not_exist() {
    let schemas = schemas();
    let text = rendered_text("parking-operator", &[], &[]).unwrap();
    for (right, wrong) in [("livenessProbe", "liveProbe"), ("replicas: 2", "replicas: two")] {
        let (fine, said) = kubeconform(schemas.path(), &text.replace(right, wrong));
        assert!(!fine && said.contains("Deployment"), "{said}");
    }
}

#[test]
fn the_definitions_are_those_of_the_types_and_stay_unless_told_otherwise() {
    let expected = [AlertRule::crd(), ParkingPipeline::crd(), StatsJob::crd()];
    for (sets, policy) in
        [(&["labels.team=mobility"] as &[&str], json!("keep")), (&["keep=false"], Value::Null)]
    {
        let text = rendered_text("parking-operator-crds", sets, &[]).unwrap();
        let found: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(found.len(), expected.len());
        for (mut found, expected) in found.into_iter().zip(&expected) {
            survives::<CustomResourceDefinition>(&found);
            assert_eq!(found["metadata"]["annotations"]["helm.sh/resource-policy"], policy);
            found["metadata"] = json!({"name": found["metadata"]["name"]});
            assert_eq!(found, serde_json::to_value(expected).unwrap());
        }
    }
}
