//! MinIO as the object store of a test: a process on loopback, its data in a temporary folder.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use crate::{
    held::{Held, free_address},
    locate::tool,
    wait::eventually,
};

/// The only user's name and password.
pub const KEYS: (&str, &str) = ("parking-e2e", "parking-e2e-secret");

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// An object store that runs; gone with the value.
#[derive(Debug)]
pub struct Minio {
    address: SocketAddr,
    process: Held,
}

impl Minio {
    /// Starts it in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the program is missing or does not listen in time.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free_address()?)
    }

    /// Starts it at an address.
    ///
    /// # Errors
    /// As `start`, and when the address is taken.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(tool("minio")?);
        command
            .arg("server")
            .args(["--address", &address.to_string(), "--console-address", &free_address()?.to_string()])
            .arg(folder.path().join("data"))
            .env("MINIO_ROOT_USER", KEYS.0)
            .env("MINIO_ROOT_PASSWORD", KEYS.1);
        let store = Self { address, process: Held::start(folder, &command)? };
        eventually("MinIO listens", START, || TcpStream::connect(address).is_ok().then_some(()))?;
        Ok(store)
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process that holds the store's: its parent.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.process.holder()
    }

    /// Lets go of it without a wait, as the kernel does when the process of the test ends.
    pub fn let_go(&mut self) {
        self.process.let_go();
    }
}
