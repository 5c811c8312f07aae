//! A `Kafka` resource as Strimzi's Cluster Operator would leave it; there is no Kafka behind it.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    super::{error::Result, namespace::Namespace, objects},
    CLUSTER_LABEL, GROUP, condition, resource, served_version, users,
};

/// A listener of a Kafka cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: &'static str,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// `tls`, `scram-sha-512`, or nothing.
    pub authentication: Option<&'static str>,
}

/// Makes a Kafka cluster as Strimzi would show it: ready, with the listeners' addresses in its status and the
/// Secret of its certificate authority.
///
/// # Errors
/// When the API server refuses an object.
pub async fn make_kafka(
    namespace: &Namespace,
    name: &str,
    listeners: &[Listener],
    authorization: Option<&str>,
) -> Result<()> {
    let declared: Vec<Value> = listeners
        .iter()
        .map(|listener| {
            let mut declared =
                json!({"name": listener.name, "port": listener.port, "type": "internal", "tls": listener.tls});
            if let Some(kind) = listener.authentication {
                declared["authentication"] = json!({"type": kind});
            }
            declared
        })
        .collect();
    let version = served_version(&namespace.client()).await?;
    let mut kafka = json!({
        "apiVersion": format!("{GROUP}/{version}"), "kind": "Kafka", "metadata": {"name": name},
        "spec": {"kafka": {"listeners": declared}, "entityOperator": {"topicOperator": {}, "userOperator": {}}},
    });
    if let Some(kind) = authorization {
        kafka["spec"]["kafka"]["authorization"] = json!({"type": kind});
    }
    let resource = resource(&version, "Kafka");
    let kafkas = Api::<DynamicObject>::namespaced_with(namespace.client(), namespace.name(), &resource);
    let how = PatchParams::apply(objects::FIELD_MANAGER).force();
    kafkas.patch(name, &how, &Patch::Apply(&kafka)).await?;
    let served: Vec<Value> = listeners
        .iter()
        .map(|listener| {
            let host = format!("{name}-kafka-bootstrap.{}.svc", namespace.name());
            json!({
                "name": listener.name, "addresses": [{"host": host, "port": listener.port}],
                "bootstrapServers": format!("{host}:{}", listener.port),
            })
        })
        .collect();
    let status = json!({"status": {
        "clusterId": "e2e", "kafkaVersion": "4.3.1", "observedGeneration": 1,
        "listeners": served, "conditions": [condition("Ready", "True", None)],
    }});
    kafkas.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    let authority = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("{name}-cluster-ca-cert"), "labels": {CLUSTER_LABEL: name, "strimzi.io/kind": "Kafka"}},
        "stringData": {"ca.crt": users::certificate()},
    });
    namespace.apply(&authority.to_string()).await?;
    Ok(())
}
