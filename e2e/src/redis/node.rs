//! One server or sentinel as a process: started from its configuration, sent signals, ended.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Runs a command until nobody holds standard input.
const HOLD: &str = r#""$@" </dev/null & read -r _; kill -KILL $! 2>/dev/null; wait"#;

/// Removes a folder once nobody holds standard input.
const HOLD_FOLDER: &str = r#"read -r _; rm -rf "$0""#;

/// One process, and the shell that holds it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
    sentinel: bool,
    holder: Option<Child>,
}

/// An address that nobody has now.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A shell that does something once its standard input ends.
fn shell(script: &str, zero: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(zero);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A signal from the terminal is the test's to handle.
    command.process_group(0);
    command
}

impl Node {
    pub(super) fn new(root: &Path, name: &str, sentinel: bool) -> io::Result<Self> {
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self { address: free()?, folder, sentinel, holder: None })
    }

    pub(super) fn spawn(&mut self) -> io::Result<()> {
        let mut command = shell(HOLD, &self.folder);
        command.args(["setpriv", "--pdeathsig", "KILL", "redis-server"]).arg(self.folder.join("conf"));
        command.args(self.sentinel.then_some("--sentinel"));
        self.holder = Some(command.spawn()?);
        Ok(())
    }

    pub(super) fn let_go(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            // Fails only when it has been waited for.
            let _ = holder.wait();
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let text = fs::read_to_string(self.folder.join("pid"))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the server wrote no process id"))?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Has a folder removed once the child's standard input ends.
pub(super) fn hold_folder(folder: &Path) -> io::Result<Child> {
    shell(HOLD_FOLDER, folder).spawn()
}
