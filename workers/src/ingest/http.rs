//! `POST /v1/events`, and what those who run ingest ask of it.
//!
//! Invariants: `202` and `207` are answered only after the log answered (G1); an error is JSON
//! `{"error": sentence}`; the routes are those of the committed interface description.
//!
//! | status | meaning |
//! |---|---|
//! | 202 | all records are in the log |
//! | 207 | some are, those that are refused are named |
//! | 403 | none is: the key lacks the right to write them, or they are another tenant's |
//! | 422 | none is: all are refused |
//! | 429, 503 | none is known to be: send them again after `Retry-After`, with the same ids |

mod openapi;
mod probes;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use parking_crds::{duration::Duration, topology::PipelineId};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

pub use self::{
    openapi::document,
    probes::{Phase, Pipeline, Status},
};
use super::{
    body::{self, BodyError, Format},
    gather::Held,
    grant::Grant,
    intake::{Intake, Transport, Turned, Verdicts},
};
use crate::{
    http::ErrorBody,
    ports::{ErrorKind, event_log::EventLog},
};

/// How long a sender may take for a body.
const LONGEST_READ: Duration = Duration::from_millis(30_000);

/// Where the routes find what they need.
#[derive(Clone)]
pub struct Site {
    /// Takes the records.
    pub intake: Arc<Intake>,
    /// Asked whether it can be reached.
    pub log: Arc<dyn EventLog>,
    /// Longest body, in bytes, once it is unpacked.
    pub max_body_bytes: usize,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Becomes true once the process is told to end.
    pub stopping: watch::Receiver<bool>,
    /// When the process began, on the clock's monotonic time.
    pub started: parking_crds::event::Millis,
}

/// All routes.
pub fn router(site: Site) -> Router {
    let router = Router::new();
    #[cfg(feature = "grpc")]
    let router = router.route_service(super::grpc::PATH, super::grpc::service(site.clone()));
    router
        .route("/v1/events", post(publish))
        .route("/v1/openapi.json", get(async || Json(document())))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .route("/status", get(probes::status))
        .fallback(async || {
            Failure::new(StatusCode::NOT_FOUND, "no such route; GET /v1/openapi.json lists them")
        })
        .with_state(site)
}

/// The verdicts on the records of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Published {
    /// Records of the request.
    pub records: usize,
    /// Records that are in the log.
    pub accepted: usize,
    /// Records that are not; all others were accepted.
    pub refused: Vec<RefusedRecord>,
}

/// A record that was refused; sent again unchanged, it is refused again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefusedRecord {
    /// Its place in the request, from 0.
    pub record: usize,
    /// A word for programs.
    pub reason: &'static str,
    /// What exactly, for people; names the field.
    pub detail: String,
}

impl From<Verdicts> for Published {
    fn from(verdicts: Verdicts) -> Self {
        let (records, accepted) = (verdicts.records, verdicts.accepted());
        let refused = verdicts.refused.into_iter().map(|(record, refusal)| RefusedRecord {
            record,
            reason: refusal.reason.as_str(),
            detail: refusal.detail.into_owned(),
        });
        Self { records, accepted, refused: refused.collect() }
    }
}

/// A request that is turned away.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    error: String,
    retry_after: Option<u64>,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), retry_after: None }
    }

    fn busy() -> Self {
        Turned::Busy.into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: self.error })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Turned> for Failure {
    fn from(turned: Turned) -> Self {
        let (status, retry_after) = match &turned {
            Turned::NoKey | Turned::UnknownKey => (StatusCode::UNAUTHORIZED, None),
            Turned::TooFast(wait) => {
                let seconds = u64::try_from(wait.millis()).unwrap_or(0).div_ceil(1_000);
                (StatusCode::TOO_MANY_REQUESTS, Some(seconds.max(1)))
            }
            Turned::Busy => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
            Turned::Log(failed) => match failed.kind {
                ErrorKind::Invalid | ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, None),
                ErrorKind::Transient | ErrorKind::Ambiguous | ErrorKind::Closed => {
                    (StatusCode::SERVICE_UNAVAILABLE, Some(1))
                }
                ErrorKind::Full => (StatusCode::SERVICE_UNAVAILABLE, Some(30)),
            },
        };
        Self { status, error: turned.to_string(), retry_after }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::NotAnArray(_) | BodyError::Empty | BodyError::NotGzip(_) => StatusCode::BAD_REQUEST,
            BodyError::TooMany(_) | BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(status, error.to_string())
    }
}

