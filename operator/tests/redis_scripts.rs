//! The planned containers of Redis and its sentinels, run for real on loopback addresses of their own.
//!
//! Each test has a cluster in a folder of its own: the planned ConfigMap and Secret are written there, each pod
//! gets its command and environment, with DNS names replaced by addresses. What the operator says to running
//! servers is said here as the module docs of `plan::redis` describe it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use parking_crds::{
    manifest::{Manifest, parse},
    topology::Topology,
};
use parking_operator::{
    apis::Apis,
    owned_kinds::OwnedKind,
    plan::{Plan, Planned, redis, redis_scripts, sentinel},
    settings::PlanSettings,
    validate::{ExternalCluster, KeptSecret, Owner, RedisLogin, ValidKafka, ValidPipeline, ValidRedis},
};
use serde_json::Value;

const PASSWORD: &str = "correct-horse";
const MEMBERS: u16 = 3;
/// Longest wait for anything; an election takes about ten seconds.
const DEADLINE: Duration = Duration::from_mins(1);

fn pipeline() -> ValidPipeline {
    let text = "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {name: city, namespace: parking}\n\
                spec:\n  kafka: {external: {bootstrapServers: 'k:9092'}}\n  redis: {managed: {}}\n  \
                objectStore: {bucket: city-lake}\n  inventory: {configMapRef: {name: inv}}\n  events: {partitions: 1}\n";
    let Manifest::Pipeline(object) = parse(text).unwrap().remove(0).manifest else { panic!("{text}") };
    let topology = Topology::of(&object, &[], &[]).unwrap();
    ValidPipeline {
        id: topology.pipeline.clone(),
        owner: Owner { kind: "ParkingPipeline", name: "city".to_owned(), uid: String::new() },
        topology,
        kafka: ValidKafka::External(ExternalCluster {
            bootstrap_servers: "k:9092".to_owned(),
            security_protocol: parking_crds::pipeline::SecurityProtocol::Plaintext,
        }),
        redis: ValidRedis::Managed {
            login: RedisLogin::new(KeptSecret(PASSWORD.to_owned()), None),
            storage: object.spec.redis.managed.as_ref().unwrap().storage(),
        },
        spec: Arc::new(object.spec),
        run: BTreeMap::new(),
        secret_hashes: BTreeMap::new(),
        rules: BTreeMap::new(),
        apis: Apis::default(),
        settings: Arc::new(PlanSettings::default()),
    }
}

/// Settings under which Sentinel does the same in less time.
fn in_short(settings: String) -> String {
    let shorter = [("down-after-milliseconds 5000", "2000"), ("failover-timeout 30000", "6000")];
    shorter.iter().fold(settings, |text, (line, value)| {
        let (setting, _) = line.split_once(' ').unwrap();
        text.replace(line, &format!("{setting} {value}"))
    })
}

/// One pod: its folder, its address and, while it runs, its process.
struct Pod {
    root: PathBuf,
    name: String,
    address: String,
    component: &'static str,
    process: Option<Child>,
}

struct Cluster {
    pods: Vec<Pod>,
    template: BTreeMap<&'static str, Value>,
    hosts: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Three servers and three sentinels on `127.<net>.0.x`, not started.
    fn new(net: u8) -> Self {
        let pipeline = pipeline();
        let mut plan = Plan::default();
        redis_scripts::add(&mut plan, &pipeline);
        redis::add(&mut plan, &pipeline);
        sentinel::add(&mut plan, &pipeline);
        let folder = tempfile::tempdir().unwrap();
        let domain = &pipeline.settings.cluster_domain;
        let (mut hosts, mut pods) = (BTreeMap::new(), Vec::new());
        for (component, set, offset) in [("redis", "city-redis", 1), ("sentinel", "city-redis-sentinel", 11)]
        {
            for ordinal in 0..MEMBERS {
                let address = format!("127.{net}.0.{}", offset + ordinal);
                let host = match component {
                    "redis" => redis::member_host(&pipeline.id, domain, ordinal),
                    _ => redis::sentinel_host(&pipeline.id, domain, ordinal),
                };
                hosts.insert(host, address.clone());
                let name = format!("{set}-{ordinal}");
                pods.push(Pod { root: folder.path().join(&name), name, address, component, process: None });
            }
        }
        let of = |kind, name: &str| find(&plan.objects, kind, name);
        let template = [("redis", "city-redis"), ("sentinel", "city-redis-sentinel")];
        let template = template.map(|(component, name)| {
            let set = of(OwnedKind::StatefulSet, name);
            (component, set["spec"]["template"]["spec"]["containers"][0].clone())
        });
        let cluster = Self { pods, template: template.into(), hosts, _folder: folder };
        let scripts = of(OwnedKind::ConfigMap, "city-redis");
        for pod in &cluster.pods {
            for folder in ["etc/redis/scripts", "etc/redis/password", "run/redis", "data"] {
                fs::create_dir_all(pod.root.join(folder)).unwrap();
            }
            for (name, text) in scripts["data"].as_object().unwrap() {
                let text = in_short(cluster.with_addresses(text.as_str().unwrap()));
                fs::write(pod.root.join("etc/redis/scripts").join(name), text).unwrap();
            }
            fs::write(pod.root.join("etc/redis/password/password"), PASSWORD).unwrap();
        }
        cluster
    }

