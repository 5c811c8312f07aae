//! One server or sentinel as a process: started from its configuration, sent signals, started again.

use std::{fs, io, net::SocketAddr, path::Path, process::Command};

use rustix::process::Signal;

use crate::held::Held;

const CONFIG: &str = "conf";

/// See the module.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: SocketAddr,
    process: Held,
}

impl Node {
    /// Starts it in a folder of its own, for which `config` makes the configuration.
    pub(super) fn start(
        address: SocketAddr,
        sentinel: bool,
        config: impl FnOnce(&Path) -> String,
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("parking-redis-").tempdir()?;
        let place = folder.path().join(CONFIG);
        fs::write(&place, config(folder.path()))?;
        let mut command = Command::new("redis-server");
        command.arg(place).args(sentinel.then_some("--sentinel"));
        Ok(Self { address, process: Held::start(folder, &command)? })
    }

    pub(super) fn folder(&self) -> &Path {
        self.process.folder()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Starts it again, once it has ended, from another configuration.
    pub(super) fn restart(&mut self, config: &str) -> io::Result<()> {
        fs::write(self.folder().join(CONFIG), config)?;
        self.process.restart()
    }
}
