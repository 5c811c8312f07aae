//! Sending a source of records to an ingest, in the order of the source.
//!
//! Must not have two requests under way: zones that share a partition share its watermark, and a record
//! that was overtaken by a later one would be late. Must not read clocks but through the port, nor print
//! the key.
//!
//! Invariants: what was not acknowledged is sent again with the same bytes, so that the ids tell
//! repeats; a record that is refused is counted and passed over.

use std::{collections::BTreeMap, sync::Arc, time::Duration as StdDuration};

use parking_crds::{duration::Duration, event::EARLIEST_EVENT_TIME};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};

use super::{
    import::{Progress, Source, end_id, input_ended},
    replay::ReplayError,
    schedule::Schedule,
};
use crate::{ingest::MAX_RECORDS, ports::clock::Clock};

const FIRST_PAUSE_MS: i64 = 100;
const LONGEST_PAUSE_MS: i64 = 10_000;
/// Most bytes of a request.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// How long one request may take.
const LONGEST_REQUEST: StdDuration = StdDuration::from_mins(1);

/// Where records go, and how.
#[derive(Clone)]
pub struct SendSettings {
    /// Address of the ingest, `https://host:port`.
    pub to: String,
    /// The key; absent where none is asked for.
    pub key: Option<String>,
    /// Written into `input.ended`.
    pub tenant: String,
    /// Records a request.
    pub batch: usize,
    /// Source seconds a second; absent: as fast as they are taken.
    pub compression: Option<u32>,
    /// Whether `input.ended` follows the last record.
    pub end_of_input: bool,
    /// Records that were sent before.
    pub skip: u64,
    /// How long to go on while nothing is taken.
    pub patience: Duration,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SendReport {
    /// Records of the source, without those that were skipped.
    pub records: u64,
    /// Those that are in the log.
    pub accepted: u64,
    /// Those that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The first of them: its number in the source, from 0, and why.
    pub first_refused: Option<(u64, String)>,
}

/// Why sending stopped.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The source cannot be read as what it claims to be.
    #[error(transparent)]
    Source(#[from] ReplayError),
    /// The address or the key are none.
    #[error("{0}")]
    Settings(&'static str),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[source] reqwest::Error),
    /// The ingest will not take it, however often it is sent.
    #[error(
        "the ingest answered {status}: {reason}; {sent} records were sent before, go on with --skip {sent}"
    )]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        reason: String,
        /// Records of the source before the request.
        sent: u64,
    },
    /// It did not take it for too long.
    #[error("{reason}, for {patience}; {sent} records were sent before, go on with --skip {sent}")]
    GaveUp {
        /// The last failure.
        reason: String,
        /// How long it was tried.
        patience: Duration,
        /// Records of the source before the request.
        sent: u64,
    },
}

/// The ingest's verdicts on one request.
#[derive(Deserialize)]
struct Published {
    accepted: u64,
    refused: Vec<RefusedRecord>,
}

#[derive(Deserialize)]
struct RefusedRecord {
    record: u64,
    reason: String,
    detail: String,
}

#[derive(Deserialize)]
struct Sentence {
    error: String,
}

/// How one try ended.
enum Tried {
    Taken(Published),
    Again { reason: String, after: Option<Duration> },
    Never { status: StatusCode, reason: String },
}

/// Sends what `source` has.
pub async fn send(
    source: &mut dyn Source,
    settings: &SendSettings,
    clock: Arc<dyn Clock>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<SendReport, SendError> {
    let mut run = Run::begin(settings, clock)?;
    let (mut record, mut last_time) = (Vec::new(), EARLIEST_EVENT_TIME);
    while let Some(keyed) = source.next(&mut record)? {
        last_time = last_time.max(keyed.time);
        run.read += 1;
        if run.read <= settings.skip {
            continue;
        }
        if let Some(wait) = run.schedule.as_mut().and_then(|schedule| schedule.wait_for(keyed.time)) {
            run.flush().await?;
            run.clock.pause(wait).await;
        }
        if run.batch.len() + record.len() > MOST_BYTES {
            run.flush().await?;
        }
        run.add(&record);
        if run.waiting >= settings.batch.clamp(1, MAX_RECORDS) as u64 {
            run.flush().await?;
            progress(Progress { records: run.read, total: source.total() });
        }
    }
    run.flush().await?;
    let mut report = run.report.clone();
    if settings.end_of_input {
        run.add(&input_ended(end_id(&source.content()), last_time, &settings.tenant));
        run.flush().await?;
        report.refused = run.report.refused;
        report.first_refused = run.report.first_refused;
    }
    progress(Progress { records: run.read, total: Some(run.read) });
    Ok(report)
}

struct Run<'a> {
    settings: &'a SendSettings,
    clock: Arc<dyn Clock>,
    client: Client,
    url: Url,
    /// Of the source, and the end of input.
    read: u64,
    /// Records of the source before the batch.
    sent: u64,
    batch: Vec<u8>,
    waiting: u64,
    report: SendReport,
    schedule: Option<Schedule>,
}

