//! MinIO as the object store of a test: a process on loopback, its data in a temporary folder, gone with the value.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{locate::tool, process::Running, wait::eventually};

/// The only user's name and password.
pub const KEYS: (&str, &str) = ("parking-e2e", "parking-e2e-secret");

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// An object store that runs.
#[derive(Debug)]
pub struct Minio {
    address: SocketAddr,
    _process: Running,
    _data: TempDir,
}

fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Minio {
    /// Starts it in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the program is missing or does not listen in time.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free()?)
    }

    /// Starts it at an address.
    ///
    /// # Errors
    /// As `start`, and when the address is taken.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let data = tempfile::tempdir()?;
        let console = free()?;
        let mut command = Command::new(tool("minio")?);
        command
            .arg("server")
            .args(["--address", &address.to_string(), "--console-address", &console.to_string()])
            .arg(data.path())
            .env("MINIO_ROOT_USER", KEYS.0)
            .env("MINIO_ROOT_PASSWORD", KEYS.1);
        let process = Running::start(&mut command)?;
        eventually("MinIO listens", START, || TcpStream::connect(address).is_ok().then_some(()))?;
        Ok(Self { address, _process: process, _data: data })
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}
