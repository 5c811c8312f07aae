//! Redis with Sentinel for a test: processes on loopback, their data in a temporary folder.
//!
//! Must not: outlive the test binary, in a static either, which is never dropped. A shell holds each process until its
//! own standard input ends: the value closes it, or the kernel does when the test process ends in any way.
//! Servers are killed, frozen, thawed and started again by their address.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{Client, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// Runs a command until nobody holds standard input.
const HOLD: &str = r#""$@" </dev/null & read -r _; kill -KILL $! 2>/dev/null; wait"#;

/// Removes a folder once nobody holds standard input.
const HOLD_FOLDER: &str = r#"read -r _; rm -rf "$0""#;

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

/// Files of certificates, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Of each server and sentinel.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signed it.
    pub ca: PathBuf,
}

impl TlsFiles {
    /// Makes them for 127.0.0.1, for one day, in a folder.
    ///
    /// # Errors
    /// When `openssl` is missing or refuses.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let files = Self {
            certificate: folder.join("tls.pem"),
            key: folder.join("tls.key"),
            ca: folder.join("ca.pem"),
        };
        fs::write(folder.join("extensions"), "subjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n")?;
        let steps = [
            "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=test-authority -keyout ca.key -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=redis -keyout tls.key -out request",
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out tls.pem",
        ];
        for step in steps {
            let done = Command::new("openssl").args(step.split(' ')).current_dir(folder).output()?;
            if !done.status.success() {
                return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
            }
        }
        Ok(files)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: 1,
            sentinels: 1,
            master_name: "parking-master".to_owned(),
            password: None,
            sentinel_password: None,
            down_after: Duration::from_millis(1_000),
            min_replicas: 0,
            tls: None,
            config: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    folder: PathBuf,
    sentinel: bool,
    holder: Option<Child>,
}

/// Servers and sentinels that run; gone with the value.
#[derive(Debug)]
pub struct Redis {
    options: Options,
    servers: Vec<Node>,
    sentinels: Vec<Node>,
    folder: Child,
}

fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn shell(script: &str, zero: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(zero);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A signal from the terminal is the test's to handle.
    command.process_group(0);
    command
}

impl Node {
    fn new(root: &Path, name: &str, sentinel: bool) -> io::Result<Self> {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self { address: free()?, folder, sentinel, holder: None })
    }

    fn spawn(&mut self) -> io::Result<()> {
        let mut command = shell(HOLD, &self.folder);
        command.args(["setpriv", "--pdeathsig", "KILL", "redis-server"]).arg(self.folder.join("conf"));
        command.args(self.sentinel.then_some("--sentinel"));
        self.holder = Some(command.spawn()?);
        Ok(())
    }

    fn let_go(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            // Fails only when it has been waited for.
            let _ = holder.wait();
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let text = fs::read_to_string(self.folder.join("pid"))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the server wrote no process id"))?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Redis {
    /// Starts all of it, and waits until replicas are in step and sentinels know each other.
    ///
    /// # Errors
    /// When a program is missing (Debian: redis-server, redis-sentinel) or they do not find each other in time.
    pub fn start(options: Options) -> io::Result<Self> {
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
        let root = tempfile::tempdir()?;
        let node = |kind: &str, number: usize| {
            Node::new(root.path(), &format!("{kind}-{number}"), kind == "sentinel")
        };
        let servers = (0..options.servers).map(|n| node("server", n)).collect::<io::Result<_>>()?;
        let sentinels = (0..options.sentinels).map(|n| node("sentinel", n)).collect::<io::Result<_>>()?;
        let folder = shell(HOLD_FOLDER, root.path()).spawn()?;
        // The shell removes it.
        let _ = root.keep();
        let mut redis = Self { options, servers, sentinels, folder };
        redis.run()?;
        Ok(redis)
    }

    fn run(&mut self) -> io::Result<()> {
        let master = self.servers.first().map(|node| node.address);
        let master = master.ok_or_else(|| io::Error::other("at least one server is needed"))?;
        for number in 0..self.servers.len() {
            let config = self.server_config(number, master)?;
            self.launch(number, false, &config)?;
        }
        eventually("the servers answer", Duration::from_secs(5), || {
            self.servers()
                .into_iter()
                .all(|server| self.ask::<String>(server, &["PING"]).is_ok())
                .then_some(())
        })?;
        for number in 0..self.sentinels.len() {
            let config = self.sentinel_config(number, master)?;
            self.launch(number, true, &config)?;
        }
        self.settled()
    }

    fn launch(&mut self, number: usize, sentinel: bool, config: &str) -> io::Result<()> {
        let nodes = if sentinel { &mut self.sentinels } else { &mut self.servers };
        let node = nodes.get_mut(number).ok_or_else(|| io::Error::other("no such node"))?;
        fs::write(node.folder.join("conf"), config)?;
        node.spawn()
    }

    fn common_config(&self, node: &Node) -> String {
        let (folder, port) = (node.folder.display(), node.address.port());
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
        format!("bind 127.0.0.1\n{place}protected-mode no\ndir {folder}\npidfile {folder}/pid\n")
    }

    fn server_config(&self, number: usize, master: SocketAddr) -> io::Result<String> {
        let node = self.servers.get(number).ok_or_else(|| io::Error::other("no such server"))?;
        let mut config = self.common_config(node);
        config += "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n";
        config += &format!("min-replicas-to-write {}\nmin-replicas-max-lag 2\n", self.options.min_replicas);
        if let Some(password) = &self.options.password {
            config += &format!("requirepass {password}\nmasterauth {password}\n");
        }
        if node.address != master {
            config += &format!("replicaof {} {}\n", master.ip(), master.port());
        }
        for line in &self.options.config {
            config += &format!("{line}\n");
        }
        Ok(config)
    }

    fn sentinel_config(&self, number: usize, master: SocketAddr) -> io::Result<String> {
        let node = self.sentinels.get(number).ok_or_else(|| io::Error::other("no such sentinel"))?;
        let (name, quorum) = (&self.options.master_name, self.options.sentinels / 2 + 1);
        let mut config = self.common_config(node);
        config += &format!(
            "sentinel monitor {name} {} {} {quorum}\nsentinel down-after-milliseconds {name} {}\n\
             sentinel failover-timeout {name} 3000\n",
            master.ip(),
            master.port(),
            self.options.down_after.as_millis()
        );
        if let Some(password) = &self.options.password {
            config += &format!("sentinel auth-pass {name} {password}\n");
        }
        if let Some(password) = &self.options.sentinel_password {
            config += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
        }
        Ok(config)
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
    pub fn kill(&mut self, address: SocketAddr) -> io::Result<()> {
        self.server(address)?.signal(Signal::KILL)?;
        let nodes = self.servers.iter_mut().chain(&mut self.sentinels);
        for node in nodes.filter(|node| node.address == address) {
            node.let_go();
        }
        Ok(())
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
        let number = self.servers.iter().position(|node| node.address == address);
        let number = number.ok_or_else(|| io::Error::other("no such server"))?;
        let config = self.server_config(number, master)?;
        self.launch(number, false, &config)
    }

    /// Removes all keys from the master.
    ///
    /// # Errors
    /// When there is no master.
    pub fn flush_all(&self) -> io::Result<()> {
        self.ask::<String>(self.master()?, &["FLUSHALL"]).map(drop)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for node in self.servers.iter_mut().chain(&mut self.sentinels) {
            node.let_go();
        }
        drop(self.folder.stdin.take());
        // Fails only when it has been waited for.
        let _ = self.folder.wait();
    }
}
