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

use crate::{
    held::{Held, free_address},
    locate::kafka_jars,
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

impl Kafka {
    /// Starts it without encryption or login, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When a program is missing or it does not listen in time; the message quotes what it printed.
    pub fn start() -> io::Result<Self> {
        let (address, controller) = (free_address()?, free_address()?);
        let folder = tempfile::Builder::new().prefix("parking-kafka-").tempdir()?;
        let settings = folder.path().join("server.properties");
        fs::write(&settings, properties(folder.path(), address, controller))?;
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
    let done = command.args(["kafka.tools.StorageTool", "format", "-t", &id, "-c"]).arg(settings).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("the broker's folder cannot be made ready: {said}")))
}

fn properties(folder: &Path, address: SocketAddr, controller: SocketAddr) -> String {
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{address},CONTROLLER://{controller}
controller.listener.names=CONTROLLER
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
