//! Birmingham's workers on servers of the test.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock, time::Duration};

use parking_crds::{
    duration::Duration as Length,
    names::RuleName,
    role::Role,
    rule_bundle::{
        BundleManifest, BundledRule, MANIFEST_KEY, VERSION, bundle_hash, list_key, rule_key, sha256,
    },
    stream,
    topology::Topology,
    worker_config::{Log, Store, WorkerConfig},
};
use parking_e2e::{
    held::free_address,
    redis::{Options, Redis},
};
use parking_workers::{
    adapters::{embedded::SystemClock, kafka::KafkaEventLog},
    command::send::{SendSettings, send},
    deployment::Deployment,
    ports::event_log::Stream,
    worker::{self, WorkerError},
};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    broker::{Broker, Topics},
    reference::{self, Outputs, Reference, birmingham, readings},
};

static REDIS: LazyLock<Redis> = LazyLock::new(|| Redis::start(&Options::default()).unwrap());

/// Longest way from the first record to the last alert, beside other tests.
const DEADLINE: Duration = Duration::from_mins(2);
const KEY: &str = "a-key-that-replays";

/// A worker in this process.
pub(crate) struct Worker {
    address: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Tells it to end, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }

    /// Ends it wherever it is; nothing is committed any more.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }
}

pub(crate) struct City {
    deployment: Deployment,
    topics: Topics,
    folder: TempDir,
}

impl City {
    pub(crate) async fn new() -> Self {
        let deployment = birmingham();
        let topics = Topics::random(i32::try_from(deployment.partitions()).unwrap());
        topics.make(Broker::shared()).await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("inventory.yaml"), &deployment.inventory_text).unwrap();
        write_secrets(&folder.path().join("secrets"));
        write_rules(&folder.path().join("rules"), &deployment);
        Self { deployment, topics, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn config(&self, role: Role) -> WorkerConfig {
        let topology = Topology::of(&self.deployment.pipeline, &self.deployment.rules, &[]).unwrap();
        let mut config = topology.worker(role).unwrap().config.clone();
        let settings = self.topics.settings(Broker::shared());
        config.log = Log::Kafka {
            bootstrap_servers: settings.bootstrap_servers,
            security_protocol: settings.security_protocol,
            sasl_mechanism: settings.sasl_mechanism,
            credentials: None,
            ca: None,
        };
        let topic = |stream: stream::Stream| {
            let same = Stream::ALL.into_iter().find(|one| one.as_str() == stream.as_str()).unwrap();
            (stream, self.topics.name(same).parse().unwrap())
        };
        config.streams = stream::Stream::ALL.into_iter().map(topic).collect();
        config.group = format!("{}.{role}", settings.group).parse().unwrap();
        config.store = Store::Redis {
            sentinels: REDIS.sentinels().iter().map(ToString::to_string).collect(),
            master_name: REDIS.options().master_name.clone(),
            prefix: format!("{}:", settings.group).parse().unwrap(),
            credentials: None,
            tls: false,
            ca: None,
        };
        // Nobody shall write ticks while a slow machine takes its time.
        config.events.idle_after = Length::from_secs(3_600);
        config.inventory = self.path("inventory.yaml");
        config.rules = self.path("rules");
        config.secrets = self.path("secrets");
        config.listen = free_address().unwrap().to_string();
        if let Some(ingest) = &mut config.ingest {
            ingest.api_keys = Some("keys".parse().unwrap());
        }
        // As it would come out of its file.
        WorkerConfig::parse(&config.to_yaml().unwrap()).unwrap()
    }

    pub(crate) fn start(&self, role: Role) -> Worker {
        let config = self.config(role);
        let address = config.listen.clone();
        let (stop, told) = watch::channel(false);
        Worker { address, stop, task: tokio::spawn(worker::run(config, told)) }
    }

    /// Sends all readings, and the end of them.
    pub(crate) async fn replay(&self, ingest: &Worker) {
        let settings = SendSettings {
            to: format!("http://{}", ingest.address),
            key: Some(KEY.to_owned()),
            tenant: self.deployment.name(),
            batch: 1_000,
            compression: None,
            end_of_input: true,
            skip: 0,
            patience: Length::from_secs(60),
        };
        let clock = std::sync::Arc::new(SystemClock::new());
        let report = send(&mut readings(&self.deployment), &settings, clock, &mut |_| ()).await.unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
    }

    async fn log(&self) -> KafkaEventLog {
        KafkaEventLog::open(self.topics.settings(Broker::shared())).await.unwrap()
    }

    pub(crate) async fn records(&self, stream: Stream) -> Outputs {
        reference::records(&self.log().await, stream, self.deployment.partitions()).await
    }

    /// Waits until every output of the reference is there.
    pub(crate) async fn until_written(&self, reference: &Reference) {
        let mut missing = BTreeMap::new();
        let written = async {
            for (stream, expected) in &reference.outputs {
                loop {
                    let found = self.records(*stream).await;
                    let last = |outputs: &Outputs| -> Vec<Option<String>> {
                        outputs.iter().map(|partition| partition.last().cloned()).collect()
                    };
                    if last(&found) == last(expected) {
                        break;
                    }
                    let counts = |outputs: &Outputs| outputs.iter().map(Vec::len).collect::<Vec<_>>();
                    missing.insert(*stream, (counts(&found), counts(expected)));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, written).await.is_ok();
        assert!(in_time, "found and expected by stream: {missing:?}");
    }
}

fn write_secrets(folder: &Path) {
    fs::create_dir_all(folder.join("keys")).unwrap();
    fs::write(folder.join("keys/replay-all"), KEY).unwrap();
}

fn write_rules(folder: &Path, deployment: &Deployment) {
    fs::create_dir_all(folder).unwrap();
    let id = parking_crds::topology::PipelineId::of(&deployment.pipeline).unwrap();
    let rules: BTreeMap<RuleName, BundledRule> = deployment
        .rules
        .iter()
        .map(|rule| (rule.metadata.name.as_ref().unwrap().parse().unwrap(), BundledRule::of(rule, &id)))
        .collect();
    let list: BTreeMap<_, _> = rules.iter().map(|(name, rule)| (name, &rule.hash)).collect();
    let list = serde_json::to_string(&list).unwrap();
    let shards = [(0, sha256(&list))].into();
    let manifest = BundleManifest { version: VERSION, hash: bundle_hash(&rules), rules: rules.len(), shards };
    fs::write(folder.join(list_key(0)), list).unwrap();
    fs::write(folder.join(MANIFEST_KEY), serde_json::to_string(&manifest).unwrap()).unwrap();
    for (name, rule) in rules {
        fs::write(folder.join(rule_key(&name)), rule.text).unwrap();
    }
}
