//! What a pipeline writes in one process, in a data folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use parking_crds::alert_rule::Notify;
use parking_workers::{
    adapters::{embedded, lake::DeltaLake},
    command::{
        import::ImportSettings,
        replay::{Format, Replay},
    },
    deployment::{self, Deployment},
    domain::{
        alert::{AlertRecord, AlertStatus, bare_name},
        notify::idempotency_key,
    },
    ports::{
        event_log::{EventLog, Records, Stream, StreamPartition},
        live_view::LiveKind,
    },
    runtime::stage::CommitLimits,
    up::{self, UpOptions},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::live::{self, Rows};

/// Records by partition.
pub(crate) type Outputs = Vec<Vec<String>>;

pub(crate) struct Reference {
    /// The input, by partition, as it was read.
    pub(crate) events: Vec<Vec<Records>>,
    pub(crate) outputs: BTreeMap<Stream, Outputs>,
    pub(crate) lake: DeltaLake,
    /// Keys of all that is to be told.
    pub(crate) notified: BTreeSet<String>,
    /// What it shows at the end.
    pub(crate) live: BTreeMap<LiveKind, Rows>,
    _data: TempDir,
}

pub(crate) fn birmingham() -> Deployment {
    example("birmingham")
}

/// An example, told to a webhook besides.
pub(crate) fn example(name: &str) -> Deployment {
    let mut deployment = deployment::load(&[PathBuf::from("../examples").join(name)]).unwrap();
    for rule in &mut deployment.rules {
        rule.spec.notify =
            Some(Box::new(Notify { routes: vec!["ops".parse().unwrap()], ..Notify::default() }));
    }
    deployment
}

pub(crate) fn readings(deployment: &Deployment) -> Replay {
    let settings = ImportSettings {
        tenant: deployment.name(),
        partitions: deployment.partitions(),
        batch: 5_000,
        pace: None,
        end_of_input: true,
    };
    Replay::open(Format::Birmingham, &deployment.replay.as_ref().unwrap().1, settings).unwrap()
}

impl Reference {
    /// The one of this test binary.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Reference> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::of(birmingham())).await
    }

    /// `parking up` on a data folder.
    pub(crate) async fn of(deployment: Deployment) -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = UpOptions {
            data: data.path().to_owned(),
            listen: None,
            until_idle: true,
            commit: CommitLimits::default(),
            batch: 1_000,
            pause: 0,
        };
        up::run(&deployment, &options).await.unwrap();
        let live = live::of_folder(data.path()).await;
        let folder = embedded::open(data.path(), &deployment.name(), deployment.partitions()).unwrap();
        let log = folder.event_log();
        let mut outputs = BTreeMap::new();
        for stream in [Stream::Sessions, Stream::Alerts, Stream::DeadLetters] {
            outputs.insert(stream, records(&log, stream, deployment.partitions()).await);
        }
        assert!(outputs[&Stream::Alerts].iter().flatten().any(|record| record.contains("firing")));
        let events = chunks(&log, Stream::Events, deployment.partitions()).await;
        let source = log.log_id(Stream::Events).await.unwrap().to_string();
        let lake = DeltaLake::open(folder.lake_path(), source.as_str(), deployment.partitions()).unwrap();
        let notified = notified(&outputs[&Stream::Alerts]);
        Self { notified, events, outputs, live, lake, _data: data }
    }
}

impl Reference {
    /// How many alerts of each rule are raised at the end.
    pub(crate) fn raised(&self) -> BTreeMap<String, u64> {
        let (mut open, mut raised) = (BTreeMap::new(), BTreeMap::new());
        for record in self.outputs[&Stream::Alerts].iter().flatten() {
            if let Ok(alert) = serde_json::from_str::<AlertRecord>(record) {
                open.insert(alert.alert_id, (alert.state, alert.rule));
            }
        }
        for (_, rule) in open.into_values().filter(|(state, _)| *state != AlertStatus::Resolved) {
            *raised.entry(bare_name(&rule).to_owned()).or_default() += 1;
        }
        raised
    }
}

/// The example's rules tell every change.
fn notified(alerts: &Outputs) -> BTreeSet<String> {
    let alerts =
        alerts.iter().flatten().filter_map(|record| serde_json::from_str::<AlertRecord>(record).ok());
    alerts.map(|alert| idempotency_key(&alert, "ops")).collect()
}

/// All records of a stream by partition.
pub(crate) async fn records(log: &dyn EventLog, stream: Stream, partitions: u32) -> Outputs {
    let text = |record: &[u8]| String::from_utf8(record.to_vec()).unwrap();
    let partition = |chunks: Vec<Records>| chunks.iter().flat_map(|chunk| chunk.iter().map(text)).collect();
    chunks(log, stream, partitions).await.into_iter().map(partition).collect()
}

/// The same, as it is read.
async fn chunks(log: &dyn EventLog, stream: Stream, partitions: u32) -> Vec<Vec<Records>> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let (at, mut found, mut next) = (StreamPartition { stream, partition }, Vec::new(), 0);
        loop {
            let fetched = log.read(at, next, 1 << 19).await.unwrap();
            if fetched.records.is_empty() {
                break;
            }
            next = fetched.next_offset();
            found.push(fetched.records);
        }
        all.push(found);
    }
    all
}

/// Without the offset of the input that it was made from.
pub(crate) fn without_origin(record: &str) -> String {
    let mut record: serde_json::Value = serde_json::from_str(record).unwrap();
    record.as_object_mut().unwrap().remove("origin");
    record.to_string()
}

/// Without what was published again: the same bytes, as ids and origins are part of them.
pub(crate) fn each_once(records: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    records.into_iter().filter(|record| seen.insert(record.clone())).collect()
}
