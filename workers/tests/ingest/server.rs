//! An ingest on a free port of this machine, and the log behind it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration as StdDuration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::{topology::PipelineId, worker_config::IngestSettings};
use parking_workers::{
    adapters::{embedded::SystemClock, memory::MemoryEventLog},
    ingest::{EntryStream, IngestError, Serving, serve},
    ports::{
        ErrorKind, PortError, PortResult,
        clock::Clock,
        event_log::{
            EventLog, Fetched, Mark, MarkedLog, Offset, Parts, Stream, StreamFacts, StreamPartition,
        },
    },
};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use uuid::Uuid;

pub(crate) const PARTITIONS: u32 = 4;
pub(crate) const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";

/// A log in memory that fails or waits as it is told.
#[derive(Clone)]
pub(crate) struct TestLog {
    inner: MemoryEventLog,
    failures: Arc<Mutex<Vec<ErrorKind>>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        let inner = MemoryEventLog::new(Uuid::from_u128(1), PARTITIONS);
        Self { inner, failures: Arc::default(), gate: Arc::new(Semaphore::new(1_000_000)) }
    }

    /// The next calls fail, the last one of these first; an ambiguous append has happened.
    pub(crate) fn fail(&self, kinds: &[ErrorKind]) {
        self.failures.lock().unwrap().extend(kinds);
    }

    fn next_failure(&self) -> Option<ErrorKind> {
        self.failures.lock().unwrap().pop()
    }

    /// All records of a stream by partition.
    pub(crate) async fn records(&self, stream: Stream) -> Vec<Vec<String>> {
        let mut partitions = Vec::new();
        for partition in 0..PARTITIONS {
            let (mut records, mut from) = (Vec::new(), 0);
            loop {
                let at = StreamPartition { stream, partition };
                let fetched = self.inner.read(at, from, 1 << 20).await.unwrap();
                if fetched.records.is_empty() {
                    break;
                }
                from = fetched.next_offset();
                let text = |record: &[u8]| String::from_utf8(record.to_vec()).unwrap();
                records.extend(fetched.records.iter().map(text));
            }
            partitions.push(records);
        }
        partitions
    }

    pub(crate) async fn events(&self) -> Vec<String> {
        self.records(Stream::Events).await.concat()
    }
}

#[async_trait]
impl EventLog for TestLog {
    async fn append(&self, parts: Parts) -> PortResult<Vec<Offset>> {
        self.gate.acquire().await.unwrap().forget();
        match self.next_failure() {
            None => self.inner.append(parts).await,
            Some(kind) => {
                if kind == ErrorKind::Ambiguous {
                    self.inner.append(parts).await?;
                }
                Err(PortError::new(kind, "appending"))
            }
        }
    }

    async fn read(&self, at: StreamPartition, from: Offset, limit: usize) -> PortResult<Fetched> {
        self.inner.read(at, from, limit).await
    }

    async fn arrived(&self, at: StreamPartition, offset: Offset) -> PortResult<()> {
        self.inner.arrived(at, offset).await
    }

    async fn facts(&self, stream: Stream) -> PortResult<StreamFacts> {
        match self.next_failure() {
            None => self.inner.facts(stream).await,
            Some(kind) => Err(PortError::new(kind, "asking the log")),
        }
    }
}

#[async_trait]
impl MarkedLog for TestLog {
    async fn append_marked(&self, parts: Parts, mark: Mark) -> PortResult<Vec<Offset>> {
        self.inner.append_marked(parts, mark).await
    }

    async fn mark(&self, name: &str) -> PortResult<Option<Bytes>> {
        self.inner.mark(name).await
    }
}

/// A running ingest; it ends with the value.
pub(crate) struct Server {
    pub(crate) log: TestLog,
    pub(crate) address: String,
    pub(crate) secrets: TempDir,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Result<(), IngestError>>>,
}

