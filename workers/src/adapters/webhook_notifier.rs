//! A notifier that posts alerts to a URL.
//!
//! Must not print the URL: it may hold a secret. The key travels in the header `Idempotency-Key`.

use async_trait::async_trait;
use parking_crds::duration::Duration;
use reqwest::{
    Client, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};

use super::webhook_signer::WebhookSigner;
use crate::ports::{
    ErrorKind, PortError, PortResult,
    notifier::{Notification, Notifier},
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL is none, or not one of HTTP.
    #[error("the webhook's URL is not an http or https URL")]
    Url,
    /// The client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
}

/// Posts each notification as JSON `{idempotency_key, route, recovered?, alert}`.
pub struct WebhookNotifier {
    client: Client,
    url: Url,
    signer: Option<WebhookSigner>,
}

impl WebhookNotifier {
    /// Posts to `url`; a call that takes longer than `timeout` has failed.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, WebhookError> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(WebhookError::Url)?;
        let client = Client::builder().timeout(timeout.into()).redirect(Policy::none()).build();
        Ok(Self { client: client.map_err(WebhookError::Client)?, url, signer: None })
    }

    /// Signs each request.
    #[must_use]
    pub fn signed(self, signer: WebhookSigner) -> Self {
        Self { signer: Some(signer), ..self }
    }
}

#[async_trait]
impl Notifier for WebhookNotifier {
    async fn notify(&self, notification: &Notification) -> PortResult<()> {
        let attempt = format!("posting to the webhook of route {}", notification.route);
        let invalid = |reason: &str| PortError::caused(ErrorKind::Invalid, attempt.clone(), reason);
        let key = HeaderValue::from_str(&notification.idempotency_key);
        let key = key.map_err(|_| invalid("the idempotency key does not fit a header"))?;
        let body = serde_json::to_vec(notification).map_err(|error| invalid(&error.to_string()))?;
        let mut request = self.client.post(self.url.clone());
        if let Some(signer) = &self.signer {
            let headers = signer.headers(&key, &body).map_err(|error| invalid(&error.to_string()))?;
            request = request.headers(HeaderMap::from_iter(headers));
        }
        let request = request.header(IDEMPOTENCY_KEY, key);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match request.body(body).send().await {
            Ok(response) => check_status(response.status(), attempt),
            Err(error) => {
                let kind = if error.is_connect() { ErrorKind::Transient } else { ErrorKind::Ambiguous };
                Err(PortError::caused(kind, attempt, error.without_url()))
            }
        }
    }
}

fn check_status(status: StatusCode, attempt: String) -> PortResult<()> {
    let kind = match status {
        status if status.is_success() => return Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Transient,
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => ErrorKind::Ambiguous,
        _ => ErrorKind::Invalid,
    };
    Err(PortError::caused(kind, attempt, format!("the receiver answered {status}")))
}
