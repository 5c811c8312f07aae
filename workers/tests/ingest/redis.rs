//! Records from a stream in Redis, on a server of this machine.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
};

use parking_crds::worker_config::IngestSettings;
use parking_workers::{
    adapters::embedded::SystemClock,
    domain::record::Record,
    ingest::{EntryStream, RedisEntries},
    ports::{ErrorKind, event_log::Stream},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::server::{Server, event, event_of, until};

const KEY: &str = "city:ingest";

/// A server that ends with the value, and with the test process.
struct RedisServer {
    process: Child,
    port: u16,
    _data: TempDir,
}

impl RedisServer {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "redis-server",
                "--save",
                "",
                "--appendonly",
                "no",
                "--bind",
                "127.0.0.1",
            ])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(data.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, _data: data };
        until("Redis to answer", async || server.connect().await.is_some()).await;
        server
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    async fn entries(&self, consumer: &str) -> RedisEntries<MultiplexedConnection> {
        RedisEntries::new(self.connect().await.unwrap(), "city:", consumer)
    }

    async fn add(&self, record: &str) {
        let mut connection = self.connect().await.unwrap();
        let _: String = connection.xadd(KEY, "*", &[("record", record)]).await.unwrap();
    }

    async fn waiting(&self) -> usize {
        self.connect().await.unwrap().xlen(KEY).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn ingest(entries: RedisEntries<MultiplexedConnection>) -> Server {
    let entries: Arc<dyn EntryStream> = Arc::new(entries);
    Server::start_with(IngestSettings::default(), &[], Arc::new(SystemClock::new()), Some(entries)).await
}

#[tokio::test]
async fn entries_are_forgotten_once_their_records_are_in_the_log_in_their_order() {
    let redis = RedisServer::start().await;
    redis.add(&event(1)).await;
    let server = ingest(redis.entries("a").await).await;
    redis.add(&event(2)).await;
    until("both entries to be forgotten", async || redis.waiting().await == 0).await;
    let events = server.log.events().await;
    assert_eq!(events.len(), 2);
    assert!(events[0].contains("\"seq\":1") && events[1].contains("\"seq\":2"));
}

#[tokio::test]
async fn what_is_refused_is_kept_for_the_stages_to_bury_without_a_plate() {
    let redis = RedisServer::start().await;
    redis.add("nonsense").await;
    redis.add(&event_of("leeds", 2)).await;
    redis.add(&event(3).replace("\"ext\"", "\"vehicle_license_plate\":\"AB12CDE\",\"ext\"")).await;
    redis.add(&event(4)).await;
    let server = ingest(redis.entries("a").await).await;
    until("all entries to be forgotten", async || redis.waiting().await == 0).await;
    let events = server.log.events().await;
    assert_eq!(events.len(), 4);
    assert_eq!(events.iter().filter(|event| Record::parse(event.as_bytes()).is_ok()).count(), 1);
    assert!(events.iter().any(|event| event == "nonsense"));
    for reason in ["wrong_tenant", "no_plate_key"] {
        assert!(events.iter().any(|event| event.contains(reason)), "{reason}");
    }
    assert!(!events.concat().contains("AB12CDE"));
    assert!(server.log.records(Stream::DeadLetters).await.concat().is_empty());
}

#[tokio::test]
async fn a_log_that_fails_leaves_the_entries_until_it_takes_them() {
    let redis = RedisServer::start().await;
    let server = ingest(redis.entries("a").await).await;
    server.log.fail(&[ErrorKind::Transient]);
    redis.add(&event(1)).await;
    until("the failure to be counted", async || {
        server.get("/metrics").await.1.contains("requests_total{reason=\"log\",transport=\"redis\"} 1")
    })
    .await;
    assert_eq!(redis.waiting().await, 1);
    until("the entry to be forgotten", async || redis.waiting().await == 0).await;
    assert_eq!(server.log.events().await.len(), 1);
}

#[tokio::test]
async fn what_a_consumer_took_and_did_not_finish_it_takes_again_after_a_restart() {
    let redis = RedisServer::start().await;
    redis.add(&event(1)).await;
    let first = redis.entries("a").await;
    assert_eq!(first.take(10).await.unwrap().len(), 1);
    assert!(redis.entries("b").await.take(10).await.unwrap().is_empty(), "another has it");
    let again = redis.entries("a").await;
    let taken = again.take(10).await.unwrap();
    assert_eq!(taken[0].record, Some(event(1).into_bytes()));
    again.forget(&[taken[0].id.clone()]).await.unwrap();
    assert_eq!((redis.waiting().await, again.take(10).await.unwrap()), (0, vec![]));
}

#[tokio::test]
async fn an_entry_that_its_writers_dropped_holds_nobody_up_and_one_without_a_record_is_kept_whole() {
    let redis = RedisServer::start().await;
    redis.add(&event(1)).await;
    assert_eq!(redis.entries("a").await.take(10).await.unwrap().len(), 1);
    let mut connection = redis.connect().await.unwrap();
    let _: usize = connection.xtrim(KEY, redis::streams::StreamMaxlen::Equals(0)).await.unwrap();
    let again = redis.entries("a").await;
    assert_eq!(again.take(10).await.unwrap()[0].record, None);
    let _: String = connection.xadd(KEY, "*", &[("reading", "17")]).await.unwrap();
    let server = ingest(again).await;
    until("the letter", async || server.log.events().await == ["{\"reading\":\"17\"}"]).await;
    until("all entries to be forgotten", async || redis.waiting().await == 0).await;
    assert!(server.get("/metrics").await.1.contains("{reason=\"dropped\",transport=\"redis\"} 1"));
}

#[tokio::test]
async fn a_redis_that_was_emptied_gets_its_group_again() {
    let redis = RedisServer::start().await;
    let server = ingest(redis.entries("a").await).await;
    redis.add(&event(1)).await;
    until("the first entry to be forgotten", async || redis.waiting().await == 0).await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis.connect().await.unwrap()).await.unwrap();
    redis.add(&event(2)).await;
    until("the second record", async || server.log.events().await.len() == 2).await;
}