/// Secrets by name, each with its entries.
pub(crate) type Secrets<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

impl Server {
    /// Without keys, without TLS.
    pub(crate) async fn open() -> Self {
        Self::start(IngestSettings::default(), &[], Arc::new(SystemClock::new())).await
    }

    pub(crate) async fn start(settings: IngestSettings, secrets: Secrets<'_>, clock: Arc<dyn Clock>) -> Self {
        Self::start_with(settings, secrets, clock, None).await
    }

    #[expect(clippy::disallowed_methods, reason = "the server of a test is a task of its own")]
    pub(crate) async fn start_with(
        settings: IngestSettings,
        secrets: Secrets<'_>,
        clock: Arc<dyn Clock>,
        entries: Option<Arc<dyn EntryStream>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (secret, entries) in secrets {
            for (entry, text) in *entries {
                write(folder.path(), secret, entry, text);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = watch::channel(false);
        let serving = Serving {
            pipeline: PipelineId {
                namespace: "parking".parse().unwrap(),
                name: "birmingham".parse().unwrap(),
            },
            partitions: PARTITIONS,
            settings,
            secrets: folder.path().to_owned(),
            listener,
            entries,
        };
        let log = TestLog::new();
        let task = tokio::spawn(serve(serving, Arc::new(log.clone()), clock, stopped));
        Self { log, address, secrets: folder, stop, task: Some(task) }
    }

    pub(crate) fn write(&self, secret: &str, entry: &str, text: &str) {
        write(self.secrets.path(), secret, entry, text);
    }

    pub(crate) fn post(&self, key: Option<&str>) -> RequestBuilder {
        self.post_as("application/json", key)
    }

    pub(crate) fn post_as(&self, content_type: &str, key: Option<&str>) -> RequestBuilder {
        let request = reqwest::Client::new().post(format!("http://{}/v1/events", self.address));
        let request = request.header("content-type", content_type);
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn publish(&self, key: Option<&str>, body: impl Into<String>) -> Answer {
        Answer::of(self.post(key).body(body.into()).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) fn tell_to_end(&self) {
        self.stop.send_replace(true);
    }

    /// Tells it to end and waits until it has.
    pub(crate) async fn end(mut self) -> TestLog {
        self.tell_to_end();
        self.task.take().unwrap().await.unwrap().unwrap();
        self.log.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn write(folder: &Path, secret: &str, entry: &str, text: &str) {
    fs::create_dir_all(folder.join(secret)).unwrap();
    fs::write(folder.join(secret).join(entry), text).unwrap();
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        Self {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(header).collect(),
            body: serde_json::from_str(&response.text().await.unwrap()).unwrap(),
        }
    }

    /// Reasons of the refused records, by place.
    pub(crate) fn refused(&self) -> Vec<(u64, String)> {
        let list = self.body["refused"].as_array().unwrap();
        list.iter()
            .map(|one| (one["record"].as_u64().unwrap(), one["reason"].as_str().unwrap().to_owned()))
            .collect()
    }
}

/// A live event of the pipeline's own tenant.
pub(crate) fn event(number: u32) -> String {
    event_of("birmingham", number)
}

pub(crate) fn event_of(tenant: &str, number: u32) -> String {
    let id = Uuid::from_u128(u128::from(number) + 1);
    format!(
        r#"{{"event_id":"{id}","event_type":"park_start","event_time":1760601600000,"curb_zone_id":"{ZONE}","data_source_type":"in_ground","data_source_device_id":"0fcb51b0-4529-4d28-a339-81e9a9bbcdb3","ext":{{"schema_version":1,"tenant":"{tenant}","seq":{number}}}}}"#
    )
}

/// Asks until the answer is yes, for ten seconds at most.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        SystemClock::new().pause(parking_crds::duration::Duration::from_millis(10)).await;
    }
    panic!("{what} did not come true in {:?}", StdDuration::from_secs(10));
}
