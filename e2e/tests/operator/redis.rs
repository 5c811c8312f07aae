//! A city with a managed Redis, whose servers and sentinels run for real and are asked as a client asks them.

use std::{collections::BTreeMap, process::Command, time::Duration};

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use parking_crds::pipeline::ParkingPipeline;
use parking_e2e::kubernetes::wait::eventually;
use serde_json::{Value, json};

use crate::city::{City, PIPELINE, told};

/// How long an election, a failover or a roll may take: Sentinel is given its times, and the machine does other things.
pub(crate) const LONG: Duration = Duration::from_mins(3);
/// Key that a leading master counts up each second.
const BEAT_KEY: &str = "parking:redis:beat";
/// Ports of servers and sentinels.
const PORTS: [(&str, u16); 2] = [("redis", 6379), ("sentinel", 26379)];

/// A city whose pipeline has a managed Redis.
pub(crate) struct RedisCity {
    pub(crate) city: City,
}

impl RedisCity {
    /// A pipeline with such a Redis, once it is ready.
    pub(crate) async fn start(managed: Value) -> Self {
        let city = Self { city: City::start().await };
        city.apply(managed, json!({})).await;
        city.city.load_rules(0).await;
        city.until("Ready", "True").await;
        city
    }

    /// Applies the pipeline with such a Redis and policy.
    pub(crate) async fn apply(&self, managed: Value, policy: Value) {
        let change = |pipeline: &mut Value| {
            pipeline["spec"]["redis"] = json!({"managed": managed});
            pipeline["spec"]["deletionPolicy"] = policy;
        };
        self.city.apply(change).await;
    }

    /// Changes members of `spec.redis.managed`.
    pub(crate) async fn change(&self, managed: Value) {
        self.city.patch(json!({"spec": {"redis": {"managed": managed}}})).await;
    }

