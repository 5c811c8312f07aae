//! A worker as a process, to be killed, held still and told to end.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use parking_crds::role::Role;
use parking_e2e::locate::parking;

/// Longest way from the start of a worker to its first partition, beside other tests.
const READY: Duration = Duration::from_mins(2);

pub(crate) struct Process {
    pub(crate) role: Role,
    name: String,
    config: PathBuf,
    pub(crate) address: String,
    child: Child,
}

impl Process {
    pub(crate) fn start(role: Role, name: &str, config: PathBuf, address: String) -> Self {
        let child = run(role, name, &config);
        Self { role, name: name.to_owned(), config, address, child }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let (signal, process) = (format!("-{signal}"), self.id().to_string());
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    }

    /// Whether it runs, and ends by nobody's command.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it again under its name, at its address.
    pub(crate) fn restart(&mut self) {
        self.child = run(self.role, &self.name, &self.config);
    }

    /// Waits until it is ready; answers how long that took.
    pub(crate) async fn until_ready(&self) -> Duration {
        until_ready(&self.name, &self.address).await
    }

    fn printed(&self) -> String {
        let text = fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{} printed last:\n{}", self.name, self.printed());
        }
    }
}

/// Waits until the worker at the address is ready; answers how long that took.
pub(crate) async fn until_ready(name: &str, address: &str) -> Duration {
    let (began, client) = (Instant::now(), reqwest::Client::new());
    let url = format!("http://{address}/readyz");
    loop {
        let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return began.elapsed();
        }
        assert!(began.elapsed() < READY, "{name} is not ready: {}", status(address).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(address: &str) -> String {
    match reqwest::get(format!("http://{address}/status")).await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(error) => error.to_string(),
    }
}

fn run(role: Role, name: &str, config: &PathBuf) -> Child {
    let log = File::options().create(true).append(true).open(config.with_extension("log")).unwrap();
    let mut command = Command::new(parking().unwrap());
    command.args(["worker", role.as_str(), "--config"]).arg(config).env("POD_NAME", name);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}
