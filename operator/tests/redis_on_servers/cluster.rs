//! Servers and sentinels that are looked after as the operator does it.
//! What the pods' scripts do while a server runs is done here by [`Cluster::keep`].

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_operator::{
    redis::{
        BEAT_KEY, Decision, Life, Member, Members, Part, Passwords, RedisAction, RedisSeen, SENTINEL_PORT,
        SERVER_PORT, Server, WAITING, Waits, Wanted, act, decide, digest, observe,
    },
    validate::KeptSecret,
};
use redis::aio::MultiplexedConnection;

/// Time of one look, and how much of it passes for the operator.
const LOOK: Duration = Duration::from_millis(100);
const PASSES: SignedDuration = SignedDuration::from_millis(600);
/// Longest wait for anything; a roll of all pods takes about 22 seconds on an idle machine.
const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Pod {
    pub(crate) member: Member,
    child: Option<Child>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Pod {
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) struct Cluster {
    data: tempfile::TempDir,
    pub(crate) servers: Vec<Pod>,
    pub(crate) sentinels: Vec<Pod>,
    pub(crate) wanted: Wanted,
    pub(crate) waits: Waits,
    now: Timestamp,
    pub(crate) promoted: Vec<u16>,
}

pub(crate) fn secret(text: &str) -> KeptSecret {
    KeptSecret(text.to_owned())
}

/// Two octets that no other test on this machine uses now.
fn network() -> (u8, u8) {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let process = std::process::id().to_le_bytes();
    for _ in 0..250 {
        let (second, third) = (process[0] | 1, process[1].wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
        let free = |port| TcpListener::bind((Ipv4Addr::new(127, second, third, 10), port)).is_ok();
        if free(SERVER_PORT) && free(SENTINEL_PORT) {
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

pub(crate) async fn ask<T: redis::FromRedisValue>(
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

pub(crate) async fn connect(member: &Member, password: &str, port: u16) -> Option<MultiplexedConnection> {
    let url = format!("redis://:{password}@{}:{port}", member.host);
    let config = redis::AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_millis(500)));
    redis::Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await.ok()
}

impl Cluster {
    pub(crate) fn start(servers: u16, sentinels: u16) -> Self {
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

    pub(crate) fn start_server(&mut self, ordinal: u16) {
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

    pub(crate) fn start_sentinel(&mut self, ordinal: u16) {
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

    pub(crate) fn password(&self) -> String {
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

    pub(crate) async fn look(&mut self) -> (RedisSeen, Decision) {
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
    pub(crate) async fn until(
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
    pub(crate) async fn settled(&mut self) -> String {
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

    pub(crate) fn server(&mut self, pod: &str) -> &mut Pod {
        self.servers.iter_mut().find(|one| one.member.pod == pod).unwrap()
    }

    pub(crate) fn ordinal(&self, pod: &str) -> u16 {
        self.servers.iter().find(|one| one.member.pod == pod).unwrap().member.ordinal
    }

    pub(crate) async fn write(&mut self, pod: &str, key: &str, value: &str) -> bool {
        let password = self.password();
        let member = self.server(pod).member.clone();
        ask::<String>(&member, &password, SERVER_PORT, &["SET", key, value]).await.is_some()
    }

    pub(crate) async fn read(&mut self, pod: &str, key: &str) -> Option<String> {
        let password = self.password();
        let member = self.server(pod).member.clone();
        ask::<Option<String>>(&member, &password, SERVER_PORT, &["GET", key]).await.flatten()
    }
}
