//! Events on our own three kinds: what changed of an object, told once.
//!
//! Invariant: what is remembered does not grow with the number of objects.

use std::sync::{Mutex, PoisonError};

use kube::{
    Client, Resource, ResourceExt,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::status::Transition;

/// Events that are remembered, to count an equal one on them instead of writing another. The client's recorder
/// keeps each for minutes and goes through all of them with each new one; ten thousand rules would be ten
/// thousand Events of two kilobytes.
const REMEMBERED: u16 = 256;

/// Who writes Events.
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorder: Mutex<(Recorder, u16)>,
}

impl Events {
    /// Nothing was told yet.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        let recorder = Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0));
        Self { client, reporter, recorder }
    }

    /// Tells of transitions. An Event that cannot be written is logged and lost: the condition says the same.
    pub(super) async fn tell<K>(&self, object: &K, transitions: &[Transition])
    where
        K: Resource<DynamicType = ()>,
    {
        for transition in transitions {
            let event = Event {
                type_: if transition.warning { EventType::Warning } else { EventType::Normal },
                reason: transition.reason.clone(),
                note: Some(transition.message.chars().take(1_000).collect()),
                action: transition.condition.clone(),
                secondary: None,
            };
            if let Err(error) = self.recorder().publish(&event, &object.object_ref(&())).await {
                tracing::debug!(object = object.name_any(), %error, "an Event could not be written");
            }
        }
    }

    /// The recorder of the next Event: after so many, one that remembers none.
    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if recorder.1 == REMEMBERED {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        recorder.1 += 1;
        recorder.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn transition(reason: &str) -> Transition {
        Transition {
            condition: "Ready".to_owned(),
            warning: false,
            reason: reason.to_owned(),
            message: "all is well".to_owned(),
        }
    }

    /// An API server that takes every Event, and how often each method came.
    fn server() -> (Client, Arc<Mutex<Vec<Method>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(request.method().clone());
            async move {
                let mut event: Value =
                    serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                event["metadata"]["name"] = json!("one");
                let answer = Response::new(Body::from(event.to_string().into_bytes()));
                Ok::<_, Infallible>(answer)
            }
        });
        (Client::new(service, "york"), asked)
    }

    #[tokio::test]
    async fn an_equal_event_is_counted_until_too_many_others_came() {
        let (client, asked) = server();
        let events = Events::new(client, Reporter { controller: "parking".to_owned(), instance: None });
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some("inventory".to_owned()),
                namespace: Some("york".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        let last = || asked.lock().unwrap().last().cloned().unwrap();
        events.tell(&object, &[transition("Same"), transition("Same")]).await;
        assert_eq!(last(), Method::PATCH);
        for other in 2..REMEMBERED {
            events.tell(&object, &[transition(&format!("Other{other}"))]).await;
        }
        events.tell(&object, &[transition("Same")]).await;
        assert_eq!(last(), Method::POST, "it was forgotten with all before");
        assert_eq!(asked.lock().unwrap().len(), usize::from(REMEMBERED) + 1);
    }
}
