//! The cluster that a test talks to: the control plane of this test binary, or one from outside.

use std::{env, path::PathBuf, process::Command, sync::OnceLock};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Mutex,
};

use crate::locate::{kubectl_plugin, tool};

use super::{
    audit::AuditLog,
    control_plane::ControlPlane,
    definitions::{self, Definitions},
    error::{Error, Result},
};

/// The administrator's view of the cluster, for one test.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kubeconfig: Kubeconfig,
    plane: Option<&'static ControlPlane>,
}

impl Cluster {
    /// The cluster with our definitions and all foreign ones. The calling thread moves into its network namespace.
    ///
    /// # Errors
    /// When there is no cluster, or the test runs on more than one thread.
    pub async fn join() -> Result<Self> {
        static INSTALLED: OnceLock<Mutex<bool>> = OnceLock::new();
        let cluster = Self::join_bare().await?;
        let mut installed = INSTALLED.get_or_init(|| Mutex::new(false)).lock().await;
        if !*installed {
            definitions::install(&cluster.client, &Definitions::all()?).await?;
            *installed = true;
        }
        drop(installed);
        Ok(cluster)
    }

    /// The cluster as it is, without any definition of ours.
    ///
    /// # Errors
    /// As `join`.
    pub async fn join_bare() -> Result<Self> {
        if let Some(path) = env::var_os("KUBECONFIG") {
            return Self::of(Kubeconfig::read_from(PathBuf::from(path))?, None).await;
        }
        let plane = ControlPlane::shared()?;
        Self::on(plane).await
    }

    /// A control plane that the test has started for itself.
    ///
    /// # Errors
    /// As `join`.
    pub async fn on(plane: &'static ControlPlane) -> Result<Self> {
        // Threads that a runtime has started before would stay outside.
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Err(Error::Unavailable("use the plain #[tokio::test], which has one thread".to_owned()));
        }
        plane.enter()?;
        Self::of(plane.kubeconfig()?, Some(plane)).await
    }

    async fn of(kubeconfig: Kubeconfig, plane: Option<&'static ControlPlane>) -> Result<Self> {
        Ok(Self { client: client(&kubeconfig).await?, kubeconfig, plane })
    }

    /// A client of its own for another runtime than the test's.
    pub(super) async fn another_client(&self) -> Result<Client> {
        client(&self.kubeconfig).await
    }

    /// Talks as the administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How the administrator logs in.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The servers, unless they came from outside.
    #[must_use]
    pub fn plane(&self) -> Option<&'static ControlPlane> {
        self.plane
    }

    /// The audit log; with a cluster from outside `None`, and one line that names the test says so.
    #[must_use]
    pub fn audit_log(&self) -> Option<AuditLog> {
        if self.plane.is_none() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("{test}: skipped, the cluster of KUBECONFIG shows no audit log");
        }
        self.plane.map(ControlPlane::audit_log)
    }

    /// `kubectl` for this cluster.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn kubectl(&self) -> Result<Command> {
        Ok(self.command(tool("kubectl")?))
    }

    /// `helm` for this cluster.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn helm(&self) -> Result<Command> {
        Ok(self.command(tool("helm")?))
    }

    /// The plug-in `kubectl-parking` for this cluster.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn plugin(&self) -> Result<Command> {
        Ok(self.command(kubectl_plugin()?))
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        if let Some(plane) = self.plane {
            command.env("KUBECONFIG", plane.folder().join("admin.kubeconfig"));
        }
        command
    }
}

async fn client(kubeconfig: &Kubeconfig) -> Result<Client> {
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
