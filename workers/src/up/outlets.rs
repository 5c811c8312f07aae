//! Who is told of alerts: the routes of the pipeline, with the secrets that stand in its files.
//!
//! Must not refuse a pipeline for a route: what cannot be reached from a laptop is told on the console.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use parking_crds::{pipeline::Route, reference::SecretKeyRef, role::Role};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Pipeline, UpError};
use crate::{
    adapters::{console_notifier::ConsoleNotifier, route_notifier},
    domain::notify::Routing,
    http::PortMetrics,
    ports::{clock::Clock, notifier::Notifier},
    runtime::notify::{Delivery, Outlet, Positions, Slots},
};

/// Deliveries under way; dropped, they go on with the next run where these stopped.
pub(super) struct Deliveries {
    tasks: JoinSet<()>,
    positions: Option<Arc<Positions>>,
}

impl Deliveries {
    /// Starts one task a route and partition.
    #[expect(clippy::disallowed_methods, reason = "the composition root is where tasks and names begin")]
    pub(super) async fn start(pipeline: &Pipeline<'_>, counted: &PortMetrics) -> Result<Self, UpError> {
        let deployment = pipeline.deployment;
        let routes = &deployment.pipeline.spec.routes;
        let names: Vec<_> = routes.iter().map(|route| route.name.as_str().to_owned()).collect();
        if names.is_empty() {
            return Ok(Self { tasks: JoinSet::new(), positions: None });
        }
        let routing = Arc::new(Routing::new(routes, &deployment.rules));
        let (ports, slots) = (counted.ports(Role::Notify.as_str(), &pipeline.ports), Slots::one());
        let partitions = pipeline.partitions;
        let claimed = Positions::claim(ports.clone(), &names, &slots, partitions, Uuid::new_v4).await?;
        let positions = Arc::new(claimed);
        let mut tasks = JoinSet::new();
        for (route, name) in routes.iter().zip(&names) {
            let notifier = notifier(route, name, &deployment.secrets, &pipeline.ports.clock);
            let outlet = Arc::new(Outlet::new(route, notifier, Arc::default(), &slots));
            for partition in 0..pipeline.partitions {
                tasks.spawn(drive(Delivery {
                    ports: ports.clone(),
                    routing: Arc::clone(&routing),
                    slots: slots.clone(),
                    positions: Arc::clone(&positions),
                    outlet: Arc::clone(&outlet),
                    partition,
                    late_rules: None,
                }));
            }
        }
        Ok(Self { tasks, positions: Some(positions) })
    }

    /// Ends them: what was not answered is told by the next run.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
        let Some(positions) = self.positions else { return };
        if let Err(error) = positions.store().await {
            tracing::warn!("the next run looks at some alerts again: {error}");
        }
    }
}

async fn drive(delivery: Delivery) {
    if let Err(error) = delivery.run().await {
        tracing::error!(route = delivery.outlet.route, "no more alerts are delivered here: {error}");
    }
}

fn notifier(route: &Route, name: &str, secrets: &[Secret], clock: &Arc<dyn Clock>) -> Arc<dyn Notifier> {
    let secret = |key: &SecretKeyRef| secret(secrets, key.name.as_str(), key.key.as_str());
    match route_notifier::open(route, &secret, clock) {
        Ok(notifier) => notifier,
        Err(reason) => {
            tracing::warn!(route = name, "told on the console instead: {reason}");
            Arc::new(ConsoleNotifier::stderr())
        }
    }
}

fn secret(secrets: &[Secret], name: &str, key: &str) -> Result<String, String> {
    let found = secrets.iter().find(|secret| secret.metadata.name.as_deref() == Some(name));
    let found = found.ok_or_else(|| format!("no Secret `{name}` in these files"))?;
    let plain = found.string_data.as_ref().and_then(|data| data.get(key)).cloned();
    let encoded = || {
        let bytes = found.data.as_ref().and_then(|data| data.get(key))?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    plain.or_else(encoded).ok_or_else(|| format!("Secret `{name}` has no text under `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Vec<Secret> {
        let plain = r#"{"metadata":{"name":"plain"},"stringData":{"url":"http://127.0.0.1/a"}}"#;
        let encoded = r#"{"metadata":{"name":"encoded"},"data":{"url":"aHR0cDovLzEyNy4wLjAuMS9i"}}"#;
        [plain, encoded].map(|text| serde_json::from_str(text).unwrap()).into()
    }

    #[test]
    fn url_is_found_in_either_form_of_a_secret() {
        assert_eq!(secret(&secrets(), "plain", "url").unwrap(), "http://127.0.0.1/a");
        assert_eq!(secret(&secrets(), "encoded", "url").unwrap(), "http://127.0.0.1/b");
    }

    #[test]
    fn missing_secret_and_missing_key_are_named() {
        assert_eq!(secret(&secrets(), "other", "url").unwrap_err(), "no Secret `other` in these files");
        assert_eq!(secret(&secrets(), "plain", "key").unwrap_err(), "Secret `plain` has no text under `key`");
    }
}
