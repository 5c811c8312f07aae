//! Verdicts of the User Operator.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON made here: an unknown key reads as null and is made when written"
)]

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use rand::Rng as _;
use serde_json::{Value, json};

use super::{Shared, annotated, condition, report};
use crate::kubernetes::error::Result;

const MANAGER: &str = "e2e-user-operator";

pub(super) async fn attend(
    client: &Client,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    shared: &Shared,
) -> Result<()> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    if annotated(object, "strimzi.io/pause-reconciliation", "true") {
        let paused = condition("ReconciliationPaused", "True", None);
        return report(api, object, json!({ "conditions": [paused] }), shared).await;
    }
    let name = object.name_any();
    let kind = object.data.pointer("/spec/authentication/type").and_then(Value::as_str).unwrap_or_default();
    let (username, content) = match kind {
        "tls" => (format!("CN={name}"), Some(tls())),
        "scram-sha-512" => (name.clone(), Some(scram(&name))),
        "tls-external" => (format!("CN={name}"), None),
        _ => (name.clone(), None),
    };
    let mut status = json!({"conditions": [condition("Ready", "True", None)], "username": username});
    if let Some(content) = content {
        keep_secret(client, api, object, &content).await?;
        status["secret"] = json!(name);
    }
    report(api, object, status, shared).await
}

/// Makes the Secret when it is missing, of another kind, or to be renewed.
async fn keep_secret(
    client: &Client,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    content: &Value,
) -> Result<()> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let secrets = Api::<Secret>::namespaced(client.clone(), &namespace);
    let stored = secrets.get_opt(&name).await?;
    let renew = annotated(object, "strimzi.io/force-renew", "true");
    let fits = stored
        .and_then(|secret| secret.data)
        .is_some_and(|data| content.as_object().into_iter().flatten().all(|(key, _)| data.contains_key(key)));
    if fits && !renew {
        return Ok(());
    }
    let owner = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "name": name, "uid": object.uid(),
        "controller": false, "blockOwnerDeletion": false,
    });
    let mut labels = json!(object.labels());
    labels["strimzi.io/kind"] = json!("KafkaUser");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "stringData": content,
    });
    secrets.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&secret)).await?;
    if renew {
        let done = json!({"metadata": {"annotations": {"strimzi.io/force-renew": null}}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&done)).await?;
    }
    Ok(())
}

fn tls() -> Value {
    json!({"ca.crt": certificate(), "user.crt": certificate(), "user.key": framed("PRIVATE KEY")})
}

fn scram(user: &str) -> Value {
    let password = random();
    let login = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{user}\" password=\"{password}\";"
    );
    json!({"password": password, "sasl.jaas.config": login})
}

/// Text in the shape of a certificate, another one each time.
pub(super) fn certificate() -> String {
    framed("CERTIFICATE")
}

fn framed(title: &str) -> String {
    format!("-----BEGIN {title}-----\n{}\n-----END {title}-----\n", random())
}

fn random() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
