//! The steps of a managed Redis on real servers and sentinels. Each test has loopback addresses of its own.
//! What the pods' scripts do while a server runs is done here by [`Cluster::keep`].
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_operator::{
    redis::{
        BEAT_KEY, Decision, Life, MASTER_NAME, Member, Members, Part, Passwords, RedisAction, RedisSeen,
        SERVER_PORT, Server, WAITING, Waits, Wanted, act, decide, digest, observe,
    },
    validate::KeptSecret,
};
use redis::aio::MultiplexedConnection;

/// Time of one look, and how much of it passes for the operator.
const LOOK: Duration = Duration::from_millis(100);
const PASSES: SignedDuration = SignedDuration::from_millis(600);
const DEADLINE: Duration = Duration::from_secs(28);

struct Pod {
    member: Member,
    child: Option<Child>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Pod {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Cluster {
    data: tempfile::TempDir,
    servers: Vec<Pod>,
    sentinels: Vec<Pod>,
    wanted: Wanted,
    waits: Waits,
    now: Timestamp,
    promoted: Vec<u16>,
}

fn secret(text: &str) -> KeptSecret {
    KeptSecret(text.to_owned())
}

/// Two octets that no other test on this machine uses now.
fn network() -> (u8, u8) {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let process = std::process::id().to_le_bytes();
    for _ in 0..250 {
        let (second, third) = (process[0] | 1, process[1].wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
        let free = |port| TcpListener::bind((Ipv4Addr::new(127, second, third, 10), port)).is_ok();
        if free(SERVER_PORT) && free(26379) {
            return (second, third);
        }
    }
    panic!("no free loopback network");
}

fn member(pod: &str, ordinal: u16, ip: Ipv4Addr) -> Member {
    Member {
        pod: format!("{pod}-{ordinal}"),
        ordinal,
        host: ip.to_string(),
        ip: Some(IpAddr::V4(ip)),
        life: Life::Ready,
        terminating: false,
        revision_current: true,
    }
}

async fn ask<T: redis::FromRedisValue>(
    member: &Member,
    password: &str,
    port: u16,
    words: &[&str],
) -> Option<T> {
    let mut connection = connect(member, password, port).await?;
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(&mut connection).await.ok()
}

async fn connect(member: &Member, password: &str, port: u16) -> Option<MultiplexedConnection> {
    let url = format!("redis://:{password}@{}:{port}", member.host);
    let config = redis::AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_millis(500)));
    redis::Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await.ok()
}

impl Cluster {
    fn start(servers: u16, sentinels: u16) -> Self {
        let (second, third) = network();
        let ip = |last: u16| Ipv4Addr::new(127, second, third, u8::try_from(last).unwrap());
        let pod = |member| Pod { member, child: None };
        let mut cluster = Self {
            data: tempfile::tempdir().unwrap(),
            servers: (0..servers).map(|n| pod(member("redis", n, ip(10 + n)))).collect(),
            sentinels: (0..sentinels).map(|n| pod(member("sentinel", n, ip(100 + n)))).collect(),
            wanted: Wanted {
                servers,
                sentinels,
                quorum: sentinels / 2 + 1,
                min_replicas: u32::from(servers > 1),
                settings: [
                    ("down-after-milliseconds", "1500"),
                    ("failover-timeout", "3000"),
                    ("parallel-syncs", "1"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
                claims: (0..servers).collect(),
                passwords: Passwords { current: secret("first"), next: None, previous: None },
            },
            waits: Waits::default(),
            now: Timestamp::UNIX_EPOCH,
            promoted: Vec::new(),
        };
        for ordinal in 0..servers {
            cluster.start_server(ordinal);
        }
        for ordinal in 0..sentinels {
            cluster.start_sentinel(ordinal);
        }
        cluster
    }

    fn users(&self) -> String {
        let passwords = &self.wanted.passwords;
        let all = [Some(&passwords.current), passwords.previous.as_ref()].into_iter().flatten();
        let all: Vec<String> = all.map(|password| format!("#{}", digest(password))).collect();
        all.join(" ")
    }

    fn spawn(&self, name: &str, config: &str, sentinel: bool) -> Child {
        let path: PathBuf = self.data.path().join(format!("{name}.conf"));
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&path).args(sentinel.then_some("--sentinel"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("redis-server: install Debian's packages redis-server and redis-sentinel")
    }

    fn start_server(&mut self, ordinal: u16) {
        let member = self.servers[usize::from(ordinal)].member.clone();
        let dir = self.data.path().join(&member.pod);
        std::fs::create_dir_all(&dir).unwrap();
        let config = format!(
            "bind {}\nport 6379\nprotected-mode no\ndir {}\nappendonly yes\nappendfsync everysec\nsave \"\"\n\
             min-replicas-to-write {WAITING}\nreplica-priority 0\nrepl-diskless-sync-delay 0\nreplica-announce-ip {}\n\
             user default on ~* &* +@all {}\nmasterauth {}\n",
            member.host,
            dir.display(),
            member.host,
            self.users(),
            self.wanted.passwords.current.0
        );
        self.servers[usize::from(ordinal)].child = Some(self.spawn(&member.pod, &config, false));
    }

    fn start_sentinel(&mut self, ordinal: u16) {
        let member = self.sentinels[usize::from(ordinal)].member.clone();
        let config = format!(
            "bind {}\nport 26379\nprotected-mode no\ndir {}\nsentinel resolve-hostnames yes\n\
             sentinel announce-hostnames yes\nsentinel announce-ip {}\nsentinel sentinel-pass {}\n\
             user default on ~* &* +@all {}\n",
            member.host,
            self.data.path().display(),
            member.host,
            self.wanted.passwords.current.0,
            self.users()
        );
        self.sentinels[usize::from(ordinal)].child = Some(self.spawn(&member.pod, &config, true));
    }

    fn members(&self) -> Members {
        let of = |pods: &[Pod]| pods.iter().map(|pod| pod.member.clone()).collect();
        Members { servers: of(&self.servers), sentinels: of(&self.sentinels) }
    }

    fn password(&self) -> String {
        self.wanted.passwords.current.0.clone()
    }

    /// What each pod's script does once a second.
    async fn keep(&self, seen: &RedisSeen) {
        let named = seen.sentinels.iter().filter_map(|asked| asked.answer.says()?.watched.as_ref());
        let named: Vec<&str> = named.map(|watched| watched.host.as_str()).collect();
        let majority = named.iter().find(|host| {
            named.iter().filter(|other| other == host).count() > usize::from(self.wanted.sentinels) / 2
        });
        for asked in &seen.servers {
            let Some(said) = asked.answer.says() else { continue };
            let minimum = self.wanted.min_replicas.to_string();
            let mut commands: Vec<Vec<&str>> = Vec::new();
            match &said.part {
                Part::Replica { up, .. } => {
                    if said.min_replicas == WAITING {
                        commands.push(vec!["CONFIG", "SET", "min-replicas-to-write", &minimum]);
                    }
                    if *up && said.priority == 0 && asked.member.ordinal < self.wanted.servers {
                        commands.push(vec!["CONFIG", "SET", "replica-priority", "100"]);
                    }
                }
                Part::Master if said.leads() => {
                    commands.push(vec!["INCR", BEAT_KEY]);
                    if said.priority == 0 && asked.member.ordinal < self.wanted.servers {
                        commands.push(vec!["CONFIG", "SET", "replica-priority", "100"]);
                    }
                }
                Part::Master => match majority {
                    Some(host) if **host != asked.member.host => {
                        commands.push(vec!["REPLICAOF", host, "6379"]);
                        commands.push(vec!["CONFIG", "SET", "min-replicas-to-write", &minimum]);
                    }
                    Some(_) => commands.push(vec!["CONFIG", "SET", "min-replicas-to-write", &minimum]),
                    None => {}
                },
            }
            for words in commands {
                ask::<redis::Value>(&asked.member, &self.password(), SERVER_PORT, &words).await;
            }
        }
    }

    async fn look(&mut self) -> (RedisSeen, Decision) {
        let members = self.members();
        let seen = observe(&members, &self.wanted.passwords).await;
        self.keep(&seen).await;
        let decision = decide(&seen, &self.wanted, &self.waits, self.now);
        self.waits = decision.waits.clone();
        self.now = self.now.checked_add(PASSES).unwrap();
        let promotions = decision.actions.iter().filter_map(|action| match action {
            RedisAction::Promote { server, .. } => Some(*server),
            _ => None,
        });
        let promotions: Vec<u16> = promotions.collect();
        assert!(promotions.len() <= 1, "{decision:?}");
        self.promoted.extend(promotions);
        let _ = act(&decision.actions, &members, &self.wanted).await;
        (seen, decision)
    }

    /// Looks until `done`; fails after a while.
    #[expect(clippy::disallowed_methods, reason = "real servers run on the wall clock")]
    async fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self, &RedisSeen, &Decision) -> bool,
    ) -> Decision {
        let mut last = String::new();
        let looks = async {
            loop {
                let (seen, decision) = self.look().await;
                if done(self, &seen, &decision) {
                    return decision;
                }
                last = format!("{decision:#?}\n{seen:#?}");
                tokio::time::sleep(LOOK).await;
            }
        };
        let outcome = tokio::time::timeout(DEADLINE, looks).await.ok();
        outcome.unwrap_or_else(|| panic!("{what}: {last}"))
    }

    /// Looks until a master leads, all others are in step, and nothing is left to do.
    async fn settled(&mut self) -> String {
        let decision = self
            .until("settled", |cluster, seen, decision| {
                let up = |said: &Server| match &said.part {
                    Part::Master => said.leads() && said.priority > 0,
                    Part::Replica { up, .. } => *up && said.priority > 0,
                };
                let known = |others: u16| others + 1 == cluster.wanted.sentinels;
                decision.report.master.is_some()
                    && decision.actions.is_empty()
                    && decision.report.progressing.is_none()
                    && seen.servers.iter().all(|asked| asked.answer.says().is_some_and(up))
                    && seen.sentinels.iter().all(|asked| {
                        let watched = asked.answer.says().and_then(|said| said.watched.as_ref());
                        watched.is_some_and(|watched| {
                            known(watched.others)
                                && watched.replicas.len() + 1 == usize::from(cluster.wanted.servers)
                                && !watched.down
                        })
                    })
            })
            .await;
        decision.report.master.unwrap()
    }

    fn server(&mut self, pod: &str) -> &mut Pod {
        self.servers.iter_mut().find(|one| one.member.pod == pod).unwrap()
    }

    fn ordinal(&self, pod: &str) -> u16 {
        self.servers.iter().find(|one| one.member.pod == pod).unwrap().member.ordinal
    }

    async fn write(&mut self, pod: &str, key: &str, value: &str) -> bool {
        let password = self.password();
        let member = self.server(pod).member.clone();
        ask::<String>(&member, &password, SERVER_PORT, &["SET", key, value]).await.is_some()
    }

    async fn read(&mut self, pod: &str, key: &str) -> Option<String> {
        let password = self.password();
        let member = self.server(pod).member.clone();
        ask::<Option<String>>(&member, &password, SERVER_PORT, &["GET", key]).await.flatten()
    }
}

#[tokio::test]
async fn a_first_start_elects_one_master_and_then_rests() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    assert!(cluster.write(&master, "k", "v").await);
    assert_eq!(cluster.promoted.len(), 1);
    let (_, decision) = cluster.look().await;
    assert_eq!(decision.actions, []);
}

#[tokio::test]
async fn a_killed_master_is_replaced_by_sentinel_and_comes_back_as_a_replica() {
    let mut cluster = Cluster::start(3, 3);
    let old = cluster.settled().await;
    assert!(cluster.write(&old, "k", "v").await);
    cluster.server(&old).kill();
    let new = cluster.until("a new master", |_, _, decision| decision.report.master.is_some()).await;
    let new = new.report.master.unwrap();
    assert_ne!(new, old);
    assert_eq!(cluster.read(&new, "k").await.as_deref(), Some("v"));
    let ordinal = cluster.ordinal(&old);
    cluster.start_server(ordinal);
    let settled = cluster.settled().await;
    assert_eq!(cluster.read(&settled, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.read(&old, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.promoted.len(), 1, "only Sentinel promoted after the first start");
}

#[tokio::test]
async fn after_all_died_the_newest_data_lead() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let first = cluster.ordinal(&master);
    // The others miss what is written last; so does whoever has the lowest ordinal.
    let stale: Vec<u16> = (0..3).filter(|ordinal| *ordinal != first).collect();
    let newest = *stale.last().unwrap();
    for ordinal in 0..3 {
        if ordinal != newest && ordinal != first {
            cluster.servers[usize::from(ordinal)].kill();
        }
    }
    for n in 0..5 {
        cluster.write(&master, "last", &n.to_string()).await;
        cluster.look().await;
    }
    let kept = cluster.read(&format!("redis-{newest}"), "last").await;
    assert_eq!(kept.as_deref(), Some("4"));
    for pod in cluster.servers.iter_mut().chain(cluster.sentinels.iter_mut()) {
        pod.kill();
    }
    // The old master never comes back, and the sentinels lost their volumes.
    for ordinal in stale {
        cluster.start_server(ordinal);
    }
    for ordinal in 0..3 {
        cluster.start_sentinel(ordinal);
    }
    cluster.waits = Waits::default();
    let elected = cluster.until("elected", |_, _, decision| decision.report.data_loss.is_some()).await;
    assert!(elected.report.data_loss.unwrap().contains(&format!("[{first}]")));
    let led = cluster.until("a master", |_, _, decision| decision.report.master.is_some()).await;
    let led = led.report.master.unwrap();
    assert_eq!(led, format!("redis-{newest}"));
    assert_eq!(cluster.read(&led, "last").await.as_deref(), Some("4"));
}

#[tokio::test]
async fn a_master_that_never_returns_is_replaced_though_only_volumes_are_left() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    assert!(cluster.write(&master, "k", "v").await);
    let gone = cluster.ordinal(&master);
    for pod in &mut cluster.servers {
        pod.kill();
    }
    for ordinal in (0..3).filter(|ordinal| *ordinal != gone) {
        cluster.start_server(ordinal);
    }
    let led = cluster.until("a master", |_, _, decision| decision.report.master.is_some()).await;
    let led = led.report.master.unwrap();
    assert_ne!(led, master);
    assert_eq!(cluster.read(&led, "k").await.as_deref(), Some("v"));
    assert_eq!(cluster.promoted.len(), 1, "Sentinel promotes, not the operator");
}

#[tokio::test]
async fn of_two_masters_the_named_one_stays() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let stray = cluster.servers.iter().map(|pod| pod.member.clone()).find(|one| one.pod != master).unwrap();
    let words = ["REPLICAOF", "NO", "ONE"];
    ask::<String>(&stray, &cluster.password(), SERVER_PORT, &words).await.unwrap();
    assert_eq!(cluster.settled().await, master);
}

