//! Who is let in, and how much of it.

use std::sync::Arc;

use parking_crds::{duration::Duration, names::ObjectName, worker_config::IngestSettings};
use parking_workers::adapters::{embedded::SystemClock, memory::MemoryClock};

use crate::server::{Server, event, event_of, until};

const KEY: &str = "a-key-of-the-north";
const OTHER: &str = "a-key-of-the-south";

fn named(name: &str) -> ObjectName {
    name.parse().unwrap()
}

fn with_keys() -> IngestSettings {
    IngestSettings { api_keys: Some(named("keys")), ..IngestSettings::default() }
}

async fn start(entries: &[(&str, &str)]) -> Server {
    Server::start(with_keys(), &[("keys", entries)], Arc::new(SystemClock::new())).await
}

#[tokio::test]
async fn nobody_is_let_in_without_a_valid_key() {
    let server = start(&[("north", KEY)]).await;
    for key in [None, Some("a-key-of-nobody"), Some("")] {
        let answer = server.publish(key, event(1)).await;
        assert_eq!((answer.status, answer.headers["www-authenticate"].as_str()), (401, "Bearer"));
    }
    assert_eq!(server.publish(Some(KEY), event(1)).await.status, 202);
    assert_eq!(server.log.events().await.len(), 1);
}

#[tokio::test]
async fn a_key_writes_only_what_it_may() {
    let server = start(&[("north", KEY), ("replay-south", &format!("key: {OTHER}\ntenant: leeds"))]).await;
    let wrong = server.publish(Some(KEY), event_of("leeds", 1)).await;
    assert_eq!((wrong.status, wrong.refused()), (403, vec![(0, "wrong_tenant".to_owned())]));
    let replayed = |tenant: &str| {
        let old = event_of(tenant, 1).replacen('{', "{\"event_publication_time\":1760601600000,", 1);
        old.replace("\"seq\"", "\"quality\":\"replayed\",\"seq\"")
    };
    let old = server.publish(Some(KEY), replayed("birmingham")).await;
    assert_eq!((old.status, old.refused()), (403, vec![(0, "no_right".to_owned())]));
    assert!(server.log.events().await.is_empty());
    assert_eq!(server.publish(Some(OTHER), replayed("leeds")).await.status, 202);
    assert_eq!(server.log.events().await, [replayed("leeds")]);
}

#[tokio::test]
async fn keys_come_and_go_without_a_restart() {
    let clock = MemoryClock::new(1_760_601_600_000);
    let server = Server::start(with_keys(), &[("keys", &[("north", KEY)])], Arc::new(clock.clone())).await;
    let status = async |key| server.publish(Some(key), event(1)).await.status;
    assert_eq!((status(KEY).await, status(OTHER).await), (202, 401));
    std::fs::remove_file(server.secrets.path().join("keys/north")).unwrap();
    server.write("keys", "south", OTHER);
    until("the change of keys", async || {
        clock.advance(Duration::from_secs(5));
        status(KEY).await == 401 && status(OTHER).await == 202
    })
    .await;
    // A folder that is gone for a moment locks nobody out.
    std::fs::rename(server.secrets.path().join("keys"), server.secrets.path().join("away")).unwrap();
    until("the error to be counted", async || {
        clock.advance(Duration::from_secs(5));
        server.get("/metrics").await.1.contains("parking_ingest_unusable_secrets_total{secret=\"keys\"} 1")
    })
    .await;
    assert_eq!(status(OTHER).await, 202);
}

#[tokio::test]
async fn a_key_that_sent_too_much_is_told_how_long_to_wait_and_others_are_not_held_up() {
    let clock = MemoryClock::new(1_760_601_600_000);
    let slow = format!("key: {KEY}\nlimits: {{recordsPerSecond: 2}}");
    let entries: &[(&str, &str)] = &[("slow", &slow), ("other", OTHER)];
    let server = Server::start(with_keys(), &[("keys", entries)], Arc::new(clock.clone())).await;
    let seven: Vec<_> = (0..7).map(event).collect();
    assert_eq!(server.publish(Some(KEY), format!("[{}]", seven.join(","))).await.status, 202);
    let answer = server.publish(Some(KEY), event(8)).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "3"));
    assert_eq!(server.publish(Some(OTHER), event(9)).await.status, 202);
    clock.advance(Duration::from_secs(3));
    assert_eq!(server.publish(Some(KEY), event(8)).await.status, 202);
}

#[tokio::test]
async fn a_plate_in_clear_is_written_as_a_token_or_not_at_all() {
    let plate = event(1).replace("\"ext\"", "\"vehicle_license_plate\":\"AB12 CDE\",\"ext\"");
    let server = Server::open().await;
    let answer = server.publish(None, plate.clone()).await;
    assert_eq!((answer.status, answer.refused()), (422, vec![(0, "no_plate_key".to_owned())]));

    let settings = IngestSettings { plate_keys: Some(named("plates")), ..IngestSettings::default() };
    let secret: &[(&str, &str)] = &[("k1", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")];
    let server = Server::start(settings, &[("plates", secret)], Arc::new(SystemClock::new())).await;
    assert_eq!(server.publish(None, plate).await.status, 202);
    let written = server.log.events().await;
    assert!(written[0].contains("\"hmac:k1:Kt64s8FAkD2fVNkVZplHMdKmuwH1ae_1AorT36ye3mY\""), "{written:?}");
    assert!(!written[0].contains("CDE"));
}
