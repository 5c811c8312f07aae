//! Birmingham's workers on servers of the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use parking_crds::{
    alert_rule::AlertRule,
    duration::Duration as Length,
    lake_index::{self, LakeIndex},
    names::RuleName,
    pipeline::Route,
    role::Role,
    rule_bundle::{
        BundleManifest, BundledRule, MANIFEST_KEY, VERSION, bundle_hash, list_key, rule_key, sha256,
    },
    topology::Topology,
    worker_config::{Log, RollSettings, Store, WorkerConfig},
    worker_status::{RulesReport, WorkerStatus},
};
use parking_e2e::{
    held::free_address,
    redis::{Options, Redis},
};
use parking_workers::{
    adapters::{
        decorate::Retrying,
        embedded::SystemClock,
        kafka::{KafkaEventLog, KafkaSettings},
        lake::{DeltaLake, LogSources, statistics},
        s3::S3ObjectStore,
    },
    deployment::Deployment,
    ports::{event_log::Stream, object_store::ObjectStore},
    worker::{self, WorkerError},
};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    broker::{Broker, Topics},
    flow::Flow,
    lake,
    place::Place,
    process::{self, Process},
    receiver::{Receiver, SIGNING_KEY},
    reference::{self, Outputs, Reference, birmingham, readings},
    topology,
};

pub(crate) static REDIS: LazyLock<Redis> = LazyLock::new(|| Redis::start(&Options::default()).unwrap());

/// Longest way from the first record to the last alert, beside other tests.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
const KEY: &str = "a-key-that-replays";

/// A worker in this process.
pub(crate) struct Worker {
    address: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// What it tells of its rules.
    pub(crate) async fn rules(&self) -> Option<RulesReport> {
        let status = reqwest::get(format!("http://{}/status", self.address)).await.unwrap();
        status.json::<WorkerStatus>().await.unwrap().rules
    }

    /// Waits until it works by the rules of this hash.
    pub(crate) async fn until_loaded(&self, bundle: &str) {
        let loaded = async {
            while self.rules().await.is_none_or(|rules| rules.bundle != bundle) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, loaded).await.is_ok(), "{bundle} is not loaded");
    }

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

/// The servers of a city, as its workers are told of them.
pub(crate) struct Servers {
    pub(crate) log: KafkaSettings,
    pub(crate) store: Store,
    /// Where workers find the log, if not where the test does.
    pub(crate) log_of_workers: Option<String>,
}

pub(crate) struct City {
    pub(crate) deployment: Deployment,
    pub(crate) servers: Servers,
    pub(crate) folder: TempDir,
    pub(crate) place: Place,
    route: Route,
    pub(crate) receiver: Receiver,
    /// Age at which a file of the lake is cut. By itself as good as none: files are then cut by the end of the input
    /// alone, as with `parking up --until-idle`.
    pub(crate) roll_after: Length,
}

impl City {
    /// On servers that others use, too.
    pub(crate) async fn new() -> Self {
        Self::on(Broker::shared(), &REDIS).await
    }

    /// On these servers, which the test may disturb.
    pub(crate) async fn on(broker: &Broker, redis: &Redis) -> Self {
        Self::of(birmingham(), broker, redis).await
    }

    /// Of another example.
    pub(crate) async fn of(deployment: Deployment, broker: &Broker, redis: &Redis) -> Self {
        let topics = Topics::random(i32::try_from(deployment.partitions()).unwrap());
        let mut settings = topology::topic_settings();
        // A test that takes its time shall find what it wrote.
        settings.insert("retention.ms".to_owned(), "3600000".to_owned());
        topics.make_with(broker, &settings).await;
        let log = topics.settings(broker);
        let store = Store::Redis {
            sentinels: redis.sentinels().iter().map(ToString::to_string).collect(),
            master_name: redis.options().master_name.clone(),
            prefix: format!("{}:", log.group).parse().unwrap(),
            credentials: None,
            sentinel_credentials: None,
            wait_replicas: redis.options().min_replicas,
            tls: false,
            ca: None,
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("inventory.yaml"), &deployment.inventory_text).unwrap();
        write_secrets(&folder.path().join("secrets"));
        write_rules(&folder.path().join("rules"), &deployment, &deployment.rules);
        let receiver = Receiver::default();
        let route = serde_json::json!({
            "name": "ops",
            "webhook": {
                "url": receiver.start().await,
                "signingKeySecretRef": {"name": "signer", "key": "key"},
            },
            "maxPerMinute": 6_000,
            "includeReplayed": true,
        });
        let (place, route) = (Place::new().await, serde_json::from_value(route).unwrap());
        let servers = Servers { log, store, log_of_workers: None };
        let roll_after = Length::from_secs(3_600);
        Self { deployment, servers, folder, place, route, receiver, roll_after }
    }

