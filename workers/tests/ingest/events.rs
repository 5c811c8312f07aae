//! What is taken, and in which form.

use std::{io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use parking_crds::{pipeline::IngestLimits, worker_config::IngestSettings};
use parking_workers::{
    adapters::memory::MemoryClock,
    domain::{partitioner::partition_of_zone, record::Record},
    ingest::MAX_RECORDS,
    ports::event_log::Stream,
};

use crate::server::{Answer, PARTITIONS, Server, ZONE, event};

#[tokio::test]
async fn accepted_records_stand_in_the_partition_of_their_zone_in_their_order_with_the_time_of_arrival() {
    let clock = Arc::new(MemoryClock::new(1_760_601_601_234));
    let server = Server::start(IngestSettings::default(), &[], clock).await;
    let answer = server.publish(None, format!("[{}, {}]", event(1), event(2))).await;
    assert_eq!((answer.status, answer.body["accepted"].as_u64()), (202, Some(2)));
    assert_eq!(server.publish(None, event(3)).await.status, 202);
    let records = server.log.records(Stream::Events).await;
    let partition = partition_of_zone(ZONE.parse().unwrap(), PARTITIONS) as usize;
    let stamped = |number| event(number).replacen('{', "{\"event_publication_time\":1760601601234,", 1);
    assert_eq!(records[partition], [stamped(1), stamped(2), stamped(3)]);
    assert_eq!(records.concat().len(), 3);
}

#[tokio::test]
async fn a_refused_record_harms_no_other_and_is_named() {
    let server = Server::open().await;
    let lines = format!("{}\nnonsense\r\n\n{}\n{{\"a\":1}}\n", event(1), event(2));
    let request = server.post_as("application/x-ndjson; charset=utf-8", None);
    let answer = Answer::of(request.body(lines).send().await.unwrap()).await;
    assert_eq!((answer.status, answer.body["accepted"].as_u64()), (207, Some(2)), "{answer:?}");
    assert_eq!(answer.refused(), [(1, "malformed".to_owned()), (3, "missing_field".to_owned())]);
    assert_eq!(server.log.events().await.len(), 2);

    let answer = server.publish(None, "{\"a\":1}").await;
    assert_eq!((answer.status, answer.body["accepted"].as_u64()), (422, Some(0)));
    let (_, metrics) = server.get("/metrics").await;
    for line in [
        "parking_ingest_records_total{transport=\"http\",verdict=\"accepted\"} 2",
        "parking_ingest_records_total{transport=\"http\",verdict=\"refused\"} 3",
        "parking_ingest_refused_records_total{reason=\"missing_field\"} 2",
        "parking_ingest_appends_total{outcome=\"ok\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_packed_body_is_taken() {
    let server = Server::open().await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(format!("[{}]", event(1)).as_bytes()).unwrap();
    let request = server.post(None).header("content-encoding", "gzip").body(packed.finish().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 202);
    assert_eq!(server.log.events().await.len(), 1);
}

#[tokio::test]
async fn a_body_that_has_no_records_is_turned_away_with_the_reason() {
    let limits = IngestLimits { events_per_second: None, max_body_bytes: Some(1_024) };
    let settings = IngestSettings { limits: Some(limits), ..IngestSettings::default() };
    let clock = Arc::new(MemoryClock::new(0));
    let server = Server::start(settings, &[], clock).await;
    let send = async |request: reqwest::RequestBuilder| {
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(!answer.body["error"].as_str().unwrap().is_empty());
        answer.status
    };
    assert_eq!(send(server.post(None).body("[{\"a\":1},")).await, 400);
    assert_eq!(send(server.post(None)).await, 400);
    assert_eq!(send(server.post(None).body(" ".repeat(1_025))).await, 413);
    assert_eq!(send(server.post_as("text/csv", None).body("a")).await, 415);
    assert_eq!(send(server.post(None).header("content-encoding", "br").body("a")).await, 415);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 200_000]).unwrap();
    let bomb = server.post(None).header("content-encoding", "gzip").body(bomb.finish().unwrap());
    assert_eq!(send(bomb).await, 413);
    assert!(server.log.events().await.is_empty());
    let (status, _) = server.get("/v1/nothing").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn more_records_than_an_answer_can_name_are_turned_away() {
    let server = Server::open().await;
    let answer = server.publish(None, format!("[{}]", vec!["1"; MAX_RECORDS + 1].join(","))).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_written_record_reads_as_the_stages_read_it() {
    let server = Server::open().await;
    server.publish(None, event(7)).await;
    let events = server.log.events().await;
    assert_eq!(Record::parse(events[0].as_bytes()).unwrap().seq, Some(7));
}