async fn publish(State(site): State<Site>, headers: HeaderMap, body: Body) -> Response {
    let answer = take(&site, &headers, body).await;
    answer.unwrap_or_else(|(reason, failure)| {
        site.intake.meter.turned_away(Transport::Http.as_str(), reason);
        failure.into_response()
    })
}

type TurnedAway = (&'static str, Failure);

fn turned(turned: Turned) -> TurnedAway {
    (turned.as_str(), turned.into())
}

fn unusable(error: BodyError) -> TurnedAway {
    ("body", error.into())
}

async fn take(site: &Site, headers: &HeaderMap, body: Body) -> Result<Response, TurnedAway> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let grant = site.intake.let_in(text(header::AUTHORIZATION)).map_err(turned)?;
    let format = Format::of(text(header::CONTENT_TYPE).unwrap_or_default())
        .ok_or_else(|| unsupported("the content type is not application/json or application/x-ndjson"))?;
    let packed = match text(header::CONTENT_ENCODING).map(str::trim) {
        None | Some("" | "identity") => false,
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => true,
        Some(_) => return Err(unsupported("the content encoding is not gzip")),
    };
    site.intake.check_rate(&grant).map_err(turned)?;
    let (mut body, mut held) = read_in_time(site, body).await?;
    if packed {
        let unpacked = body::unzip(&body, site.max_body_bytes).map_err(unusable)?;
        let more = site.intake.gather.hold(unpacked.len()).ok_or_else(|| turned(Turned::Busy))?;
        held.merge(more);
        body = unpacked.into();
    }
    let answered = judged(site, &grant, &body, format).await;
    drop(held);
    answered
}

fn unsupported(error: &str) -> TurnedAway {
    ("media_type", Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

async fn judged(site: &Site, grant: &Grant, body: &[u8], format: Format) -> Result<Response, TurnedAway> {
    let records = body::split(body, format).map_err(unusable)?;
    let verdicts = site.intake.publish(Transport::Http, grant, &records).await.map_err(|away| {
        if let Turned::Log(failed) = &away {
            tracing::warn!("a request was turned away: {failed}");
        }
        turned(away)
    })?;
    let status = status_of(&verdicts);
    Ok((status, Json(Published::from(verdicts))).into_response())
}

fn status_of(verdicts: &Verdicts) -> StatusCode {
    if verdicts.refused.is_empty() {
        StatusCode::ACCEPTED
    } else if verdicts.accepted() > 0 {
        StatusCode::MULTI_STATUS
    } else if verdicts.refused.iter().all(|(_, refusal)| refusal.reason.is_about_the_key()) {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    }
}

async fn read_in_time(site: &Site, body: Body) -> Result<(Bytes, Held), TurnedAway> {
    tokio::select! {
        read = read(site, body) => read,
        () = site.intake.clock.pause(LONGEST_READ) => {
            let error = Failure::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in 30 seconds");
            Err(("body", error))
        }
    }
}

/// Reads a body as it comes; what came is held, so that many slow senders cannot fill the memory.
async fn read(site: &Site, mut body: Body) -> Result<(Bytes, Held), TurnedAway> {
    let busy = || ("busy", Failure::busy());
    let mut whole = BytesMut::new();
    let mut held = site.intake.gather.hold(0).ok_or_else(busy)?;
    while let Some(frame) = body.frame().await {
        let broken =
            |error| ("body", Failure::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}")));
        let Ok(part) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + part.len() > site.max_body_bytes {
            return Err(unusable(BodyError::TooLong(site.max_body_bytes)));
        }
        held.merge(site.intake.gather.hold(part.len()).ok_or_else(busy)?);
        whole.extend_from_slice(&part);
    }
    Ok((whole.freeze(), held))
}
