//! What is answered while the log fails, and at the end.

use std::sync::Arc;

use parking_workers::ports::ErrorKind;

use crate::server::{Answer, Server, event, until};

#[tokio::test]
async fn a_failed_append_is_told_and_the_same_records_are_taken_again() {
    let server = Server::open().await;
    for (kind, status) in [
        (ErrorKind::Transient, 503),
        (ErrorKind::Ambiguous, 503),
        (ErrorKind::Full, 503),
        (ErrorKind::Closed, 503),
        (ErrorKind::Corrupt, 500),
    ] {
        server.log.fail(&[kind]);
        let answer = server.publish(None, event(1)).await;
        assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (status, status == 503));
    }
    assert_eq!(server.publish(None, event(1)).await.status, 202);
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("parking_ingest_records_total{transport=\"http\",verdict=\"accepted\"} 1"));
    assert!(metrics.contains("parking_ingest_appends_total{outcome=\"failed\"} 5"));
}

#[tokio::test]
async fn it_is_ready_while_the_log_can_be_reached() {
    let server = Server::open().await;
    assert_eq!(server.get("/readyz").await, (200, "ok\n".to_owned()));
    server.log.fail(&[ErrorKind::Transient]);
    assert_eq!(server.get("/readyz").await.0, 503);
    assert_eq!(server.get("/readyz").await.0, 200);
    assert_eq!(server.get("/livez").await.0, 200);
    let (_, status) = server.get("/status").await;
    assert!(
        status.contains(r#""pipeline":{"namespace":"parking","name":"birmingham"},"role":"ingest""#)
            && status.contains(r#""phase":"Running""#)
    );
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the sender of a test is a task of its own")]
async fn told_to_end_it_answers_what_is_under_way_and_takes_no_more() {
    let server = Server::open().await;
    let gate = Arc::clone(&server.log.gate);
    gate.forget_permits(1_000_000);
    let sent = tokio::spawn(server.post(None).body(event(1)).send());
    let free = async |server: &Server| {
        let (_, status) = server.get("/status").await;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["freeBytes"].as_u64().unwrap()
    };
    until("the request to be under way", async || free(&server).await < 64 * 1024 * 1024).await;
    server.tell_to_end();
    until("no connection to be taken", async || {
        reqwest::get(format!("http://{}/livez", server.address)).await.is_err()
    })
    .await;
    assert!(!sent.is_finished());
    gate.add_permits(1);
    let answer = Answer::of(sent.await.unwrap().unwrap()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(server.end().await.events().await.len(), 1);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the senders of a test are tasks of their own")]
async fn more_than_fits_under_way_is_told_to_come_again() {
    let server = Server::open().await;
    server.log.gate.forget_permits(1_000_000);
    let body = format!("[{}{}]", event(1), " ".repeat(7 * 1024 * 1024));
    let one = || tokio::spawn(server.post(None).body(body.clone()).send());
    let sent: Vec<_> = (0..9).map(|_| one()).collect();
    until("room to be used up", async || {
        server.get("/metrics").await.1.contains("reason=\"busy\"} 1")
            || server.publish(None, body.clone()).await.status == 429
    })
    .await;
    server.log.gate.add_permits(1_000);
    for sent in sent {
        let status = sent.await.unwrap().unwrap().status().as_u16();
        assert!([202, 429].contains(&status), "{status}");
    }
}
