//! The notifier: tells people and systems about alerts.
//!
//! Guarantees:
//! - **N1** A notification that was answered was taken by the receiver.
//! - **N2** The idempotency key travels with it, so that a receiver can drop repeats.

use async_trait::async_trait;

use super::PortResult;

/// One message about one alert.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Notification {
    /// The same for every try of the same message.
    pub idempotency_key: String,
    /// The route of the pipeline.
    pub route: String,
    /// It is not known what was told before: this fires, may be a repeat, and what was over was not told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The alert record as it stands on the `alerts` stream.
    pub alert: Box<serde_json::value::RawValue>,
}

/// The port. See the module for its guarantees.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers one message (N1, N2).
    async fn notify(&self, notification: &Notification) -> PortResult<()>;
}
