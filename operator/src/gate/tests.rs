use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{pending, ready},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::{Router, response::IntoResponse};
use futures::FutureExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams, client::Body as KubeBody};

use super::*;
use crate::leader::{Publisher, leadership};

/// What the double does with a request.
#[derive(Clone, Copy)]
enum Answer {
    Code(u16),
    RetryAfter(u16, u64),
    Never,
    HalfABody,
    NeverReady,
}

/// An API server that answers as it was told and counts what was sent to it.
#[derive(Clone, Default)]
struct Double {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<String>>>,
}

struct Stalled(bool);

impl http_body::Body for Stalled {
    type Data = VecDeque<u8>;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
        if self.0 { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl Service<Request<KubeBody>> for Double {
    type Response = Response<Stalled>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.answers.lock().unwrap().front() {
            Some(Answer::NeverReady) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<KubeBody>) -> Self::Future {
        self.sent.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Code(200));
        let mut response = Response::builder();
        match answer {
            Answer::Never => return pending().boxed(),
            Answer::RetryAfter(code, seconds) => {
                response = response.status(code).header(RETRY_AFTER, seconds);
            }
            Answer::Code(code) => response = response.status(code),
            Answer::HalfABody | Answer::NeverReady => {}
        }
        let body = Stalled(matches!(answer, Answer::HalfABody));
        ready(Ok(response.body(body).unwrap())).boxed()
    }
}

struct Bench {
    double: Double,
    gate: Gate<Double>,
    layer: GateLayer,
    leads: Publisher,
    metrics: Metrics,
}

const WRITE: (&str, &str) = ("POST", "/api/v1/namespaces/a/configmaps");
const READ: (&str, &str) = ("GET", "/api/v1/namespaces/a/configmaps/b");
const RENEW: (&str, &str) = ("PUT", "/apis/coordination.k8s.io/v1/namespaces/ops/leases/parking-operator");

fn settings() -> GateSettings {
    let lease = LeaseName { namespace: "ops".to_owned(), name: "parking-operator".to_owned() };
    GateSettings::new(lease, NonZeroU32::new(10).unwrap())
}

impl Bench {
    /// A gate whose process leads for so many seconds.
    fn leading(seconds: u64, answers: &[Answer]) -> Self {
        let bench = Self::standing_by(answers);
        bench.leads.publish(Leadership::Until(monotonic::now() + Duration::from_secs(seconds)));
        bench
    }

    fn standing_by(answers: &[Answer]) -> Self {
        let (leads, seen) = leadership();
        let metrics = Metrics::new().unwrap();
        let double = Double::default();
        double.answers.lock().unwrap().extend(answers);
        let layer = GateLayer::new(settings(), seen, metrics.clone());
        Self { gate: layer.layer(double.clone()), double, layer, leads, metrics }
    }

    fn send(&mut self, (method, uri): (&str, &str)) -> <Gate<Double> as Service<Request<KubeBody>>>::Future {
        self.gate.call(Request::builder().method(method).uri(uri).body(KubeBody::empty()).unwrap())
    }

    async fn ask(&mut self, request: (&str, &str)) -> Result<u16, GateError> {
        let answer = self.send(request).await;
        answer
            .map(|response| response.status().as_u16())
            .map_err(|error| error.downcast_ref::<GateError>().unwrap().clone())
    }