impl<'a> Run<'a> {
    fn begin(settings: &'a SendSettings, clock: Arc<dyn Clock>) -> Result<Self, SendError> {
        let url = Url::parse(&settings.to).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.and_then(|url| url.join("/v1/events").ok());
        let url = url.ok_or(SendError::Settings("the address of the ingest is not an http or https URL"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if let Some(key) = &settings.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| SendError::Settings("the key does not fit a header"))?;
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        let client = Client::builder().timeout(LONGEST_REQUEST).redirect(Policy::none());
        let client = client.default_headers(headers).build().map_err(SendError::Client)?;
        let schedule = settings.compression.map(|compression| Schedule::new(compression, Arc::clone(&clock)));
        Ok(Self {
            settings,
            clock,
            client,
            url,
            read: 0,
            sent: settings.skip,
            batch: Vec::new(),
            waiting: 0,
            report: SendReport::default(),
            schedule,
        })
    }

    fn add(&mut self, record: &[u8]) {
        // A line end within a record would cut it in two, and both halves would be refused.
        let fits = |byte: &u8| if *byte == b'\n' { b' ' } else { *byte };
        self.batch.extend(record.iter().map(fits));
        self.batch.push(b'\n');
        self.waiting += 1;
    }

    /// Sends the batch until it is taken.
    async fn flush(&mut self) -> Result<(), SendError> {
        if self.waiting == 0 {
            return Ok(());
        }
        let body = bytes::Bytes::from(std::mem::take(&mut self.batch));
        let (started, mut pause) = (self.clock.monotonic(), FIRST_PAUSE_MS);
        loop {
            match self.attempt(body.clone()).await {
                Tried::Taken(published) => {
                    self.count(published);
                    return Ok(());
                }
                Tried::Never { status, reason } => {
                    return Err(SendError::Refused { status, reason, sent: self.sent });
                }
                Tried::Again { reason, after } => {
                    let patience = self.settings.patience;
                    if self.clock.monotonic() - started >= patience.millis() {
                        return Err(SendError::GaveUp { reason, patience, sent: self.sent });
                    }
                    tracing::debug!("sending again: {reason}");
                    self.clock.pause(after.unwrap_or(Duration::from_millis(pause))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE_MS);
                }
            }
        }
    }

    fn count(&mut self, published: Published) {
        self.report.records += self.waiting;
        self.report.accepted += published.accepted;
        for refused in published.refused {
            let number = self.sent + refused.record;
            self.report
                .first_refused
                .get_or_insert((number, format!("{}: {}", refused.reason, refused.detail)));
            *self.report.refused.entry(refused.reason).or_default() += 1;
        }
        self.sent += self.waiting;
        self.waiting = 0;
    }

    async fn attempt(&self, body: bytes::Bytes) -> Tried {
        let again = |error: reqwest::Error| {
            let reason = crate::sentence::sentence(&error.without_url());
            Tried::Again { reason, after: None }
        };
        match self.client.post(self.url.clone()).body(body).send().await {
            Ok(response) => read(response).await.unwrap_or_else(again),
            Err(error) => again(error),
        }
    }
}

async fn read(response: Response) -> Result<Tried, reqwest::Error> {
    let (status, after) = (response.status(), retry_after(&response));
    let body = response.bytes().await?;
    let reason = || {
        let told = serde_json::from_slice::<Sentence>(&body).ok();
        told.map_or_else(|| "without a reason".to_owned(), |told| told.error)
    };
    Ok(match status {
        StatusCode::ACCEPTED | StatusCode::MULTI_STATUS | StatusCode::UNPROCESSABLE_ENTITY => {
            match serde_json::from_slice(&body) {
                Ok(published) => Tried::Taken(published),
                Err(_) => Tried::Never { status, reason: "without verdicts: it is no ingest".to_owned() },
            }
        }
        StatusCode::FORBIDDEN => {
            let first = serde_json::from_slice::<Published>(&body).ok();
            let first = first.and_then(|published| published.refused.into_iter().next());
            Tried::Never { status, reason: first.map_or_else(reason, |refused| refused.detail) }
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Tried::Again { reason: format!("the ingest answered {status}: {}", reason()), after }
        }
        _ => Tried::Never { status, reason: reason() },
    })
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: i64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (0..=3_600).contains(&seconds).then(|| Duration::from_millis(seconds * 1_000))
}
