//! Starts the servers and tells how to reach them.
//!
//! Must not: outlive the test binary. The process holds the servers' standard input; when it ends in any way, the
//! kernel closes that, and `parking-servers control-plane` ends its children and removes its folder.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use kube::config::Kubeconfig;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Deserialize;

use crate::locate::tool;

use super::{
    audit::AuditLog,
    error::{Error, Result},
};

/// The servers of this test binary.
#[derive(Debug)]
pub struct ControlPlane {
    child: Child,
    network: File,
    description: Description,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    address: String,
    audit_log: PathBuf,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts etcd, kube-apiserver and kube-controller-manager in a network namespace of their own.
    ///
    /// # Errors
    /// When a program or the right to make a network namespace is missing, or a server does not come up.
    pub fn start() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unavailable(
                "the server tests make a network namespace, which takes root: run them as root, or set KUBECONFIG to a cluster for tests".to_owned(),
            ));
        }
        let folder = tempfile::Builder::new().prefix("parking-servers-").tempdir()?.keep();
        let mut child = Command::new("unshare")
            .args(["--net", "--"])
            .arg(tool("parking-servers")?)
            .arg("control-plane")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.is_empty() {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut said)?;
            }
            child.wait()?;
            return Err(Error::Unavailable(format!("the control plane did not start: {said}")));
        }
        let description = serde_json::from_str(&line).map_err(io::Error::from)?;
        let network = File::open(format!("/proc/{}/ns/net", child.id()))?;
        Ok(Self { child, network, description })
    }

    /// The one that all tests of this binary share; started by the first.
    ///
    /// # Errors
    /// As `start`; every later test gets the same answer.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<ControlPlane, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start().map_err(|error| error.to_string()));
        shared.as_ref().map_err(|error| Error::Unavailable(error.clone()))
    }

    /// Moves the calling thread into the servers' network namespace; threads and processes that it starts
    /// from then on are there too.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// How the administrator reaches the API server, from within the network namespace.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn kubeconfig(&self) -> Result<Kubeconfig> {
        Ok(Kubeconfig::read_from(&self.description.kubeconfig)?)
    }

    /// Every request that the API server has answered.
    #[must_use]
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::at(self.description.audit_log.clone())
    }

    /// The address of the node that doubles of a kubelet report.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.description.address
    }

    /// The process that runs the servers.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the servers keep their files.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.description.kubeconfig.parent().map(PathBuf::from).unwrap_or_default()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Fails only when it has been waited for.
        let _ = self.child.wait();
    }
}
