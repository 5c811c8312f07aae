//! The operator under test: the real binary as a process that logs in as a ServiceAccount, never as administrator.
//!
//! Invariant: the process ends with the value; `stop` and `resume` leave it in the state that they say.

use std::{fs, io, process::Command, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::{AuthInfo, Context, Kubeconfig, NamedAuthInfo, NamedContext},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    locate::operator,
    process::{Finished, Running},
};

use super::{
    cluster::Cluster,
    error::{Error, Result},
    interceptor::Interceptor,
    objects,
};

/// Who the operator is: a ServiceAccount with the rights that a test gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the ServiceAccount, where its Lease lives too.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub account: String,
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Running,
    folder: TempDir,
}

impl Identity {
    /// The user name that the audit log shows.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }

    /// Makes the ServiceAccount and applies the manifest that gives it its rights.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn create(self, cluster: &Cluster, rights: &str) -> Result<Self> {
        let metadata = ObjectMeta { name: Some(self.account.clone()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let accounts = Api::<ServiceAccount>::namespaced(cluster.client(), &self.namespace);
        let how = PatchParams::apply(objects::FIELD_MANAGER).force();
        accounts.patch(&self.account, &how, &Patch::Apply(&account)).await?;
        objects::apply(&cluster.client(), &self.namespace, rights).await?;
        Ok(self)
    }

    /// A kubeconfig that logs in with a token of the ServiceAccount, good for `lifetime`, at least ten minutes.
    ///
    /// # Errors
    /// When the API server gives no token.
    pub async fn kubeconfig(&self, cluster: &Cluster, lifetime: Duration) -> Result<Kubeconfig> {
        let accounts = Api::<ServiceAccount>::namespaced(cluster.client(), &self.namespace);
        let expiration_seconds = i64::try_from(lifetime.as_secs()).ok();
        let spec = TokenRequestSpec { expiration_seconds, ..TokenRequestSpec::default() };
        let wanted = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts.create_token_request(&self.account, &PostParams::default(), &wanted).await?;
        let token = answer.status.and_then(|status| status.token).map(Into::into);
        Ok(log_in(cluster.kubeconfig(), AuthInfo { token, ..AuthInfo::default() }, &self.namespace))
    }
}

fn log_in(administrator: &Kubeconfig, user: AuthInfo, namespace: &str) -> Kubeconfig {
    let cluster = administrator.clusters.first().map(|cluster| cluster.name.clone()).unwrap_or_default();
    let context = Context {
        cluster,
        user: Some("operator".to_owned()),
        namespace: Some(namespace.to_owned()),
        ..Context::default()
    };
    Kubeconfig {
        auth_infos: vec![NamedAuthInfo {
            name: "operator".to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: "operator".to_owned(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some("operator".to_owned()),
        ..administrator.clone()
    }
}

impl Operator {
    /// Starts `parking-operator ARGUMENT…` with a token of the identity; what it prints is kept.
    ///
    /// # Errors
    /// When the binary is missing, or there is no token.
    pub async fn start(cluster: &Cluster, identity: &Identity, arguments: &[&str]) -> Result<Self> {
        let kubeconfig = identity.kubeconfig(cluster, Duration::from_hours(2)).await?;
        let mut command = Command::new(operator()?);
        command.args(arguments);
        Self::run(&mut command, &kubeconfig)
    }

    /// The same, with everything that it asks of the API server going through the interceptor.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_through(
        interceptor: &Interceptor,
        cluster: &Cluster,
        identity: &Identity,
        arguments: &[&str],
    ) -> Result<Self> {
        let kubeconfig = identity.kubeconfig(cluster, Duration::from_hours(2)).await?;
        let mut command = Command::new(operator()?);
        command.args(arguments);
        Self::run(&mut command, &interceptor.redirect(&kubeconfig))
    }

    /// Starts a command with a kubeconfig; for other programs and settings than `start` has.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(command: &mut Command, kubeconfig: &Kubeconfig) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kubeconfig");
        let text = serde_saphyr::to_string(kubeconfig).map_err(|error| Error::Manifest(error.to_string()))?;
        fs::write(&file, text)?;
        let process = Running::start(command.env("KUBECONFIG", &file))?;
        Ok(Self { process, folder })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where its kubeconfig is.
    #[must_use]
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> io::Result<bool> {
        self.process.is_running()
    }

    /// All that it has logged so far, standard output first.
    ///
    /// # Errors
    /// When the capture cannot be read.
    pub fn log(&self) -> io::Result<String> {
        Ok(self.process.stdout()? + &self.process.stderr()?)
    }

    /// SIGKILL, and what it had printed.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(self) -> io::Result<Finished> {
        self.process.kill()
    }

    /// SIGTERM, and its end within the limit.
    ///
    /// # Errors
    /// When it still runs at the limit.
    pub fn terminate(self, limit: Duration) -> io::Result<Finished> {
        self.signal(Signal::TERM)?;
        self.process.finish(limit)
    }

    /// SIGSTOP: it stands still until `resume`, its connections stay open.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// A signal, without waiting for what it does.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        Ok(kill_process(id.ok_or_else(|| io::Error::other("no process id"))?, signal)?)
    }
}
