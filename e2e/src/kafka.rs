//! Kafka as the log of a test: one broker on loopback that is its own controller, its data in a temporary folder.
//!
//! Topics are made by whoever uses it: none appears by itself.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    held::{Held, free_address},
    locate::kafka_jars,
    proxy::Proxy,
    wait::eventually,
};

/// How long it may take to start, on a machine that builds beside it.
const START: Duration = Duration::from_mins(1);

/// Quick to start and small; a broker of a test compiles little of what it runs.
const JVM: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m"];

/// A broker that runs; gone with the value.
#[derive(Debug)]
pub struct Kafka {
    address: SocketAddr,
    process: Held,
}

/// Where to log in, and how.
#[derive(Debug, Clone)]
pub struct SecuredListener {
    /// `host:port`; `SASL_SSL` with SCRAM-SHA-512.
    pub bootstrap_servers: String,
    /// The broker's certificate, which it signed itself, PEM.
    pub ca: String,
    /// Who may log in.
    pub username: &'static str,
    /// With this.
    pub password: &'static str,
}

const USER: (&str, &str) = ("worker", "worker-secret");
const KEYS: &str = "keystore-secret";

impl Kafka {
    /// Starts it without encryption or login, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When a program is missing or it does not listen in time; the message quotes what it printed.
    pub fn start() -> io::Result<Self> {
        Self::start_in(folder()?, free_address()?, Second::None)
    }

    /// Starts it with a second listener, encrypted and with a login.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_secured() -> io::Result<(Self, SecuredListener)> {
        let (folder, secured) = (folder()?, free_address()?);
        let ca = make_keys(folder.path())?;
        let kafka = Self::start_in(folder, free_address()?, Second::Secured(secured))?;
        let (username, password) = USER;
        let listener = SecuredListener { bootstrap_servers: secured.to_string(), ca, username, password };
        Ok((kafka, listener))
    }

    /// Starts it with a second listener that is reached through a proxy alone: whoever connects to the proxy stays
    /// behind it, whatever the broker tells of itself.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_behind_proxy() -> io::Result<(Self, Proxy)> {
        let hidden = free_address()?;
        let proxy = Proxy::start(hidden)?;
        let second = Second::Hidden { address: hidden, told: proxy.address() };
        Ok((Self::start_in(folder()?, free_address()?, second)?, proxy))
    }

    fn start_in(folder: TempDir, address: SocketAddr, second: Second) -> io::Result<Self> {
        let settings = folder.path().join("server.properties");
        fs::write(&settings, properties(folder.path(), address, second, free_address()?))?;
        format(&settings)?;
        let mut command = java()?;
        command.arg("kafka.Kafka").arg(&settings);
        let kafka = Self { address, process: Held::start(folder, &command)? };
        kafka.wait_until_it_listens()?;
        Ok(kafka)
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Ends it at once: what it did not write is lost.
    ///
    /// # Errors
    /// When it runs no more.
    pub fn kill(&self) -> io::Result<()> {
        self.process.signal(Signal::KILL)
    }

    /// Holds it still, its connections open.
    ///
    /// # Errors
    /// When it runs no more.
    pub fn freeze(&self) -> io::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it runs no more.
    pub fn thaw(&self) -> io::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Starts it again at the same address with what it had written.
    ///
    /// # Errors
    /// As `start`.
    pub fn restart(&mut self) -> io::Result<()> {
        self.process.restart()?;
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&self) -> io::Result<()> {
        let listens = || TcpStream::connect(self.address).is_ok().then_some(());
        eventually("Kafka listens", START, listens).map_err(|late| {
            io::Error::new(late.kind(), format!("{late}; it printed: {}", self.process.output()))
        })
    }
}

fn java() -> io::Result<Command> {
    let mut command = Command::new("java");
    command.args(JVM).arg("-cp").arg(kafka_jars()?.join("*"));
    Ok(command)
}

fn format(settings: &Path) -> io::Result<()> {
    let mut command = java()?;
    // Any cluster id does that differs from every other.
    let id = format!("{:022}", rand::random::<u64>());
    let (username, password) = USER;
    let login = format!("SCRAM-SHA-512=[name={username},password={password}]");
    command.args(["kafka.tools.StorageTool", "format", "-t", &id, "--add-scram", &login, "-c"]).arg(settings);
    succeed("the broker's folder cannot be made ready", &mut command).map(drop)
}

fn succeed(what: &str, command: &mut Command) -> io::Result<String> {
    let done = command.output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let (said, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    Err(io::Error::other(format!("{what}: {said}{error}")))
}

/// A key for 127.0.0.1 in the broker's folder; answers its certificate, PEM.
fn make_keys(folder: &Path) -> io::Result<String> {
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments).args(["-alias", "broker", "-storetype", "PKCS12", "-storepass", KEYS]);
        command.arg("-keystore").arg(folder.join("keys.p12"));
        succeed("the broker's key cannot be made", &mut command)
    };
    keytool(&["-genkeypair", "-keyalg", "EC", "-dname", "CN=broker", "-ext", "SAN=ip:127.0.0.1"])?;
    keytool(&["-exportcert", "-rfc"])
}

fn folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("parking-kafka-").tempdir()
}

/// What the broker listens on besides.
#[derive(Clone, Copy)]
enum Second {
    None,
    /// Encrypted and with a login.
    Secured(SocketAddr),
    /// In the clear, told to be elsewhere.
    Hidden {
        address: SocketAddr,
        told: SocketAddr,
    },
}

impl Second {
    /// Its lines, what it adds to the listeners, and to those that are told of.
    fn properties(self, folder: &Path) -> (String, String, String) {
        match self {
            Self::None => <_>::default(),
            Self::Secured(address) => {
                let keys = folder.join("keys.p12");
                let lines = format!(
                    "sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password={KEYS}
",
                    keys.display()
                );
                let also = format!(",SASL_SSL://{address}");
                (lines, also.clone(), also)
            }
            Self::Hidden { address, told } => {
                (String::new(), format!(",HIDDEN://{address}"), format!(",HIDDEN://{told}"))
            }
        }
    }
}

fn properties(folder: &Path, address: SocketAddr, second: Second, controller: SocketAddr) -> String {
    let data = folder.join("data");
    let (security, also, told) = second.properties(folder);
    format!(
        "{security}process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{address}{also},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{address}{told}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,HIDDEN:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
",
        data.display()
    )
}
