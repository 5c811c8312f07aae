//! Somebody who is told of alerts over HTTP, and believes no unsigned word.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;

/// What signs, as its Secret holds it.
pub(crate) const SIGNING_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    keys: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Serves; answers the URL.
    pub(crate) async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/alerts", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        format!("http://{address}/alerts")
    }

    /// Keys of what was taken, in order of arrival.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, signed_at) = (header("webhook-id"), header("webhook-timestamp"));
    let secret = BASE64.decode(SIGNING_KEY.trim_start_matches("whsec_").as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{id}.{signed_at}.{body}").as_bytes());
    if header("webhook-signature") != format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())) {
        return StatusCode::UNAUTHORIZED;
    }
    assert_eq!(id, header("idempotency-key"));
    receiver.keys.lock().unwrap().push(id);
    StatusCode::NO_CONTENT
}