#[tokio::test]
async fn a_new_template_rolls_replicas_first_and_the_master_after_a_failover() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    for pod in cluster.servers.iter_mut().chain(cluster.sentinels.iter_mut()) {
        pod.member.revision_current = false;
    }
    let mut deleted = Vec::new();
    cluster
        .until("all rolled", |cluster, _, decision| {
            assert!(decision.report.delete_pods.len() <= 1);
            for name in &decision.report.delete_pods {
                deleted.push(name.clone());
                // The kubelet's part: the process ends, another one of the new template starts on its volume.
                let is_server = name.starts_with("redis");
                let pods = if is_server { &mut cluster.servers } else { &mut cluster.sentinels };
                let pod = pods.iter_mut().find(|pod| pod.member.pod == *name).unwrap();
                pod.kill();
                pod.member.revision_current = true;
                let ordinal = pod.member.ordinal;
                if is_server {
                    assert_ne!(
                        decision.report.master.as_ref(),
                        Some(name),
                        "a leading master is not deleted"
                    );
                    cluster.start_server(ordinal);
                } else {
                    cluster.start_sentinel(ordinal);
                }
            }
            let all = cluster.servers.iter().chain(&cluster.sentinels);
            all.into_iter().all(|pod| pod.member.revision_current)
        })
        .await;
    assert_eq!(deleted.len(), 6, "{deleted:?}");
    assert_eq!(deleted[2], master, "{deleted:?}");
    cluster.settled().await;
    assert_eq!(cluster.promoted.len(), 1);
}

