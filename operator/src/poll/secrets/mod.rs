//! Secrets, asked for one by one by name: the operator has no right to list or watch them.
//!
//! Must not: read what a Secret holds; its metadata is asked for and its version compared.
//! Invariants: each Secret is asked for once an interval however many objects need it; a forbidden one is asked for
//! ever more seldom; the questions are spread over the interval.

mod registry;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::GetParams};
use tokio::sync::{Notify, mpsc};

use self::registry::Registry;
pub use self::registry::{Answer, Interest, SecretName, SecretVersion, Source};
use crate::{metrics::Metrics, monotonic, object::ObjectId};

/// Questions under way at once.
const CONCURRENCY: usize = 16;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The Secrets that objects depend on. Clones share the registrations.
#[derive(Clone)]
pub struct SecretPolls {
    registry: Arc<Mutex<Registry>>,
    changed: Arc<Notify>,
    metrics: Metrics,
}

impl SecretPolls {
    /// No registrations.
    pub fn new(metrics: Metrics) -> Self {
        Self { registry: Arc::default(), changed: Arc::default(), metrics }
    }

    /// Replaces everything that the object depends on.
    pub fn register(&self, object: &ObjectId, interests: Vec<Interest>) {
        if self.registry().register(object, interests, monotonic::now()) {
            self.changed.notify_one();
        }
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectId) {
        self.registry().forget(object);
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for ever, and sends each object that depends on a Secret that appeared, changed or vanished. Ends when
    /// nobody receives any more.
    pub async fn run(self, client: Client, objects: mpsc::UnboundedSender<ObjectId>) {
        let mut asked = FuturesUnordered::new();
        while !objects.is_closed() {
            while asked.len() < CONCURRENCY
                && let Some(name) = self.registry().take_due(monotonic::now())
            {
                asked.push(ask(client.clone(), name));
            }
            let next = if asked.len() < CONCURRENCY { self.registry().next_due() } else { None };
            tokio::select! {
                Some((name, answer)) = asked.next() => {
                    self.metrics.polled("secret", answer.as_str());
                    for object in self.registry().answered(&name, &answer, monotonic::now()) {
                        // A closed channel ends the loop.
                        let _ = objects.send(object);
                    }
                }
                () = async {
                    match next {
                        Some(due) => monotonic::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.changed.notified() => {}
                () = objects.closed() => {}
            }
        }
    }
}

async fn ask(client: Client, name: SecretName) -> (SecretName, Answer) {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    // Out of the API server's memory, which lags behind its database by much less than the pause between two questions.
    let question = GetParams::any();
    let answer = match monotonic::within(ANSWER, api.get_metadata_opt_with(&name.name, &question)).await {
        Some(Ok(Some(secret))) => match secret.resource_version() {
            Some(version) => Answer::Is(SecretVersion::Present(version)),
            None => Answer::Failed,
        },
        Some(Ok(None)) => Answer::Is(SecretVersion::Absent),
        Some(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => Answer::Forbidden,
        Some(Err(_)) | None => Answer::Failed,
    };
    (name, answer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::{
        Router,
        extract::{Path, RawQuery},
        http::StatusCode,
        response::IntoResponse,
        routing::get,
    };

    use super::*;
    use crate::object::ObjectKind;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the server runs beside the test")]
    async fn a_changed_secret_is_reported_to_who_depends_on_it() {
        let versions =
            Arc::new(Mutex::new(BTreeMap::from([("kafka".to_owned(), "1"), ("s3".to_owned(), "1")])));
        let stored = Arc::clone(&versions);
        let app = Router::new().route(
            "/api/v1/namespaces/parking/secrets/{name}",
            get(move |Path(name): Path<String>, RawQuery(query): RawQuery| async move {
                if query.is_none_or(|query| !query.contains("resourceVersion=0")) {
                    return StatusCode::TOO_MANY_REQUESTS.into_response();
                }
                match stored.lock().unwrap().get(&name) {
                    Some(version) => format!(
                        r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#
                    )
                    .into_response(),
                    None => (
                        StatusCode::NOT_FOUND,
                        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound"}"#,
                    )
                        .into_response(),
                }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let client =
            Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let polls = SecretPolls::new(Metrics::new().unwrap());
        let city = ObjectId::new(ObjectKind::Pipeline, "parking", "city");
        let town = ObjectId::new(ObjectKind::Pipeline, "parking", "town");
        let interest = |name| Interest {
            secret: SecretName::new("parking", name),
            source: Source::Copied,
            seen: Some(SecretVersion::Present("1".to_owned())),
        };
        polls.register(&city, vec![interest("kafka")]);
        polls.register(&town, vec![interest("s3")]);
        let (objects, mut reported) = mpsc::unbounded_channel();
        let run = tokio::spawn(polls.run(client, objects));
        versions.lock().unwrap().insert("kafka".to_owned(), "2");
        let wait = Duration::from_secs(30);
        assert_eq!(monotonic::within(wait, reported.recv()).await, Some(Some(city)));
        versions.lock().unwrap().remove("s3");
        assert_eq!(monotonic::within(wait, reported.recv()).await, Some(Some(town)));
        drop(reported);
        monotonic::within(wait, run).await.unwrap().unwrap();
        server.abort();
    }
}