    /// Puts other rules where the workers find theirs; answers their hash.
    pub(crate) fn change_rules(&self, choose: impl FnOnce(&[AlertRule]) -> &[AlertRule]) -> String {
        write_rules(&self.folder.path().join("rules"), &self.deployment, choose(&self.deployment.rules))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn config(&self, role: Role) -> WorkerConfig {
        let topology = Topology::of(&self.deployment.pipeline, &self.deployment.rules, &[]).unwrap();
        let mut config = topology.worker(role).unwrap().config.clone();
        let log = &self.servers.log;
        config.log = Log::Kafka {
            bootstrap_servers: self.servers.log_of_workers.as_ref().unwrap_or(&log.bootstrap_servers).clone(),
            security_protocol: log.security_protocol,
            sasl_mechanism: log.sasl_mechanism,
            credentials: None,
            ca: None,
        };
        config.streams = log.topics.iter().map(|(stream, topic)| (*stream, topic.parse().unwrap())).collect();
        config.group = format!("{}.{role}", log.group).parse().unwrap();
        config.store = self.servers.store.clone();
        config.lake = self.place.as_config();
        config.roll_after = config.roll_after.map(|roll| RollSettings { age: self.roll_after, ..roll });
        config.routes = vec![self.route.clone()];
        // Nobody shall write ticks while a slow machine takes its time.
        config.events.idle_after = Length::from_secs(3_600);
        config.inventory = self.path("inventory.yaml");
        config.rules = self.path("rules");
        config.secrets = self.path("secrets");
        config.listen = free_address().unwrap().to_string();
        if let Some(ingest) = &mut config.ingest {
            ingest.api_keys = Some("keys".parse().unwrap());
            ingest.redis_stream = true;
        }
        // As it would come out of its file.
        WorkerConfig::parse(&config.to_yaml().unwrap()).unwrap()
    }

    /// Starts a worker for each of these roles; they are ready.
    pub(crate) async fn start_all<const COUNT: usize>(&self, roles: [Role; COUNT]) -> [Worker; COUNT] {
        let workers = roles.map(|role| self.start(role));
        for (worker, role) in workers.iter().zip(roles) {
            process::until_ready(role.as_str(), &worker.address).await;
        }
        workers
    }

    pub(crate) fn start(&self, role: Role) -> Worker {
        let config = self.config(role);
        let address = config.listen.clone();
        let (stop, told) = watch::channel(false);
        Worker { address, stop, task: tokio::spawn(worker::run(config, told)) }
    }

    /// Starts a worker as a process of its own, which its group knows by name.
    pub(crate) fn spawn(&self, role: Role, name: &str) -> Process {
        self.spawn_beside(role, name, name, |_| ())
    }

    /// The same, with a file of its own, as another process may have that name, and of other words.
    pub(crate) fn spawn_beside(
        &self,
        role: Role,
        name: &str,
        file: &str,
        change: impl FnOnce(&mut WorkerConfig),
    ) -> Process {
        let mut config = self.config(role);
        change(&mut config);
        let file = self.folder.path().join(format!("{file}.yaml"));
        fs::write(&file, config.to_yaml().unwrap()).unwrap();
        Process::start(role, name, file, config.listen)
    }

    /// Sends all readings, and the end of them.
    pub(crate) async fn replay(&self, ingest: &Worker) {
        self.replay_to(&ingest.address).await;
    }

    /// The same to an address.
    pub(crate) async fn replay_to(&self, ingest: &str) {
        let ((_, calm), (over, _)) = (watch::channel(true), watch::channel(false));
        self.flow_to(ingest, calm, over).await;
    }

    /// The same, at a pace while it is not yet calm.
    pub(crate) async fn flow_to(&self, ingest: &str, calm: watch::Receiver<bool>, over: watch::Sender<bool>) {
        let flow = Flow { ingest: ingest.to_owned(), key: KEY, tenant: self.deployment.name() };
        flow.run(readings(&self.deployment), calm, over).await;
    }

    /// Puts a record into the stream of the shared Redis, as somebody would who knows no HTTP; answers its id.
    pub(crate) fn put_into_the_stream(&self, number: u32) -> String {
        let (id, zone) = (
            format!("{number:08x}-0000-4000-8000-000000000000"),
            &self.deployment.inventory.latest().zones()[0],
        );
        let record = serde_json::json!({
            "event_id": id, "event_type": "park_start", "event_time": 1_475_568_000_000_i64,
            "curb_zone_id": zone.id, "data_source_type": "in_ground", "data_source_device_id": zone.id,
            "ext": {"schema_version": 1, "tenant": self.deployment.name(), "seq": number},
        });
        let key = format!("{}:ingest", self.servers.log.group);
        let master = REDIS.master().unwrap();
        let _: String = REDIS.ask(master, &["XADD", &key, "*", "record", &record.to_string()]).unwrap();
        id
    }

    pub(crate) async fn log(&self) -> KafkaEventLog {
        KafkaEventLog::open(self.servers.log.clone()).await.unwrap()
    }

    pub(crate) async fn records(&self, stream: Stream) -> Outputs {
        // Topics are new, and not every broker knows at once who leads them.
        let log = Retrying::new(self.log().await, SystemClock::new(), 12);
        reference::records(&log, stream, self.deployment.partitions()).await
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

    /// The lake as a reader finds it.
    async fn lake(&self) -> DeltaLake {
        let (objects, found) = (S3ObjectStore::open(&self.place.settings()).unwrap(), Mutex::new(None));
        let indexed = async {
            loop {
                let index = objects.get(lake_index::KEY).await.unwrap();
                let index = index.map(|text| LakeIndex::parse(&text).unwrap());
                let ended = |index: &LakeIndex| index.watermark(lake_index::Table::Alerts).is_some();
                found.lock().unwrap().clone_from(&index);
                if let Some(index) = index.filter(ended) {
                    return index;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let index = tokio::time::timeout(DEADLINE, indexed).await;
        let index = index.unwrap_or_else(|_| panic!("{:?}", found.lock().unwrap()));
        let sources = LogSources::of_index(&index);
        DeltaLake::open(self.place.settings(), sources, self.deployment.partitions()).unwrap()
    }

    /// Waits until the lake holds what the reference holds.
    pub(crate) async fn until_archived(&self, reference: &Reference) -> DeltaLake {
        let (lake, expected) = (self.lake().await, lake::counts(&reference.lake).await);
        let archived = async {
            while lake::counts(&lake).await != expected {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, archived).await.is_ok();
        assert!(in_time, "{:?}, expected {expected:?}", lake::counts(&lake).await);
        lake
    }

    /// The jobs of the example give the same on both lakes.
    pub(crate) async fn assert_same_statistics(&self, lake: &DeltaLake, reference: &Reference) {
        for job in &self.deployment.jobs {
            let name = job.metadata.name.clone().unwrap();
            statistics::run(lake, &name, &job.spec).await.unwrap();
            let (found, expected) = (
                statistics::read(lake, &name).await.unwrap(),
                statistics::read(&reference.lake, &name).await.unwrap(),
            );
            assert!(!expected.is_empty(), "{name} has rows");
            assert_eq!(found, expected, "{name}");
        }
    }

    /// Waits until everybody was told of everything.
    pub(crate) async fn until_told(&self, reference: &Reference) {
        let told = || self.receiver.keys().into_iter().collect::<BTreeSet<_>>();
        let all = async {
            while told() != reference.notified {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, all).await.is_ok();
        assert!(in_time, "{} told, expected {}", told().len(), reference.notified.len());
    }
}

fn write_secrets(folder: &Path) {
    fs::create_dir_all(folder.join("keys")).unwrap();
    fs::write(folder.join("keys/replay-all"), KEY).unwrap();
    fs::create_dir_all(folder.join("signer")).unwrap();
    fs::write(folder.join("signer/key"), SIGNING_KEY).unwrap();
    let (access_key, secret_key) = parking_e2e::minio::KEYS;
    fs::create_dir_all(folder.join("bucket")).unwrap();
    fs::write(folder.join("bucket/accessKey"), access_key).unwrap();
    fs::write(folder.join("bucket/secretKey"), secret_key).unwrap();
}

fn write_rules(folder: &Path, deployment: &Deployment, rules: &[AlertRule]) -> String {
    fs::create_dir_all(folder).unwrap();
    let id = parking_crds::topology::PipelineId::of(&deployment.pipeline).unwrap();
    let rules: BTreeMap<RuleName, BundledRule> = rules
        .iter()
        .map(|rule| (rule.metadata.name.as_ref().unwrap().parse().unwrap(), BundledRule::of(rule, &id)))
        .collect();
    let list: BTreeMap<_, _> = rules.iter().map(|(name, rule)| (name, &rule.hash)).collect();
    let list = serde_json::to_string(&list).unwrap();
    let shards = [(0, sha256(&list))].into();
    let hash = bundle_hash(&rules);
    let manifest = BundleManifest { version: VERSION, hash: hash.clone(), rules: rules.len(), shards };
    fs::write(folder.join(list_key(0)), list).unwrap();
    fs::write(folder.join(MANIFEST_KEY), serde_json::to_string(&manifest).unwrap()).unwrap();
    for (name, rule) in rules {
        fs::write(folder.join(rule_key(&name)), rule.text).unwrap();
    }
    hash
}
