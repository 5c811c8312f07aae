//! Events over gRPC.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use parking_crds::worker_config::IngestSettings;
use parking_workers::{
    adapters::{embedded::SystemClock, memory::MemoryClock},
    ports::ErrorKind,
};
use tonic::{Code, Request, Status, Streaming, metadata::MetadataValue, transport::Endpoint};

use self::generated::{PublishRequest, PublishResponse, ingest_client::IngestClient};
use crate::server::{Server, event, until};

#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod generated {
    include!("generated/parking.ingest.v1.rs");
}

const KEY: &str = "a-key-of-the-north";

fn request(sequence: u64, records: &[&str]) -> PublishRequest {
    let records = records.iter().map(|record| Bytes::from((*record).to_owned())).collect();
    PublishRequest { sequence, records }
}

async fn publish(
    server: &Server,
    key: Option<&str>,
    requests: impl Stream<Item = PublishRequest> + Send + 'static,
) -> Result<Streaming<PublishResponse>, Status> {
    let channel = Endpoint::new(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut request = Request::new(requests);
    if let Some(key) = key {
        let value: MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    Ok(IngestClient::new(channel).publish(request).await?.into_inner())
}

async fn with_key() -> Server {
    let settings = IngestSettings { api_keys: Some("keys".parse().unwrap()), ..IngestSettings::default() };
    Server::start(settings, &[("keys", &[("north", KEY)])], Arc::new(SystemClock::new())).await
}

#[tokio::test]
async fn each_request_is_answered_in_order_with_its_verdicts_once_its_records_are_in_the_log() {
    let server = with_key().await;
    let (one, two) = (event(1), event(2));
    let requests = [request(7, &[&one, "nonsense"]), request(8, &[&two]), request(9, &[])];
    let answers: Vec<_> = publish(&server, Some(KEY), stream::iter(requests)).await.unwrap().collect().await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let sequences: Vec<_> = answers.iter().map(|answer| (answer.sequence, answer.accepted)).collect();
    assert_eq!(sequences, [(7, 1), (8, 1), (9, 0)]);
    assert_eq!((answers[0].refused[0].record, answers[0].refused[0].reason.as_str()), (1, "malformed"));
    let events = server.log.events().await;
    assert!(events.len() == 2 && events[0].contains("\"seq\":1") && events[1].contains("\"seq\":2"));
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("parking_ingest_records_total{transport=\"grpc\",verdict=\"accepted\"} 2"));
}

#[tokio::test]
async fn nobody_is_let_in_without_a_valid_key() {
    let server = with_key().await;
    for key in [None, Some("a-key-of-nobody")] {
        let refused = publish(&server, key, stream::iter([request(1, &[&event(1)])])).await;
        assert_eq!(refused.err().unwrap().code(), Code::Unauthenticated);
    }
    assert!(server.log.events().await.is_empty());
}

#[tokio::test]
async fn a_log_that_fails_ends_the_stream_and_nothing_behind_the_gap_is_acknowledged() {
    let server = with_key().await;
    server.log.fail(&[ErrorKind::Transient]);
    let requests = (0..5).map(|number| request(number, &[&event(u32::try_from(number).unwrap())]));
    let requests = stream::iter(requests.collect::<Vec<_>>());
    let answers: Vec<_> = publish(&server, Some(KEY), requests).await.unwrap().collect().await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].as_ref().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_sender_that_is_too_fast_is_held_up_and_not_refused() {
    let clock = MemoryClock::new(1_760_601_600_000);
    let settings = IngestSettings { api_keys: Some("keys".parse().unwrap()), ..IngestSettings::default() };
    let slow = format!("key: {KEY}\nlimits: {{recordsPerSecond: 1}}");
    let entries: &[(&str, &str)] = &[("slow", &slow)];
    let server = Server::start(settings, &[("keys", entries)], Arc::new(clock.clone())).await;
    let requests = stream::iter((1..4).map(|number| request(u64::from(number), &[&event(number)])));
    let mut answers = Box::pin(publish(&server, Some(KEY), requests).await.unwrap());
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 1);
    assert_eq!(server.log.events().await.len(), 1);
    let mut rest = Vec::new();
    until("the rest to be answered", async || {
        clock.advance(parking_crds::duration::Duration::from_millis(500));
        tokio::select! {
            answer = answers.next() => rest.extend(answer.map(|answer| answer.unwrap().sequence)),
            () = tokio::task::yield_now() => {}
        }
        rest.len() == 2
    })
    .await;
    assert_eq!(rest, [2, 3]);
}

#[tokio::test]
async fn a_sender_that_is_too_fast_holds_no_room_that_others_need() {
    let clock = MemoryClock::new(1_760_601_600_000);
    let settings = IngestSettings { api_keys: Some("keys".parse().unwrap()), ..IngestSettings::default() };
    let slow = format!("key: {KEY}\nlimits: {{recordsPerSecond: 1}}");
    let entries: &[(&str, &str)] = &[("slow", &slow)];
    let server = Server::start(settings, &[("keys", entries)], Arc::new(clock)).await;
    let free = async || {
        let (_, metrics) = server.get("/metrics").await;
        metrics.lines().find(|line| line.starts_with("parking_ingest_free_bytes")).unwrap().to_owned()
    };
    let all = free().await;
    let long = "x".repeat(60_000);
    let requests = stream::iter([request(1, &[&event(1)]), request(2, &[long.as_str(); 64])]);
    let mut answers = Box::pin(publish(&server, Some(KEY), requests).await.unwrap());
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 1);
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = answers.next() => panic!("the second was answered before its time"),
            now = free() => assert_eq!(now, all),
        }
    }
}

#[tokio::test]
async fn a_key_that_is_taken_away_writes_nothing_more_on_a_stream_that_is_open() {
    let clock = MemoryClock::new(1_760_601_600_000);
    let settings = IngestSettings { api_keys: Some("keys".parse().unwrap()), ..IngestSettings::default() };
    let server = Server::start(settings, &[("keys", &[("north", KEY)])], Arc::new(clock.clone())).await;
    let (sender, requests) = futures::channel::mpsc::unbounded();
    sender.unbounded_send(request(1, &[&event(1)])).unwrap();
    let mut answers = Box::pin(publish(&server, Some(KEY), requests).await.unwrap());
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 1);
    server.write("keys", "north", "another-key-of-the-north");
    until("the key to be taken away", async || {
        clock.advance(parking_crds::duration::Duration::from_secs(5));
        server.publish(Some(KEY), "").await.status == 401
    })
    .await;
    sender.unbounded_send(request(2, &[&event(2)])).unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(server.log.events().await.len(), 1);
}

#[tokio::test]
async fn told_to_end_it_answers_what_was_sent_and_ends_the_stream() {
    let server = with_key().await;
    let open = stream::iter([request(1, &[&event(1)])]).chain(stream::pending());
    let mut answers = Box::pin(publish(&server, Some(KEY), open).await.unwrap());
    assert_eq!(answers.next().await.unwrap().unwrap().sequence, 1);
    server.tell_to_end();
    assert!(answers.next().await.is_none());
    assert_eq!(server.end().await.events().await.len(), 1);
}
