//! The pods of a planned Redis, as processes.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use parking_operator::{
    owned_kinds::OwnedKind,
    plan::{Plan, redis, redis_scripts, sentinel},
};
use serde_json::Value;

use crate::plan::{PASSWORD, find, in_short, pipeline};

const MEMBERS: u16 = 3;
/// Longest wait for anything; an election takes about ten seconds.
const DEADLINE: Duration = Duration::from_mins(1);

/// One pod: its folder, its address and, while it runs, its process.
struct Pod {
    root: PathBuf,
    name: String,
    address: String,
    component: &'static str,
    process: Option<Child>,
}

pub(crate) struct Cluster {
    pods: Vec<Pod>,
    template: BTreeMap<&'static str, Value>,
    hosts: BTreeMap<String, String>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Three servers and three sentinels on `127.<net>.0.x`, not started.
    pub(crate) fn new(net: u8) -> Self {
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

    pub(crate) fn start(&mut self, index: usize) {
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

    pub(crate) fn start_all(&mut self) {
        (0..self.pods.len()).for_each(|index| self.start(index));
    }

    /// Kills the pod's processes as a lost node does.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.pods[index].process.take() {
            let group = format!("-{}", process.id());
            Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            process.wait().unwrap();
        }
    }

    /// Asks the pod to end, as the deletion of a pod does.
    pub(crate) fn terminate(&mut self, index: usize) {
        let mut process = self.pods[index].process.take().unwrap();
        Command::new("kill").args(["-TERM", "--", &process.id().to_string()]).status().unwrap();
        process.wait().unwrap();
    }

    /// The reply of a server or sentinel, as lines; empty when it does not answer.
    pub(crate) fn say(&self, index: usize, command: &[&str]) -> Vec<String> {
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

    pub(crate) fn replication(&self, index: usize, field: &str) -> Option<String> {
        let lines = self.say(index, &["INFO", "replication"]);
        lines.iter().find_map(|line| line.strip_prefix(&format!("{field}:"))).map(ToOwned::to_owned)
    }

    /// How new the server's data are; 0 where it has none.
    pub(crate) fn beat(&self, index: usize) -> u64 {
        let lines = self.say(index, &["GET", redis::BEAT_KEY]);
        lines.first().and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn probe(&self, index: usize, question: &str) -> bool {
        let pod = &self.pods[index];
        let mut probe = Command::new("sh");
        probe.arg(pod.root.join("etc/redis/scripts/probe.sh")).args([question, pod.component]);
        probe.env("ROOT", &pod.root).env("ADDRESS", &pod.address);
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    pub(crate) fn waits(&self, index: usize) -> bool {
        let enough = self.say(index, &["CONFIG", "GET", "min-replicas-to-write"]);
        self.replication(index, "role").as_deref() == Some("master")
            && enough.last().is_some_and(|number| *number == redis::WAITING.to_string())
    }

    /// The server that a majority of the sentinels names and that leads.
    pub(crate) fn master(&self) -> Option<usize> {
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
    pub(crate) fn elect(&self, server: usize) {
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
    pub(crate) fn settle(&self) -> usize {
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

    pub(crate) fn write(&self, server: usize, key: &str) {
        self.wait_for("the write is taken", |cluster| {
            (cluster.say(server, &["SET", key, "1"]) == ["OK"]).then_some(())
        });
    }

    #[expect(clippy::disallowed_methods, reason = "real servers run on the wall clock")]
    pub(crate) fn wait_for<T>(&self, what: &str, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
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
    pub(crate) fn log(&self, index: usize) -> String {
        fs::read_to_string(self.pods[index].root.join("log")).unwrap_or_default()
    }

    pub(crate) fn logs(&self) -> String {
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

    pub(crate) fn wipe(&self, index: usize) {
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