    fn with_addresses(&self, text: &str) -> String {
        self.hosts.iter().fold(text.to_owned(), |text, (host, address)| text.replace(host, address))
    }

    fn start(&mut self, index: usize) {
        let pod = &self.pods[index];
        let container = &self.template[pod.component];
        let command: Vec<&str> =
            container["command"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        let script = pod.root.join(command[1].trim_start_matches('/'));
        let log = fs::File::options().create(true).append(true).open(pod.root.join("log")).unwrap();
        let mut process = Command::new(command[0]);
        process.arg(script).env("ROOT", &pod.root).env("ADDRESS", &pod.address);
        for variable in container["env"].as_array().unwrap() {
            if let Some(value) = variable["value"].as_str() {
                let value = self.with_addresses(&value.replace("$(POD_NAME)", &pod.name));
                process.env(variable["name"].as_str().unwrap(), value);
            }
        }
        process.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // A group of its own, so that a kill takes script and server, as the end of a container does.
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        self.pods[index].process = Some(process.spawn().unwrap());
    }

    fn start_all(&mut self) {
        (0..self.pods.len()).for_each(|index| self.start(index));
    }

    /// Kills the pod's processes as a lost node does.
    fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.pods[index].process.take() {
            let group = format!("-{}", process.id());
            Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks the pod to end, as the deletion of a pod does.
    fn terminate(&mut self, index: usize) {
        let mut process = self.pods[index].process.take().unwrap();
        Command::new("kill").args(["-TERM", "--", &process.id().to_string()]).status().unwrap();
        process.wait().unwrap();
    }

    /// The reply of a server or sentinel, as lines; empty when it does not answer.
    fn say(&self, index: usize, command: &[&str]) -> Vec<String> {
        let pod = &self.pods[index];
        let port = if pod.component == "redis" { redis::SERVER_PORT } else { redis::SENTINEL_PORT };
        let output = Command::new("redis-cli")
            .args(["-h", &pod.address, "-p", &port.to_string(), "--no-auth-warning"])
            .args(command)
            .env("REDISCLI_AUTH", PASSWORD)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn replication(&self, index: usize, field: &str) -> Option<String> {
        let lines = self.say(index, &["INFO", "replication"]);
        lines.iter().find_map(|line| line.strip_prefix(&format!("{field}:"))).map(ToOwned::to_owned)
    }

    /// How new the server's data are; 0 where it has none.
    fn beat(&self, index: usize) -> u64 {
        let lines = self.say(index, &["GET", redis::BEAT_KEY]);
        lines.first().and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    fn probe(&self, index: usize, question: &str) -> bool {
        let pod = &self.pods[index];
        let mut probe = Command::new("sh");
        probe.arg(pod.root.join("etc/redis/scripts/probe.sh")).args([question, pod.component]);
        probe.env("ROOT", &pod.root).env("ADDRESS", &pod.address);
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    fn waits(&self, index: usize) -> bool {
        let enough = self.say(index, &["CONFIG", "GET", "min-replicas-to-write"]);
        self.replication(index, "role").as_deref() == Some("master")
            && enough.last().is_some_and(|number| *number == redis::WAITING.to_string())
    }

    /// The server that a majority of the sentinels names and that leads.
    fn master(&self) -> Option<usize> {
        let named = |index| self.say(index, &["SENTINEL", "get-master-addr-by-name", redis::MASTER_NAME]);
        let (servers, sentinels) = (0..usize::from(MEMBERS), usize::from(MEMBERS)..self.pods.len());
        let answers: Vec<_> = sentinels.map(named).collect();
        servers.into_iter().find(|&server| {
            let address = &self.pods[server].address;
            let votes = answers.iter().filter(|answer| answer.first() == Some(address)).count();
            votes >= usize::from(redis::quorum(MEMBERS))
                && self.replication(server, "role").as_deref() == Some("master")
                && !self.waits(server)
        })
    }

    /// What the operator does when nobody knows a master.
    fn elect(&self, server: usize) {
        let enough = redis::min_replicas_to_write(MEMBERS).to_string();
        assert_eq!(self.say(server, &["REPLICAOF", "NO", "ONE"]), ["OK"]);
        assert_eq!(self.say(server, &["CONFIG", "SET", "min-replicas-to-write", &enough]), ["OK"]);
        let (port, quorum) = (redis::SERVER_PORT.to_string(), redis::quorum(MEMBERS).to_string());
        for sentinel in usize::from(MEMBERS)..self.pods.len() {
            let (name, address) = (redis::MASTER_NAME, self.pods[server].address.as_str());
            assert_eq!(self.say(sentinel, &["SENTINEL", "MONITOR", name, address, &port, &quorum]), ["OK"]);
            let settings =
                redis::sentinel_settings().map(|(setting, value)| in_short(format!("{setting} {value}")));
            let password = format!("auth-pass {PASSWORD}");
            for (setting, value) in settings.iter().chain([&password]).filter_map(|line| line.split_once(' '))
            {
                assert_eq!(self.say(sentinel, &["SENTINEL", "SET", name, setting, value]), ["OK"]);
            }
        }
    }

    /// Waits until every server is led or leads, and all sentinels know each other and whom they may promote.
    fn settle(&self) -> usize {
        let others = usize::from(MEMBERS) - 1;
        self.wait_for("all are in step", |cluster| {
            let ready = (0..cluster.pods.len()).all(|index| cluster.probe(index, "ready"));
            let complete = (usize::from(MEMBERS)..cluster.pods.len()).all(|index| {
                let known = |what| cluster.say(index, &["SENTINEL", what, redis::MASTER_NAME]);
                let (sentinels, replicas) = (known("SENTINELS"), known("REPLICAS"));
                let priorities = replicas.iter().zip(replicas.iter().skip(1));
                sentinels.iter().filter(|line| *line == "name").count() == others
                    && priorities.filter(|(name, value)| *name == "slave-priority" && *value == "100").count()
                        == others
            });
            (ready && complete).then(|| cluster.master()).flatten()
        })
    }

    fn write(&self, server: usize, key: &str) {
        self.wait_for("the write is taken", |cluster| {
            (cluster.say(server, &["SET", key, "1"]) == ["OK"]).then_some(())
        });
    }

    #[expect(clippy::disallowed_methods, reason = "real servers run on the wall clock")]
    fn wait_for<T>(&self, what: &str, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = seen(self) {
                return found;
            }
            assert!(Instant::now() < end, "not in time: {what}\n{}", self.logs());
            sleep(Duration::from_millis(200));
        }
    }

    /// What the pod printed since its first start.
    fn log(&self, index: usize) -> String {
        fs::read_to_string(self.pods[index].root.join("log")).unwrap_or_default()
    }

    fn logs(&self) -> String {
        let log = |(index, pod): (usize, &Pod)| {
            let text = self.log(index);
            let tail: Vec<&str> = text.lines().rev().take(15).collect();
            format!(
                "== {} {}\n{}\n",
                pod.name,
                pod.address,
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        };
        self.pods.iter().enumerate().map(log).collect()
    }

    fn wipe(&self, index: usize) {
        let data = self.pods[index].root.join("data");
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(data).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.pods.len()).for_each(|index| self.kill(index));
    }
}

fn find(objects: &[Planned], kind: OwnedKind, name: &str) -> Value {
    objects.iter().find(|object| object.kind == kind && object.name == name).unwrap().manifest.clone()
}

fn arguments_of_all_processes() -> String {
    let read = |path: &Path| fs::read_to_string(path.join("cmdline")).ok();
    fs::read_dir("/proc").unwrap().filter_map(|entry| read(&entry.ok()?.path())).collect()
}

#[test]
fn nobody_leads_before_somebody_is_elected_and_a_dead_master_is_replaced() {
    let mut cluster = Cluster::new(21);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    assert!((0..3).all(|index| cluster.probe(index, "live") && !cluster.probe(index, "ready")));
    assert!(cluster.say(0, &["SET", "a", "1"])[0].starts_with("NOREPLICAS"));

    cluster.elect(1);
    assert_eq!(cluster.settle(), 1);
    cluster.write(1, "a");
    assert!(!arguments_of_all_processes().contains(PASSWORD));
    cluster.wait_for("the beat is replicated", |cluster| {
        (cluster.beat(0) > 1 && cluster.beat(2) > 1).then_some(())
    });

    cluster.kill(1);
    let second = cluster.wait_for("another leads", |cluster| cluster.master().filter(|&index| index != 1));
    cluster.write(second, "b");
    cluster.start(1);
    assert_eq!(cluster.settle(), second);
    assert_eq!(cluster.say(1, &["EXISTS", "a", "b"]), ["2"]);

    // Told to end, a master hands over first.
    cluster.terminate(second);
    let third = cluster.master().expect("a master as soon as the old one ended");
    assert_ne!(third, second);
}

#[test]
fn after_all_died_none_with_less_data_leads() {
    let mut cluster = Cluster::new(22);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    cluster.elect(2);
    assert_eq!(cluster.settle(), 2);
    cluster.write(2, "old");
    let before = cluster.beat(0);
    cluster.kill(0);
    cluster.write(2, "new");
    cluster.wait_for("the other replica goes on", |cluster| {
        (cluster.say(1, &["EXISTS", "new"]) == ["1"] && cluster.beat(1) > before + 1).then_some(())
    });
    (0..6).for_each(|index| cluster.kill(index));

    // Ordinal 0 has less than the others, the master's volume is lost, and the sentinels remember the master.
    cluster.wipe(2);
    cluster.start_all();
    cluster.wait_for("both replicas follow", |cluster| {
        let follows = |index| cluster.replication(index, "role").as_deref() == Some("slave");
        (follows(0) && follows(1)).then_some(())
    });
    cluster.wait_for("a sentinel takes the master for dead and finds nobody to promote", |cluster| {
        assert_eq!(cluster.master(), None, "{}", cluster.logs());
        (3..6).any(|index| cluster.log(index).contains("-failover-abort-no-good-slave")).then_some(())
    });
    assert!(cluster.say(2, &["PING"]).is_empty(), "an empty server must not listen while it is named");
    assert!(cluster.probe(2, "live"));

    assert!(cluster.beat(1) > cluster.beat(0));
    assert_eq!(cluster.say(1, &["CONFIG", "SET", "replica-priority", "100"]), ["OK"]);
    cluster.wait_for("the failover begins", |cluster| {
        let answer = cluster.say(3, &["SENTINEL", "FAILOVER", redis::MASTER_NAME]);
        (answer == ["OK"] || cluster.master() == Some(1)).then_some(())
    });
    assert_eq!(cluster.settle(), 1);
    assert!((0..3).all(|index| cluster.say(index, &["EXISTS", "old", "new"]) == ["2"]));
}

#[test]
fn a_restarted_cluster_goes_on_under_its_last_master() {
    let mut cluster = Cluster::new(23);
    cluster.start_all();
    cluster.wait_for("all wait", |cluster| (0..3).all(|index| cluster.waits(index)).then_some(()));
    cluster.elect(1);
    cluster.settle();
    cluster.write(1, "a");
    (0..6).for_each(|index| cluster.kill(index));
    cluster.start_all();
    assert_eq!(cluster.settle(), 1);
    assert_eq!(cluster.say(1, &["EXISTS", "a"]), ["1"]);
}