#[tokio::test]
async fn no_write_fails_while_the_password_changes() {
    let mut cluster = Cluster::start(3, 3);
    let master = cluster.settled().await;
    let old = cluster.password();
    let mut client = connect(&cluster.server(&master).member.clone(), &old, SERVER_PORT).await.unwrap();
    cluster.wanted.passwords =
        Passwords { current: secret("second"), next: None, previous: Some(secret("first")) };
    let mut writes = 0;
    let mut adopted = false;
    while !adopted {
        let (_, decision) = cluster.look().await;
        adopted = decision.report.password_adopted;
        redis::cmd("INCR")
            .arg("n")
            .query_async::<u64>(&mut client)
            .await
            .expect("the old password still does");
        writes += 1;
        assert!(writes < 100, "{decision:?}");
    }
    // The workers have rolled: they use the new password.
    let mut client = connect(&cluster.server(&master).member.clone(), "second", SERVER_PORT).await.unwrap();
    cluster.wanted.passwords.previous = None;
    for _ in 0..5 {
        cluster.look().await;
        redis::cmd("INCR").arg("n").query_async::<u64>(&mut client).await.expect("the new password does");
    }
    assert_eq!(cluster.settled().await, master);
    for pod in cluster.servers.iter().chain(&cluster.sentinels) {
        let port = if pod.member.pod.starts_with("redis") { SERVER_PORT } else { 26379 };
        assert!(connect(&pod.member, "first", port).await.is_none(), "{}", pod.member.pod);
        assert!(connect(&pod.member, "second", port).await.is_some(), "{}", pod.member.pod);
    }
    cluster.server(&master).kill();
    let new = cluster.until("a new master", |_, _, decision| decision.report.master.is_some()).await;
    assert_ne!(new.report.master.unwrap(), master, "sentinels fail over with the new password");
}

#[tokio::test]
async fn fewer_members_are_forgotten_by_every_sentinel() {
    let mut cluster = Cluster::start(3, 3);
    cluster.settled().await;
    cluster.wanted.servers = 2;
    cluster.wanted.sentinels = 1;
    cluster.wanted.quorum = 1;
    cluster.wanted.claims = (0..2).collect::<BTreeSet<u16>>();
    let stays = |_: &mut Cluster, _: &RedisSeen, decision: &Decision| decision.report.keep_servers == 2;
    cluster.until("the master stays", stays).await;
    cluster.servers.truncate(2);
    cluster.sentinels.truncate(1);
    cluster.settled().await;
    let sentinel = cluster.sentinels[0].member.clone();
    let words = ["SENTINEL", "CKQUORUM", MASTER_NAME];
    assert!(ask::<String>(&sentinel, &cluster.password(), 26379, &words).await.unwrap().starts_with("OK 1"));
}
