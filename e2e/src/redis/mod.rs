//! Redis with Sentinel for a test: processes on loopback, their data in temporary folders.
//!
//! Servers are killed, frozen, thawed and started again by their address.

mod node;
mod tls;

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use redis::{Client, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};
use rustix::process::Signal;

use self::node::Node;
pub use self::tls::TlsFiles;
use crate::{held::free_address, wait::eventually};

/// How long it may take until all know each other.
const START: Duration = Duration::from_secs(30);

/// How long a question to a server may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A port is free when it is looked for, and may be taken when it is used: then others are looked for.
const TRIES: usize = 5;

/// What is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Servers: one master, the others its replicas.
    pub servers: usize,
    /// Sentinels; the quorum is more than half of them.
    pub sentinels: usize,
    /// Name of the master at the sentinels.
    pub master_name: String,
    /// Password of the servers' default user.
    pub password: Option<String>,
    /// Password of the sentinels' default user.
    pub sentinel_password: Option<String>,
    /// Silence after which a sentinel takes a server for dead.
    pub down_after: Duration,
    /// `min-replicas-to-write`.
    pub min_replicas: u8,
    /// Certificate, key and authority (PEM files): then all ports speak TLS.
    pub tls: Option<TlsFiles>,
    /// More lines of the servers' configuration.
    pub config: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: 1,
            sentinels: 1,
            master_name: "parking-master".to_owned(),
            password: None,
            sentinel_password: None,
            down_after: Duration::from_secs(1),
            min_replicas: 0,
            tls: None,
            config: Vec::new(),
        }
    }
}

/// Servers and sentinels that run; gone with the value.
#[derive(Debug)]
pub struct Redis {
    options: Options,
    servers: Vec<Node>,
    sentinels: Vec<Node>,
}

