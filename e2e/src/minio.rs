//! MinIO as the object store of a test: a process on loopback, its data in a temporary folder.
//!
//! Must not: outlive the test binary, in a static either, which is never dropped. A shell holds the process until its
//! own standard input ends: the value closes it, or the kernel does when the test process ends in any way.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{locate::tool, wait::eventually};

/// The only user's name and password.
pub const KEYS: (&str, &str) = ("parking-e2e", "parking-e2e-secret");

/// Runs a command, the folder of its data given first, until nobody holds standard input; then nothing is left of both.
const HOLD: &str = r#"folder=$0; "$@" </dev/null & read -r _; kill -KILL $!; wait; rm -rf "$folder""#;

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// An object store that runs; gone with the value.
#[derive(Debug)]
pub struct Minio {
    address: SocketAddr,
    holder: Child,
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
        let holder = Command::new("sh")
            .args(["-c", HOLD])
            .arg(data.path())
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(tool("minio")?)
            .arg("server")
            .args(["--address", &address.to_string(), "--console-address", &console.to_string()])
            .arg(data.path())
            .env("MINIO_ROOT_USER", KEYS.0)
            .env("MINIO_ROOT_PASSWORD", KEYS.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal from the terminal is the test's to handle.
            .process_group(0)
            .spawn()?;
        // The shell removes it.
        let _ = data.keep();
        let store = Self { address, holder };
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
        self.holder.id()
    }

    /// Lets go of it without a wait, as the kernel does when the process of the test ends.
    pub fn let_go(&mut self) {
        drop(self.holder.stdin.take());
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.let_go();
        // Fails only when it has been waited for.
        let _ = self.holder.wait();
    }
}
