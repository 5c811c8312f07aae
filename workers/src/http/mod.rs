//! What a running pipeline answers over HTTP: probes, metrics, status, zones and alerts.
//!
//! Must not change anything: every route is a GET. Invariants: an error is JSON `{"error": sentence}`;
//! no secret and no plate is ever answered; the routes are those of the committed interface description.

mod metrics;
mod openapi;
mod port_metrics;
mod status;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use openapi::document;
pub(crate) use openapi::generator_of_components;
pub use port_metrics::PortMetrics;
pub use status::{ImportStatus, Phase, RefusedRule, Status, StatusBoard};

use crate::{
    metrics::{Described, Exposition},
    view::{AlertFilter, View, ViewError},
};

/// Where the routes find what they answer.
#[derive(Clone)]
pub struct Site {
    /// Zones, alerts, positions.
    pub view: Arc<View>,
    /// The process itself.
    pub board: Arc<StatusBoard>,
}

/// Most alerts of one answer.
const MAX_ALERTS: usize = 10_000;

/// Every family of metrics of a running pipeline.
pub fn described_metrics() -> prometheus::Result<Vec<Described>> {
    metrics::described()
}

/// All routes.
pub fn router(site: Site) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/v1/zones", get(zones))
        .route("/v1/zones/{id}", get(zone))
        .route("/v1/alerts", get(alerts))
        .route("/v1/openapi.json", get(async || Json(document())))
        .fallback(async || {
            Failure(StatusCode::NOT_FOUND, "no such route; GET /v1/openapi.json lists them".into())
        })
        .with_state(site)
}

/// What went wrong with a request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// One sentence.
    pub error: String,
}

struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorBody { error: self.1 })).into_response()
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        tracing::error!("a request failed: {error}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

async fn readyz(State(site): State<Site>) -> Result<&'static str, Failure> {
    match site.board.not_ready() {
        None => Ok("ok\n"),
        Some(reason) => Err(Failure(StatusCode::SERVICE_UNAVAILABLE, reason)),
    }
}

async fn metrics(State(site): State<Site>) -> Result<Exposition, Failure> {
    let standing = site.view.standing().await?;
    let firing = site.board.firing(&site.view).await?;
    metrics::render(&standing, &firing, &site.board)
        .map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn status(State(site): State<Site>) -> Result<Json<Status>, Failure> {
    let standing = site.view.standing().await?;
    Ok(Json(site.board.status(&standing)))
}

async fn zones(State(site): State<Site>) -> Result<Response, Failure> {
    Ok(Json(site.view.standing().await?.zones()).into_response())
}

async fn zone(State(site): State<Site>, Path(id): Path<String>) -> Result<Response, Failure> {
    let found = site.view.standing().await?.zone(&id);
    let missing = || Failure(StatusCode::NOT_FOUND, format!("the inventory has no zone `{id}`"));
    Ok(Json(found.ok_or_else(missing)?).into_response())
}

/// What may be asked of `/v1/alerts`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertQuery {
    state: Option<String>,
    rule: Option<String>,
    limit: Option<usize>,
}

async fn alerts(
    State(site): State<Site>,
    query: Result<Query<AlertQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|error| Failure(StatusCode::BAD_REQUEST, error.body_text()))?;
    let filter = AlertFilter {
        state: query.state,
        rule: query.rule,
        limit: Some(query.limit.unwrap_or(MAX_ALERTS).min(MAX_ALERTS)),
    };
    filter.check().map_err(|error| Failure(StatusCode::BAD_REQUEST, error))?;
    Ok(Json(site.view.alerts(&filter).await?).into_response())
}