    /// Waits until every other server follows the master, and every sentinel knows them: any may replace it then.
    pub(crate) async fn until_replaceable(&self) {
        self.eventually("servers that may replace the master", async || {
            let servers = self.members("redis").await;
            let wanted = (servers.len() - 1).to_string();
            let mut following = 0;
            for pod in servers.values() {
                following += usize::from(self.replication(pod, "master_link_status").await == "up");
            }
            if following + 1 != servers.len() {
                return Err(format!("{following} servers follow"));
            }
            for (name, pod) in self.members("sentinel").await {
                let master = self.ask(&pod, &["SENTINEL", "MASTER", "mymaster"]).await;
                let known = master.iter().skip_while(|line| *line != "num-slaves").nth(1);
                if known != Some(&wanted) {
                    return Err(format!("{name} knows {known:?} of {wanted}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Asks until the answer is `Ok`, and tells all that is known when it never is.
    pub(crate) async fn eventually<T>(
        &self,
        what: &str,
        answer: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        match eventually(what, LONG, answer).await {
            Ok(found) => found,
            Err(error) => panic!(
                "{error}\n  {}\n{}\noperator:\n{}",
                self.conditions().await,
                self.views().await,
                self.city.log()
            ),
        }
    }

    /// How every sentinel sees the servers.
    async fn views(&self) -> String {
        let password = self.password().await;
        let fields = ["ip", "flags", "slave-priority", "link-refcount", "master-link-status", "info-refresh"];
        let view = |(name, pod): (String, Pod)| {
            let known =
                ["MASTER", "REPLICAS"].map(|what| say(&pod, &password, &["SENTINEL", what, "mymaster"]));
            let lines = known.concat();
            let pairs = lines.iter().zip(lines.iter().skip(1));
            let told = pairs.filter(|(key, _)| fields.contains(&key.as_str()));
            let told: Vec<String> = told.map(|(key, value)| format!("{key}={value}")).collect();
            format!("  {name}: {}\n", told.join(" "))
        };
        self.members("sentinel").await.into_iter().map(view).collect()
    }

    /// Takes the nodes of these pods away, and gives all others back.
    pub(crate) fn take_away(&self, pods: &[&str]) {
        let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        self.city.kubelet.change(|rules| rules.lost = Box::new(move |pod| pods.contains(&pod.name_any())));
    }

    /// Waits until a condition has a status for the newest generation.
    pub(crate) async fn until(&self, condition: &str, status: &str) -> ParkingPipeline {
        self.eventually(&format!("{condition} is {status}"), async || {
            self.city.standing(PIPELINE, condition, status).await
        })
        .await
    }

    /// Reason and message of a condition.
    pub(crate) async fn told(&self, condition: &str) -> (String, String) {
        let pipeline = self.city.pipelines().get(PIPELINE).await.unwrap();
        let mut conditions = pipeline.status.unwrap_or_default().conditions.into_iter();
        let found = conditions.find(|found| found.type_ == condition);
        found.map(|found| (found.reason, found.message)).unwrap_or_default()
    }

    async fn conditions(&self) -> String {
        let pipeline = self.city.pipelines().get_opt(PIPELINE).await.unwrap();
        pipeline.as_ref().map(told).unwrap_or_default()
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        self.city.namespace.api()
    }

    /// The pods of `redis` or `sentinel`, by name.
    pub(crate) async fn members(&self, component: &str) -> BTreeMap<String, Pod> {
        let selector = format!("app.kubernetes.io/component={component}");
        let list = self.pods().list(&ListParams::default().labels(&selector)).await.unwrap();
        list.items.into_iter().map(|pod| (pod.name_any(), pod)).collect()
    }

    /// Values of the password's Secret by key, and the Secret.
    pub(crate) async fn secret(&self) -> (BTreeMap<String, String>, Secret) {
        let secrets: Api<Secret> = self.city.namespace.api();
        let secret = secrets.get("city-redis").await.unwrap();
        let text = |(key, value): (&String, &k8s_openapi::ByteString)| {
            (key.clone(), String::from_utf8(value.0.clone()).unwrap())
        };
        (secret.data.iter().flatten().map(text).collect(), secret)
    }

    /// The password that the Secret shows.
    pub(crate) async fn password(&self) -> String {
        self.secret().await.0.remove("password").unwrap()
    }

    /// The reply of a pod's server or sentinel, as lines; empty when it does not answer.
    pub(crate) async fn ask(&self, pod: &Pod, command: &[&str]) -> Vec<String> {
        say(pod, &self.password().await, command)
    }

    /// The pod that most sentinels name as the master.
    pub(crate) async fn master(&self) -> Option<String> {
        let password = self.password().await;
        let sentinels = self.members("sentinel").await;
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        for sentinel in sentinels.values() {
            let named = say(sentinel, &password, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
            if let Some((pod, _)) = named.first().and_then(|host| host.split_once('.')) {
                *votes.entry(pod.to_owned()).or_default() += 1;
            }
        }
        let favourite = votes.into_iter().max_by_key(|(_, count)| *count)?;
        (favourite.1 > sentinels.len() / 2).then_some(favourite.0)
    }

    /// Writes a key through the master that the sentinels name; what is in the way.
    pub(crate) async fn try_write(&self, key: &str) -> Result<(), String> {
        let master = self.master().await.ok_or("no majority names a master")?;
        let pod = self.pods().get_opt(&master).await.map_err(|error| error.to_string())?;
        let answer = self.ask(&pod.ok_or(format!("{master} is gone"))?, &["SET", key, "1"]).await;
        if answer == ["OK"] { Ok(()) } else { Err(format!("{master} answers {answer:?}")) }
    }

    /// Writes a key, as soon as the master takes it.
    pub(crate) async fn write(&self, key: &str) {
        self.eventually("a write", async || self.try_write(key).await).await;
    }

    /// Whether the master holds the keys.
    pub(crate) async fn holds(&self, keys: &[&str]) -> Result<(), String> {
        let master = self.master().await.ok_or("no majority names a master")?;
        let pod = self.pods().get_opt(&master).await.map_err(|error| error.to_string())?;
        let words: Vec<&str> = ["EXISTS"].iter().chain(keys).copied().collect();
        let answer = self.ask(&pod.ok_or(format!("{master} is gone"))?, &words).await;
        let wanted = keys.len().to_string();
        if answer == [wanted] { Ok(()) } else { Err(format!("{master} answers {answer:?} to {words:?}")) }
    }

    /// A field of `INFO replication` of a server; empty when it does not answer.
    pub(crate) async fn replication(&self, pod: &Pod, field: &str) -> String {
        let lines = self.ask(pod, &["INFO", "replication"]).await;
        let found = lines.iter().find_map(|line| line.strip_prefix(&format!("{field}:")));
        found.unwrap_or_default().to_owned()
    }

    /// How often a server's data was told by a leading master that it is alive: what tells newer data from older.
    pub(crate) async fn beat(&self, pod: &Pod) -> u64 {
        let lines = self.ask(pod, &["GET", BEAT_KEY]).await;
        lines.first().and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    /// Deletes a pod without letting its processes end, as a lost node does.
    pub(crate) async fn lose(&self, pod: &str) {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let _ = self.city.kubelet.crash(pod);
        self.pods().delete(pod, &at_once).await.unwrap();
    }
}

/// The reply of a pod's server or sentinel to who logs in with the password, as lines; empty without a reply.
pub(crate) fn say(pod: &Pod, password: &str, command: &[&str]) -> Vec<String> {
    let component = &pod.labels()["app.kubernetes.io/component"];
    let port = PORTS.iter().find(|(known, _)| known == component).unwrap().1;
    let Some(address) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) else {
        return Vec::new();
    };
    let output = Command::new("timeout")
        .args(["3", "redis-cli", "-h", &address, "-p", &port.to_string(), "--no-auth-warning"])
        .args(command)
        .env("REDISCLI_AUTH", password)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}
