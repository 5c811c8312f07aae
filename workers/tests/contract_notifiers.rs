//! The notifiers keep every guarantee of their port.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::{
        console_notifier::ConsoleNotifier,
        webhook_notifier::{WebhookError, WebhookNotifier},
    },
    ports::{
        ErrorKind,
        contract::notifier::Received,
        notifier::{Notification, Notifier},
    },
};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn console() -> (Arc<dyn Notifier>, impl Fn() -> Received) {
    let lines = Lines::default();
    let notifier = ConsoleNotifier::new(lines.clone());
    let received = move || {
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let parse = |line: &str| {
            let (route, rest) = line.split_once(' ').unwrap();
            assert_eq!(route, "ops");
            let (key, alert) = rest.split_once(' ').unwrap();
            (key.to_owned(), alert.to_owned())
        };
        text.lines().map(parse).collect()
    };
    (Arc::new(notifier), received)
}

#[derive(Clone)]
struct Receiver {
    status: StatusCode,
    received: Arc<Mutex<Received>>,
}

#[derive(serde::Deserialize)]
struct Posted {
    idempotency_key: String,
    alert: Box<RawValue>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let posted: Posted = serde_json::from_str(&body).unwrap();
    let key = headers["Idempotency-Key"].to_str().unwrap().to_owned();
    assert_eq!(posted.idempotency_key, key);
    receiver.received.lock().unwrap().push((key, posted.alert.get().to_owned()));
    receiver.status
}

#[expect(clippy::disallowed_methods, reason = "the receiver of a test is a task of its own")]
async fn receive(status: StatusCode) -> (WebhookNotifier, Arc<Mutex<Received>>) {
    let received = Arc::new(Mutex::new(Received::new()));
    let state = Receiver { status, received: Arc::clone(&received) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(take)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (WebhookNotifier::new(&url, Duration::from_secs(30)).unwrap(), received)
}

async fn webhook() -> (Arc<dyn Notifier>, impl Fn() -> Received) {
    let (notifier, received) = receive(StatusCode::NO_CONTENT).await;
    (Arc::new(notifier), move || received.lock().unwrap().clone())
}

mod on_console {
    parking_workers::notifier_contract!(super::super::console);
}

mod on_webhook {
    parking_workers::notifier_contract!(super::super::webhook);
}

fn notification() -> Notification {
    let alert = RawValue::from_string("{}".to_owned()).unwrap();
    Notification { idempotency_key: "k".to_owned(), route: "ops".to_owned(), recovered: false, alert }
}

#[tokio::test]
async fn a_refused_notification_is_an_error_whose_kind_says_whether_to_try_again() {
    for (status, kind) in [
        (StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Transient),
        (StatusCode::TOO_MANY_REQUESTS, ErrorKind::Transient),
        (StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Ambiguous),
        (StatusCode::NOT_FOUND, ErrorKind::Invalid),
        (StatusCode::FOUND, ErrorKind::Invalid),
    ] {
        let (notifier, _) = receive(status).await;
        assert_eq!(notifier.notify(&notification()).await.unwrap_err().kind, kind, "{status}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_can_be_tried_again_and_its_url_is_not_printed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let notifier = WebhookNotifier::new(&url, Duration::from_secs(30)).unwrap();
    let error = notifier.notify(&notification()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_may_have_taken_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let notifier = WebhookNotifier::new(&url, Duration::from_millis(50)).unwrap();
    let error = notifier.notify(&notification()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous);
}

#[test]
fn a_url_of_another_kind_is_refused_without_printing_it() {
    for url in ["", "hooks/secret", "file:///etc/secret"] {
        let refused = WebhookNotifier::new(url, Duration::from_secs(1));
        let refused = refused.err().unwrap();
        assert!(matches!(refused, WebhookError::Url));
        assert!(!refused.to_string().contains("secret"));
    }
}
