//! Replaying and simulating through an ingest.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use parking_crds::{duration::Duration, worker_config::IngestSettings};
use parking_workers::{
    adapters::embedded::SystemClock,
    command::{
        import::{ImportSettings, Source},
        replay::{Format, Replay},
        send::{SendError, SendSettings, send},
        simulate::Simulation,
    },
    ports::{ErrorKind, event_log::Stream},
};

use crate::server::{PARTITIONS, Server, TestLog};

const KEY: &str = "a-key-that-replays";

fn example(path: &str) -> PathBuf {
    PathBuf::from("../examples").join(path)
}

fn import_settings() -> ImportSettings {
    ImportSettings {
        tenant: "birmingham".into(),
        partitions: PARTITIONS,
        batch: 5_000,
        pace: None,
        end_of_input: true,
    }
}

fn birmingham() -> Replay {
    Replay::open(Format::Birmingham, &example("birmingham/readings.csv"), import_settings()).unwrap()
}

async fn server(tenant: &str) -> Server {
    let api_keys = Some("keys".parse().unwrap());
    let settings = IngestSettings { api_keys, ..IngestSettings::default() };
    let key = format!("key: {KEY}\ntenant: {tenant}");
    let entries: &[(&str, &str)] = &[("replay-all", &key)];
    Server::start(settings, &[("keys", entries)], Arc::new(SystemClock::new())).await
}

fn settings(server: &Server) -> SendSettings {
    SendSettings {
        to: format!("http://{}", server.address),
        key: Some(KEY.to_owned()),
        tenant: "birmingham".into(),
        batch: 2_000,
        compression: None,
        end_of_input: true,
        skip: 0,
        patience: Duration::from_secs(30),
    }
}

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new())
}

#[tokio::test]
async fn a_replay_through_ingest_leaves_the_bytes_that_an_import_leaves() {
    let (server, imported) = (server("birmingham").await, TestLog::new());
    birmingham().run(&imported, &mut |_| ()).await.unwrap();
    let mut shown = 0;
    let report =
        send(&mut birmingham(), &settings(&server), clock(), &mut |progress| shown = progress.records).await;
    let report = report.unwrap();
    assert_eq!((report.records, report.accepted, shown), (35_717, 35_717, 35_717));
    assert!(report.refused.is_empty());
    assert_eq!(server.log.records(Stream::Events).await, imported.records(Stream::Events).await);
}

#[tokio::test]
async fn a_log_that_fails_now_and_then_loses_nothing_and_keeps_the_order() {
    let (server, imported) = (server("birmingham").await, TestLog::new());
    let folder = tempfile::tempdir().unwrap();
    let (readings, some) = (example("birmingham/readings.csv"), folder.path().join("readings.csv"));
    let text = std::fs::read_to_string(readings).unwrap();
    std::fs::write(&some, text.lines().take(4_000).collect::<Vec<_>>().join("\n")).unwrap();
    let some = || Replay::open(Format::Birmingham, &some, import_settings()).unwrap();
    some().run(&imported, &mut |_| ()).await.unwrap();
    server.log.fail(&[
        ErrorKind::Transient,
        ErrorKind::Ambiguous,
        ErrorKind::Transient,
        ErrorKind::Ambiguous,
    ]);
    let quick = SendSettings { batch: 1_000, ..settings(&server) };
    send(&mut some(), &quick, clock(), &mut |_| ()).await.unwrap();
    let once = |records: Vec<Vec<String>>| -> Vec<Vec<String>> {
        let first = |partition: Vec<String>| {
            let mut seen = BTreeSet::new();
            partition.into_iter().filter(|record| seen.insert(record.clone())).collect()
        };
        records.into_iter().map(first).collect()
    };
    let (found, wanted) = (server.log.records(Stream::Events).await, imported.records(Stream::Events).await);
    assert!(found.concat().len() > wanted.concat().len(), "no append was repeated");
    assert_eq!(once(found), once(wanted));
}

#[tokio::test]
async fn a_simulated_city_arrives_and_its_damaged_records_are_counted() {
    let server = server("city").await;
    let mut lines = Vec::new();
    let mut city = Simulation::open(&example("city/city.profile")).unwrap();
    let written = city.write_lines(&mut lines).unwrap();
    let mut city = Simulation::open(&example("city/city.profile")).unwrap();
    let settings = SendSettings { tenant: "city".into(), ..settings(&server) };
    let report = send(&mut city, &settings, clock(), &mut |_| ()).await.unwrap();
    let refused: u64 = report.refused.values().sum();
    assert_eq!((report.records, report.accepted + refused), (written, written));
    let lines = String::from_utf8_lossy(&lines);
    let lines: BTreeSet<_> = lines.lines().collect();
    let events = server.log.events().await;
    let ends = events.iter().filter(|record| record.contains("input.ended")).count();
    assert_eq!((events.len() as u64, ends), (report.accepted + 4, 4));
    assert!(events.iter().all(|record| record.contains("input.ended") || lines.contains(record.as_str())));
}

#[tokio::test]
async fn sending_goes_on_where_it_stopped() {
    let server = server("birmingham").await;
    let rest = SendSettings { skip: 35_700, end_of_input: false, ..settings(&server) };
    let report = send(&mut birmingham(), &rest, clock(), &mut |_| ()).await.unwrap();
    assert_eq!((report.records, report.accepted), (17, 17));
    assert_eq!(server.log.events().await.len(), 17);
}

#[tokio::test]
async fn a_key_that_is_refused_ends_the_sending_with_the_reason_and_without_the_key() {
    let server = server("leeds").await;
    for (key, status) in [(KEY, 403), ("a-key-of-nobody", 401)] {
        let wrong = SendSettings { key: Some(key.to_owned()), ..settings(&server) };
        let error = send(&mut birmingham(), &wrong, clock(), &mut |_| ()).await.unwrap_err();
        assert!(matches!(&error, SendError::Refused { status: found, .. } if *found == status), "{error}");
        assert!(!format!("{error} {error:?}").contains(key));
    }
}

#[tokio::test]
async fn an_ingest_that_is_not_there_is_given_up_after_a_while() {
    let server = server("birmingham").await;
    let settings = SendSettings { patience: Duration::from_millis(200), ..settings(&server) };
    server.end().await;
    let mut source = birmingham();
    let error = send(&mut source, &settings, clock(), &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, SendError::GaveUp { sent: 0, .. }), "{error}");
    assert!(source.total().is_some());
}
