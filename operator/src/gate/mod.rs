//! The gate that every request to the API server passes: who may write, how fast, and for how long.
//!
//! A layer around the transport of the client. The client's own retries stand below every layer and know nothing
//! of leases: up to 15 of them, each after as much as 1,000 s. So the client is made with
//! `Config::default_retry = false` (see [`client`]) and reads are tried again here; writes never are, they go
//! back to their reconcile.
//!
//! Must not: read or copy a request's body, or repeat a write.
//! Invariants: no write is handed to the transport unless this process leads at that instant, nor advanced after
//! its leadership has ended; the election's own requests pass and nothing else of that kind does.

mod body;
mod pace;
mod request;

use std::{
    future::poll_fn,
    mem,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, header::RETRY_AFTER};
use kube::client::{Body, ClientBuilder};
use tokio::sync::{Semaphore, watch};
use tower::{BoxError, Layer, Service};

use self::body::Bounds;
pub use self::{
    body::TimedBody,
    pace::{LONGEST_PAUSE, Pace},
    request::{LeaseName, Passage, Seen},
};
use crate::{
    error::{Class, Classify},
    leader::Leadership,
    metrics::Metrics,
    monotonic::{self, Instant},
};

/// How often a read is sent at most.
const READ_ATTEMPTS: u32 = 4;
/// The pause before the first repetition of a read; doubled each time.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// The pause after a `429` that names none.
const UNNAMED_PAUSE: Duration = Duration::from_secs(1);

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Another replica leads, or nobody does; nothing was sent.
    #[error("this replica does not lead, so the write was not sent")]
    NotLeader,
    /// No answer within the request's time; a write may or may not have been applied.
    #[error("the API server did not answer in time")]
    TimedOut,
    /// The API server asks for patience.
    #[error("the API server answered {code} and asks for a pause of {} s", retry_after.as_secs())]
    Throttled {
        /// 429 or 503.
        code: u16,
        /// How long it asks to wait.
        retry_after: Duration,
    },
}

impl GateError {
    /// The gate's error within a client's error.
    pub fn of(error: &kube::Error) -> Option<&Self> {
        match error {
            kube::Error::Service(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// How long the API server asks to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(*retry_after),
            Self::NotLeader | Self::TimedOut => None,
        }
    }
}

impl Classify for GateError {
    fn class(&self) -> Class {
        Class::Transient
    }
}

/// What bounds the requests.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// The Lease whose requests pass without leadership.
    pub lease: LeaseName,
    /// Writes a second, over all objects.
    pub writes_per_second: NonZeroU32,
    /// Reads under way at once, each of which takes a connection and the memory of its answer; watches are not
    /// counted here.
    pub reads_at_once: u16,
    /// How long a read may take, its wait for a turn, its repetitions and its body included; watches are not bounded here.
    pub read_timeout: Duration,
    /// How long a write may take; never longer than the rest of the leadership.
    pub write_timeout: Duration,
}

impl GateSettings {
    /// The usual bounds.
    pub const fn new(lease: LeaseName, writes_per_second: NonZeroU32) -> Self {
        Self {
            lease,
            writes_per_second,
            reads_at_once: 32,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(8),
        }
    }
}

/// The client whose requests all pass the gate.
pub fn client(mut config: kube::Config, gate: &GateLayer) -> kube::Result<kube::Client> {
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(gate).build())
}

/// Puts the gate around a transport; clones share one gate.
#[derive(Clone)]
pub struct GateLayer(Arc<Shared>);

struct Shared {
    settings: GateSettings,
    leadership: watch::Receiver<Leadership>,
    pace: Pace,
    reads: Arc<Semaphore>,
    metrics: Metrics,
    in_flight: watch::Sender<usize>,
}

impl GateLayer {
    /// A gate that lets writes pass while `leadership` says so.
    pub fn new(settings: GateSettings, leadership: watch::Receiver<Leadership>, metrics: Metrics) -> Self {
        let pace = Pace::new(settings.writes_per_second);
        let (in_flight, _) = watch::channel(0);
        let reads = Arc::new(Semaphore::new(settings.reads_at_once.into()));
        Self(Arc::new(Shared { settings, leadership, pace, reads, metrics, in_flight }))
    }

    /// Ends when no write is under way.
    pub async fn quiet(&self) {
        let mut in_flight = self.0.in_flight.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = in_flight.wait_for(|writes| *writes == 0).await;
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner: Arc::new(Mutex::new(inner)), shared: Arc::clone(&self.0) }
    }
}

/// A transport behind the gate.
pub struct Gate<S> {
    inner: Arc<Mutex<S>>,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response<TimedBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    // Always ready: a write that waits for its turn must not hold up the reads behind it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, shared) = (Arc::clone(&self.inner), Arc::clone(&self.shared));
        Box::pin(async move { shared.pass(&inner, request).await })
    }
}

/// A write under way.
struct InFlight<'a>(&'a watch::Sender<usize>);

impl<'a> InFlight<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|writes| *writes += 1);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|writes| *writes = writes.saturating_sub(1));
    }
}