    fn sent(&self) -> usize {
        self.double.sent.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_reads_and_takes_part_in_the_election_but_never_writes() {
    let mut bench = Bench::standing_by(&[]);
    assert_eq!(bench.ask(WRITE).await, Err(GateError::NotLeader));
    assert_eq!(bench.sent(), 0);
    assert_eq!(bench.ask(READ).await, Ok(200));
    assert_eq!(bench.ask(RENEW).await, Ok(200));
}

#[tokio::test(start_paused = true)]
async fn an_expired_leader_writes_nothing() {
    let mut bench = Bench::leading(5, &[]);
    assert_eq!(bench.ask(WRITE).await, Ok(200));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(bench.ask(WRITE).await, Err(GateError::NotLeader));
    assert_eq!(bench.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_given_up_before_the_leadership_ends() {
    let mut bench = Bench::leading(3, &[Answer::Never]);
    let start = monotonic::now();
    assert_eq!(bench.ask(WRITE).await, Err(GateError::TimedOut));
    assert!(monotonic::now() - start <= Duration::from_millis(3001));
}

#[tokio::test(start_paused = true)]
async fn a_process_stopped_over_its_lease_sends_nothing_when_it_goes_on() {
    let mut bench = Bench::leading(9, &[Answer::NeverReady]);
    let mut write = bench.send(WRITE);
    assert!((&mut write).now_or_never().is_none());
    tokio::time::advance(Duration::from_secs(20)).await;
    bench.double.answers.lock().unwrap().clear();
    assert!(write.now_or_never().unwrap().is_err());
    assert_eq!(bench.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waited_over_the_end_of_the_leadership_is_not_sent() {
    let mut bench = Bench::leading(9, &[Answer::RetryAfter(429, 30)]);
    assert!(bench.ask(WRITE).await.is_err());
    assert_eq!(bench.ask(WRITE).await, Err(GateError::NotLeader));
    assert_eq!(bench.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_write_stops_all_writes_and_no_read() {
    let mut bench = Bench::leading(100, &[Answer::RetryAfter(429, 7)]);
    let start = monotonic::now();
    let throttled = GateError::Throttled { code: 429, retry_after: Duration::from_secs(7) };
    assert_eq!(bench.ask(WRITE).await, Err(throttled.clone()));
    assert_eq!(throttled.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(bench.ask(READ).await, Ok(200));
    assert_eq!(bench.ask(RENEW).await, Ok(200));
    assert_eq!(monotonic::now(), start);
    assert_eq!(bench.ask(WRITE).await, Ok(200));
    assert_eq!(monotonic::now() - start, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_again_and_a_write_is_not() {
    let mut bench = Bench::leading(100, &[Answer::Code(503), Answer::Code(504), Answer::Code(503)]);
    assert_eq!(bench.ask(READ).await, Ok(200));
    assert_eq!(bench.sent(), 4);
    let mut bench = Bench::leading(100, &[Answer::Code(503)]);
    assert_eq!(bench.ask(WRITE).await, Ok(503));
    assert_eq!(bench.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_ends_in_its_time_with_its_body() {
    let mut bench = Bench::leading(100, &[Answer::Never]);
    assert_eq!(bench.ask(READ).await, Err(GateError::TimedOut));
    let mut bench = Bench::leading(100, &[Answer::HalfABody]);
    let start = monotonic::now();
    let mut body = bench.send(READ).await.unwrap().into_body();
    let frame = poll_fn(|context| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), context)).await;
    assert!(matches!(frame, Some(Err(_))));
    assert!(monotonic::now() - start <= settings().read_timeout + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_turn_until_an_answer_before_is_read() {
    let mut bench = Bench::leading(100, &[]);
    let mut answers = Vec::new();
    for _ in 0..settings().reads_at_once {
        answers.push(bench.send(READ).await.unwrap());
    }
    let mut next = bench.send(READ);
    assert!((&mut next).now_or_never().is_none());
    assert_eq!(bench.ask(WRITE).await, Ok(200));
    assert_eq!(bench.ask(RENEW).await, Ok(200));
    assert_eq!(bench.ask(("GET", "/api/v1/pods?watch=true")).await, Ok(200));
    answers.pop();
    assert!(next.await.is_ok());
    let start = monotonic::now();
    let last = bench.send(READ).await;
    assert!(last.is_ok(), "the turn of the one before came back");
    answers.extend(last);
    assert_eq!(bench.ask(READ).await, Err(GateError::TimedOut));
    assert_eq!(monotonic::now() - start, settings().read_timeout);
}

#[tokio::test(start_paused = true)]
async fn quiet_comes_when_the_last_write_has_ended() {
    let mut bench = Bench::leading(100, &[Answer::Never]);
    let mut write = bench.send(WRITE);
    assert!((&mut write).now_or_never().is_none());
    let layer = bench.layer.clone();
    assert!(layer.quiet().now_or_never().is_none());
    drop(write);
    assert!(layer.quiet().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_verb_resource_and_code() {
    let mut bench = Bench::leading(100, &[Answer::Code(404)]);
    assert_eq!(bench.ask(READ).await, Ok(404));
    bench.leads.publish(Leadership::Standby);
    assert!(bench.ask(WRITE).await.is_err());
    let text = String::from_utf8(bench.metrics.text().unwrap().1).unwrap();
    for line in [
        "parking_operator_api_requests_total{code=\"404\",resource=\"configmaps\",verb=\"get\"} 1\n",
        "parking_operator_api_requests_total{code=\"refused\",resource=\"configmaps\",verb=\"create\"} 1\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the server runs beside the test")]
async fn the_client_sends_a_refused_write_once() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let app = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(StatusCode::SERVICE_UNAVAILABLE.into_response())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let (leads, seen) = leadership();
    leads.publish(Leadership::Until(monotonic::now() + Duration::from_mins(1)));
    let layer = GateLayer::new(settings(), seen, Metrics::new().unwrap());
    let client = client(kube::Config::new(format!("http://{address}").parse().unwrap()), &layer).unwrap();
    let api: Api<ConfigMap> = Api::namespaced(client, "a");
    let error = api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 503));
    leads.publish(Leadership::Standby);
    let error = api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap_err();
    assert_eq!(GateError::of(&error), Some(&GateError::NotLeader));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    server.abort();
}