impl Redis {
    /// Starts all of it, and waits until replicas are in step and sentinels know each other.
    ///
    /// # Errors
    /// When a program is missing (Debian: redis-server, redis-sentinel) or they do not find each other in time.
    pub fn start(options: &Options) -> io::Result<Self> {
        let mut last = io::Error::other("nothing was tried");
        for _ in 0..TRIES {
            match Self::start_once(options.clone()) {
                Ok(redis) => return Ok(redis),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn start_once(options: Options) -> io::Result<Self> {
        let mut redis = Self { options, servers: Vec::new(), sentinels: Vec::new() };
        redis.run()?;
        Ok(redis)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut master = None;
        for _ in 0..self.options.servers {
            let address = free_address()?;
            let master = *master.get_or_insert(address);
            let config = |folder: &Path| self.server_config(address, folder, master);
            self.servers.push(Node::start(address, false, config)?);
        }
        let master = master.ok_or_else(|| io::Error::other("at least one server is needed"))?;
        eventually("the servers answer", Duration::from_secs(5), || {
            self.servers()
                .into_iter()
                .all(|server| self.ask::<String>(server, &["PING"]).is_ok())
                .then_some(())
        })?;
        for _ in 0..self.options.sentinels {
            let address = free_address()?;
            let config = |folder: &Path| self.sentinel_config(address, folder, master);
            self.sentinels.push(Node::start(address, true, config)?);
        }
        self.settled()
    }

    fn common_config(&self, address: SocketAddr, folder: &Path) -> String {
        let (folder, port) = (folder.display(), address.port());
        let place = match &self.options.tls {
            None => format!("port {port}\n"),
            Some(TlsFiles { certificate, key, ca }) => format!(
                "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
                 tls-auth-clients no\ntls-replication yes\n",
                certificate.display(),
                key.display(),
                ca.display()
            ),
        };
        format!("bind 127.0.0.1\n{place}protected-mode no\ndir {folder}\n")
    }

    fn server_config(&self, address: SocketAddr, folder: &Path, master: SocketAddr) -> String {
        let mut config = self.common_config(address, folder);
        config += "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n";
        config.extend([format!(
            "min-replicas-to-write {}\nmin-replicas-max-lag 2\n",
            self.options.min_replicas
        )]);
        if let Some(password) = &self.options.password {
            config.extend([format!("requirepass {password}\nmasterauth {password}\n")]);
        }
        if address != master {
            config.extend([format!("replicaof {} {}\n", master.ip(), master.port())]);
        }
        for line in &self.options.config {
            config.extend([format!("{line}\n")]);
        }
        config
    }

    fn sentinel_config(&self, address: SocketAddr, folder: &Path, master: SocketAddr) -> String {
        let (name, quorum) = (&self.options.master_name, self.options.sentinels / 2 + 1);
        let mut config = self.common_config(address, folder);
        config.extend([format!(
            "sentinel monitor {name} {} {} {quorum}\nsentinel down-after-milliseconds {name} {}\n\
             sentinel failover-timeout {name} 3000\n",
            master.ip(),
            master.port(),
            self.options.down_after.as_millis()
        )]);
        if let Some(password) = &self.options.password {
            config.extend([format!("sentinel auth-pass {name} {password}\n")]);
        }
        if let Some(password) = &self.options.sentinel_password {
            config.extend([format!("requirepass {password}\nsentinel sentinel-pass {password}\n")]);
        }
        config
    }

    /// Waits until every server but the master follows it, and every sentinel knows all others.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub fn settled(&self) -> io::Result<()> {
        eventually("servers and sentinels know each other", START, || self.is_settled().then_some(()))
    }

    fn is_settled(&self) -> bool {
        let Ok(master) = self.master() else { return false };
        let replicas = self.servers.len() - 1;
        let follows = |server: SocketAddr| {
            server == master || self.info(server).is_some_and(|info| info.contains("master_link_status:up"))
        };
        let counts = format!("slaves={replicas},sentinels={}", self.sentinels.len());
        let knows = |sentinel: SocketAddr| {
            let info = self.ask::<String>(sentinel, &["INFO", "sentinel"]).unwrap_or_default();
            info.contains("status=ok") && info.contains(&counts)
        };
        let acked = self.ask::<u64>(master, &["WAIT", &replicas.to_string(), "1"]);
        self.servers().into_iter().all(follows)
            && self.sentinels().into_iter().all(knows)
            && acked.is_ok_and(|acked| acked >= replicas as u64)
    }

    fn info(&self, server: SocketAddr) -> Option<String> {
        self.ask::<String>(server, &["INFO", "replication"]).ok()
    }

    /// The sentinels' addresses.
    #[must_use]
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(|node| node.address).collect()
    }

    /// The servers' addresses.
    #[must_use]
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|node| node.address).collect()
    }

    /// What was started.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The master: whom most sentinels name, if it says so itself.
    ///
    /// # Errors
    /// When there is none now.
    pub fn master(&self) -> io::Result<SocketAddr> {
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.options.master_name];
        let named = self.sentinels().into_iter().filter_map(|sentinel| {
            let (host, port) = self.ask::<(String, u16)>(sentinel, &question).ok()?;
            Some(SocketAddr::new(host.parse().ok()?, port))
        });
        let named: Vec<SocketAddr> = named.collect();
        let most = named.iter().max_by_key(|one| named.iter().filter(|other| other == one).count());
        let most = most.filter(|one| self.info(**one).is_some_and(|info| info.contains("role:master")));
        most.copied().ok_or_else(|| io::Error::other("no server is master now"))
    }

    /// Asks a server or sentinel.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub fn ask<T: FromRedisValue>(&self, address: SocketAddr, words: &[&str]) -> io::Result<T> {
        let sentinel = self.sentinels.iter().any(|node| node.address == address);
        let password = if sentinel { &self.options.sentinel_password } else { &self.options.password };
        let mut connection = self.connect(address, password.as_deref())?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut connection).map_err(io::Error::other)
    }

    fn connect(&self, address: SocketAddr, password: Option<&str>) -> io::Result<Connection> {
        let (host, port) = (address.ip().to_string(), address.port());
        let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = password {
            login = login.set_password(password);
        }
        let info = (host.as_str(), port).into_connection_info().map_err(io::Error::other)?;
        let info = info.set_redis_settings(login);
        let client = match &self.options.tls {
            None => Client::open(info),
            Some(files) => {
                // Fails where one is there already, which is as good.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let place = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
                let root_cert = Some(fs::read(&files.ca)?);
                let certificates = redis::TlsCertificates { client_tls: None, root_cert };
                Client::build_with_tls(info.set_addr(place), certificates)
            }
        };
        let opened = client.and_then(|client| {
            let connection = client.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            Ok(connection)
        });
        opened.map_err(io::Error::other)
    }

    fn server(&self, address: SocketAddr) -> io::Result<&Node> {
        let mut nodes = self.servers.iter().chain(&self.sentinels);
        nodes.find(|node| node.address == address).ok_or_else(|| io::Error::other("no such server"))
    }

    /// Kills a server or sentinel (SIGKILL).
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, address: SocketAddr) -> io::Result<()> {
        self.server(address)?.signal(Signal::KILL)
    }

    /// Stops a server or sentinel in the midst of whatever it does (SIGSTOP).
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, address: SocketAddr) -> io::Result<()> {
        self.server(address)?.signal(Signal::STOP)
    }

    /// Lets a frozen one go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, address: SocketAddr) -> io::Result<()> {
        self.server(address)?.signal(Signal::CONT)
    }

    /// Starts a killed server again, empty, as replica of the master that there is now.
    ///
    /// # Errors
    /// When there is no master, or it does not start.
    pub fn restart(&mut self, address: SocketAddr) -> io::Result<()> {
        let master = self.master()?;
        let config = self.server_config(address, self.server(address)?.folder(), master);
        let node = self.servers.iter_mut().find(|node| node.address == address);
        node.ok_or_else(|| io::Error::other("no such server"))?.restart(&config)
    }

    /// Lets the sentinels name another address than the master's own, such as a proxy's.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub fn name_master(&self, address: SocketAddr) -> io::Result<()> {
        let (name, port) = (&self.options.master_name, address.port().to_string());
        let quorum = (self.sentinels.len() / 2 + 1).to_string();
        for sentinel in self.sentinels() {
            self.ask::<String>(sentinel, &["SENTINEL", "REMOVE", name])?;
            let host = address.ip().to_string();
            self.ask::<String>(sentinel, &["SENTINEL", "MONITOR", name, &host, &port, &quorum])?;
        }
        Ok(())
    }

    /// Removes all keys from the master.
    ///
    /// # Errors
    /// When there is no master.
    pub fn flush_all(&self) -> io::Result<()> {
        self.ask::<String>(self.master()?, &["FLUSHALL"]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_servers_whose_value_is_gone_a_frozen_one_included() {
        let redis = Redis::start(&Options { servers: 2, ..Options::default() }).unwrap();
        let (servers, sentinels) = (redis.servers(), redis.sentinels());
        let nodes = redis.servers.iter().chain(&redis.sentinels);
        let folders: Vec<_> = nodes.map(|node| node.folder().to_owned()).collect();
        assert!(servers.contains(&redis.master().unwrap()) && folders.iter().all(|folder| folder.is_dir()));
        redis.freeze(servers[1]).unwrap();
        drop(redis);
        for address in servers.into_iter().chain(sentinels) {
            assert!(std::net::TcpStream::connect(address).is_err(), "{address} still listens");
        }
        assert!(folders.iter().all(|folder| !folder.exists()));
    }

    #[test]
    fn a_killed_replica_starts_again_and_follows_the_master() {
        let mut redis = Redis::start(&Options { servers: 2, ..Options::default() }).unwrap();
        let master = redis.master().unwrap();
        let replica = redis.servers().into_iter().find(|server| *server != master).unwrap();
        redis.kill(replica).unwrap();
        assert!(redis.ask::<String>(replica, &["PING"]).is_err());
        redis.restart(replica).unwrap();
        redis.settled().unwrap();
    }
}