impl Shared {
    async fn pass<S, B>(
        &self,
        inner: &Mutex<S>,
        request: Request<Body>,
    ) -> Result<Response<TimedBody<B>>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let seen = Seen::of(&request, &self.settings.lease);
        let (verb, resource, passage) = (seen.verb, seen.resource.into_owned(), seen.passage);
        let result = match passage {
            Passage::Election => send(inner, request).await.map(|response| (response, Bounds::default())),
            Passage::Watch => send(inner, request)
                .await
                .and_then(|answer| self.judge(passage, answer))
                .map(|answer| (answer, Bounds::default())),
            Passage::Read => self.read(inner, request).await,
            Passage::Write => self.write(inner, request).await,
        };
        self.metrics.request(verb, &resource, &code(&result));
        let (response, bounds) = result?;
        Ok(response.map(|body| TimedBody::new(body, bounds)))
    }

    async fn write<S, B>(
        &self,
        inner: &Mutex<S>,
        request: Request<Body>,
    ) -> Result<(Response<B>, Bounds), BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        self.leads_until()?;
        {
            let _waiting = self.metrics.write_waits();
            self.pace.turn().await;
        }
        let end = self.leads_until()?.min(monotonic::now() + self.settings.write_timeout);
        let _under_way = InFlight::new(&self.in_flight);
        let response = monotonic::before(end, send(inner, request)).await.ok_or(GateError::TimedOut)??;
        Ok((self.judge(Passage::Write, response)?, Bounds { deadline: Some(end), _turn: None }))
    }

    async fn read<S, B>(
        &self,
        inner: &Mutex<S>,
        request: Request<Body>,
    ) -> Result<(Response<B>, Bounds), BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let deadline = monotonic::now() + self.settings.read_timeout;
        let turn = monotonic::before(deadline, Arc::clone(&self.reads).acquire_owned());
        // Nobody closes the semaphore.
        let turn = turn.await.ok_or(GateError::TimedOut)?.ok();
        let response = self.answered(inner, request, deadline).await?;
        Ok((response, Bounds { deadline: Some(deadline), _turn: turn }))
    }

    /// The answer to a read, after repetitions where the API server has none yet.
    async fn answered<S, B>(
        &self,
        inner: &Mutex<S>,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<B>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let mut request = Some(request);
        let mut attempt = 0;
        while let Some(now) = request.take() {
            attempt += 1;
            request = repeatable(&now).filter(|_| attempt < READ_ATTEMPTS);
            let response =
                monotonic::before(deadline, send(inner, now)).await.ok_or(GateError::TimedOut)??;
            let pause = pause_before_repetition(&response, attempt);
            let wake = pause.map(|pause| monotonic::now() + pause).filter(|wake| *wake < deadline);
            match wake {
                Some(wake) if request.is_some() => monotonic::sleep_until(wake).await,
                _ => return self.judge(Passage::Read, response),
            }
        }
        Err(GateError::TimedOut.into())
    }

    fn leads_until(&self) -> Result<Instant, GateError> {
        match *self.leadership.borrow() {
            Leadership::Until(until) if monotonic::now() < until => Ok(until),
            Leadership::Until(_) | Leadership::Standby => Err(GateError::NotLeader),
        }
    }

    /// Turns a server's request for patience into an error, and into a pause of all writes.
    fn judge<B>(&self, passage: Passage, response: Response<B>) -> Result<Response<B>, BoxError> {
        let named = retry_after(response.headers());
        let pause = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Some(named.unwrap_or(UNNAMED_PAUSE)),
            // An API that another server provides may be out of service alone: reading it stops no writes.
            StatusCode::SERVICE_UNAVAILABLE if passage == Passage::Write => named,
            _ => None,
        };
        let Some(retry_after) = pause else { return Ok(response) };
        self.pace.pause(retry_after);
        Err(GateError::Throttled { code: response.status().as_u16(), retry_after }.into())
    }
}

/// Hands the request to the transport as soon as that is ready, in one step with the check that it is.
async fn send<S, B>(inner: &Mutex<S>, mut request: Request<Body>) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let answer = poll_fn(|context| {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.poll_ready(context).map_ok(|()| {
            let request = mem::replace(&mut request, Request::new(Body::empty()));
            inner.call(request)
        })
    })
    .await
    .map_err(Into::into)?;
    answer.await.map_err(Into::into)
}

/// The same read once more; only what has no body can be repeated.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_safe() {
        return None;
    }
    let mut again = Request::new(Body::empty());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    again.extensions_mut().clone_from(request.extensions());
    Some(again)
}

fn pause_before_repetition<B>(response: &Response<B>, attempt: u32) -> Option<Duration> {
    matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
    .then(|| {
        let own = READ_PAUSE.saturating_mul(2_u32.saturating_pow(attempt - 1));
        own.max(retry_after(response.headers()).unwrap_or_default())
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn code<B>(result: &Result<(Response<B>, Bounds), BoxError>) -> String {
    match result {
        Ok((response, _)) => response.status().as_u16().to_string(),
        Err(error) => match error.downcast_ref() {
            Some(GateError::NotLeader) => "refused".to_owned(),
            Some(GateError::TimedOut) => "timeout".to_owned(),
            Some(GateError::Throttled { code, .. }) => code.to_string(),
            None => "error".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
