//! Who is told of alerts: the routes of the pipeline, with the secrets that stand in its files.
//!
//! Must not refuse a pipeline for a route: what cannot be reached from a laptop is told on the console.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use parking_crds::{
    duration::Duration,
    pipeline::{Route, Target, Url, UrlTarget},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Pipeline, UpError};
use crate::{
    adapters::{console_notifier::ConsoleNotifier, webhook_notifier::WebhookNotifier},
    domain::notify::Routing,
    ports::{PortResult, notifier::Notifier},
    runtime::notify::{Delivery, Outlet, Positions},
};

const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Deliveries under way; dropped, they go on with the next run where these stopped.
pub(super) struct Deliveries(JoinSet<()>);

impl Deliveries {
    /// Starts one task a route and partition.
    #[expect(clippy::disallowed_methods, reason = "the composition root is where tasks and names begin")]
    pub(super) async fn start(pipeline: &Pipeline<'_>) -> Result<Self, UpError> {
        let deployment = pipeline.deployment;
        let routes = &deployment.pipeline.spec.routes;
        let names: Vec<_> = routes.iter().map(|route| route.name.as_str().to_owned()).collect();
        if names.is_empty() {
            return Ok(Self(JoinSet::new()));
        }
        let routing = Arc::new(Routing::new(routes, &deployment.rules));
        let positions = Arc::new(Positions::claim(pipeline.ports.clone(), &names, Uuid::new_v4()).await?);
        let mut tasks = JoinSet::new();
        for (route, name) in routes.iter().zip(&names) {
            let notifier = notifier(route, name, &deployment.secrets);
            let outlet = Arc::new(Outlet::new(name, notifier, route.max_per_minute()));
            for partition in 0..pipeline.partitions {
                tasks.spawn(drive(Delivery {
                    ports: pipeline.ports.clone(),
                    routing: Arc::clone(&routing),
                    positions: Arc::clone(&positions),
                    outlet: Arc::clone(&outlet),
                    partition,
                }));
            }
        }
        Ok(Self(tasks))
    }

    /// Ends them: what was not answered is told by the next run.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn drive(delivery: Delivery) {
    let rounds = async {
        loop {
            if !delivery.round().await? {
                delivery.wait().await?;
            }
        }
    };
    let ended: PortResult<()> = rounds.await;
    if let Err(error) = ended {
        tracing::error!(route = delivery.outlet.route, "no more alerts are delivered here: {error}");
    }
}

fn notifier(route: &Route, name: &str, secrets: &[Secret]) -> Arc<dyn Notifier> {
    let found = match route.target() {
        Some(Target::Console) => return Arc::new(ConsoleNotifier::stderr()),
        Some(Target::Webhook(target)) => webhook(target, secrets),
        Some(Target::Slack(_) | Target::Discord(_) | Target::Email(_)) | None => {
            Err("its kind of target is not delivered to from here".to_owned())
        }
    };
    match found {
        Ok(webhook) => Arc::new(webhook),
        Err(reason) => {
            tracing::warn!(route = name, "told on the console instead: {reason}");
            Arc::new(ConsoleNotifier::stderr())
        }
    }
}

fn webhook(target: &UrlTarget, secrets: &[Secret]) -> Result<WebhookNotifier, String> {
    let url = match target.url() {
        Some(Url::Plain(url)) => url.to_owned(),
        Some(Url::Secret(reference)) => secret(secrets, reference.name.as_str(), reference.key.as_str())?,
        None => return Err("it names no URL".to_owned()),
    };
    WebhookNotifier::new(&url, WEBHOOK_TIMEOUT).map_err(|error| error.to_string())
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
