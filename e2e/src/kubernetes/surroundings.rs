//! What a pipeline finds around it: a Kafka with its operators, kubelets, the keys of an object store, an inventory.
//!
//! Must not: make a pipeline. Invariant: the doubles end with the value.

use serde_json::json;

use super::{
    error::Result,
    kubelet::{Kubelet, Rules, WorkerOf},
    namespace::Namespace,
    strimzi::{Listener, Mode, Strimzi, make_kafka},
};
use crate::minio::KEYS;

/// Name of the Kafka cluster.
pub const KAFKA: &str = "events";
/// Name of the Secret with the keys of the object store.
pub const STORE_KEYS: &str = "minio";
/// Name of the ConfigMap with the inventory.
pub const INVENTORY: &str = "city-inventory";

/// Who stands for the rest of a cluster in a namespace.
pub struct Surroundings {
    /// Runs the pods.
    pub kubelet: Kubelet,
    /// Makes topics and users.
    pub strimzi: Strimzi,
}

impl Surroundings {
    /// Furnishes a namespace whose workers behave like this.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn start(namespace: &Namespace, workers: Box<WorkerOf>) -> Result<Self> {
        let strimzi = kafka(namespace).await?;
        let kubelet = kubelet(namespace, workers).await?;
        namespace.apply(&referenced()).await?;
        Ok(Self { kubelet, strimzi })
    }
}

/// A Kafka with authorization and a TLS listener, and its operators.
///
/// # Errors
/// When the API server refuses an object.
pub async fn kafka(namespace: &Namespace) -> Result<Strimzi> {
    let listener = Listener { name: "tls", port: 9093, tls: true, authentication: Some("tls") };
    make_kafka(namespace, KAFKA, &[listener], Some("simple")).await?;
    Strimzi::start(namespace, KAFKA, Mode::Prompt)
}

/// A kubelet whose workers behave like this.
///
/// # Errors
/// When the API server refuses an object.
pub async fn kubelet(namespace: &Namespace, workers: Box<WorkerOf>) -> Result<Kubelet> {
    Kubelet::start(namespace, Rules { workers, ..Rules::default() }).await
}

/// What a pipeline's spec refers to.
fn referenced() -> String {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": STORE_KEYS},
        "stringData": {"accessKey": KEYS.0, "secretKey": KEYS.1},
    });
    let inventory = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INVENTORY},
        "data": {"inventory.yaml": "
revisions:
- validFrom: 2026-01-01T00:00:00Z
  timeZone: Europe/London
  zones:
  - id: b73d6a5b-0cf9-5c50-872b-fd025065eae2
    userZoneId: Z1
    name: First
    capacity: 10
    class: general
    staleAfter: 1h
    devices:
    - {id: 4063de01-e745-59a2-94db-1d0989b678b7, type: data_feed}
"},
    });
    format!("{secret}\n---\n{inventory}")
}
