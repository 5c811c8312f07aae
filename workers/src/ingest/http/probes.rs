//! What those who run ingest ask of it: whether it is ready, how it stands, what it counted.
//!
//! Invariant: it is ready while the log can be reached and has the partitions that are configured, until
//! it is told to end; nothing else matters.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use parking_crds::{duration::Duration, role::Role, topology::PipelineId};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Failure, Site};
use crate::{ingest::intake::Door, metrics::Exposition, ports::event_log::Stream, sentence::sentence};

/// How long the log may take to say where it stands.
const LONGEST_LOOK: Duration = Duration::from_millis(3_000);

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Phase {
    /// It takes events.
    Running,
    /// It was told to end: requests that are under way are answered, no other is taken.
    Draining,
}

/// A pipeline, as the cluster names it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pipeline {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<&PipelineId> for Pipeline {
    fn from(id: &PipelineId) -> Self {
        Self { namespace: id.namespace.to_string(), name: id.name.to_string() }
    }
}

/// How ingest stands: what every worker tells the operator, and more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// What the process does: `ingest`.
    pub role: &'static str,
    /// Of this program.
    pub version: &'static str,
    /// What the process is about.
    pub phase: Phase,
    /// Since the start of the process, ms.
    pub uptime_ms: u64,
    /// Keys that let senders in; absent where none is asked for.
    pub api_keys: Option<usize>,
    /// Bytes that may still be under way to the log.
    pub free_bytes: usize,
}

pub(super) async fn readyz(State(site): State<Site>) -> Result<&'static str, Failure> {
    let not_ready = |reason: String| Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, reason));
    if *site.stopping.borrow() {
        return not_ready("it is ending".to_owned());
    }
    let answer = tokio::select! {
        answer = site.log.log_id(Stream::Events) => answer,
        () = site.intake.clock.pause(LONGEST_LOOK) => return not_ready("the log does not answer".to_owned()),
    };
    match answer {
        Ok(_) => Ok("ok\n"),
        Err(error) => not_ready(sentence(&error)),
    }
}

pub(super) async fn metrics(State(site): State<Site>) -> Result<Exposition, Failure> {
    let metrics = site.intake.meter.exposition(site.intake.gather.free());
    metrics.map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

pub(super) async fn status(State(site): State<Site>) -> Json<Status> {
    let uptime = site.intake.clock.monotonic() - site.started;
    Json(Status {
        pipeline: Pipeline::from(&site.pipeline),
        role: Role::Ingest.as_str(),
        version: env!("CARGO_PKG_VERSION"),
        phase: if *site.stopping.borrow() { Phase::Draining } else { Phase::Running },
        uptime_ms: u64::try_from(uptime).unwrap_or(0),
        api_keys: match &site.intake.door {
            Door::Keys(keys) => Some(Arc::clone(&keys.borrow()).len()),
            Door::Open(_) => None,
        },
        free_bytes: site.intake.gather.free(),
    })
}
