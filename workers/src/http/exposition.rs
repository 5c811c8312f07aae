//! Metrics as an answer, in the text format of Prometheus.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus::{Encoder, Registry, TEXT_FORMAT, TextEncoder};

/// See the module.
pub(crate) struct Exposition(String);

impl Exposition {
    /// All metrics of a registry as they stand now.
    pub(crate) fn of(registry: &Registry) -> prometheus::Result<Self> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text)?;
        let text = String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))?;
        Ok(Self(text))
    }
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, TEXT_FORMAT)], self.0).into_response()
    }
}
