//! A server of a test: a process that ends with the test process, its data in a folder that goes with it.
//!
//! Must not: outlive the test binary, in a static either, which is never dropped. A shell holds the process until its
//! own standard input ends: the value closes it, or the kernel does when the test process ends in any way.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Runs a command, its folder given first, and prints its process number. A line of input starts it again after its
/// end; the end of input kills it, and then nothing is left of process and folder.
const HOLD: &str = r#"
folder=$0
run() { "$@" <&- >"$folder/output" 2>&1 & echo $!; }
run "$@"
while read -r _; do wait; run "$@"; done
kill -KILL $! 2>&-
wait
rm -rf "$folder"
"#;

/// A free address on loopback; free, that is, until somebody else takes it.
///
/// # Errors
/// When there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A process that runs for a test; gone with the value.
#[derive(Debug)]
pub struct Held {
    folder: PathBuf,
    holder: Child,
    pids: BufReader<ChildStdout>,
    pid: Pid,
}

impl Held {
    /// Starts the command in the network namespace of the calling thread. `folder` belongs to it from now on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: tempfile::TempDir, command: &Command) -> io::Result<Self> {
        let folder = folder.keep();
        let mut holder = Command::new("sh");
        holder.args(["-c", HOLD]).arg(&folder).args(["setpriv", "--pdeathsig", "KILL"]);
        holder.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                holder.env(name, value);
            }
        }
        // A signal from the terminal is the test's to handle.
        holder.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = holder.spawn()?;
        let stdout = holder.stdout.take().ok_or_else(|| io::Error::other("the holder has no output"))?;
        let mut pids = BufReader::new(stdout);
        let pid = next_pid(&mut pids)?;
        Ok(Self { folder, holder, pids, pid })
    }

    /// The folder of its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process that holds it: its parent.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// What it printed since it was last started.
    #[must_use]
    pub fn output(&self) -> String {
        let mut text = Vec::new();
        // Where there is nothing to read, nothing was printed.
        let _ = File::open(self.folder.join("output")).and_then(|mut file| file.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// When it runs no more.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// Starts it again, once it has ended.
    ///
    /// # Errors
    /// When the holder is gone.
    pub fn restart(&mut self) -> io::Result<()> {
        let stdin = self.holder.stdin.as_mut().ok_or_else(|| io::Error::other("it was let go"))?;
        stdin.write_all(b"\n")?;
        self.pid = next_pid(&mut self.pids)?;
        Ok(())
    }

    /// Lets go of it without a wait, as the kernel does when the process of the test ends.
    pub fn let_go(&mut self) {
        drop(self.holder.stdin.take());
    }
}

fn next_pid(pids: &mut impl io::BufRead) -> io::Result<Pid> {
    let mut line = String::new();
    pids.read_line(&mut line)?;
    let pid = line.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other(format!("no process number: {line:?}")))
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
        // Fails only when it has been waited for.
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait::eventually;

    const SOON: Duration = Duration::from_secs(10);

    fn printing() -> Held {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo began; exec tail -f /dev/null"]);
        Held::start(folder, &command).unwrap()
    }

    fn began(held: &Held) {
        eventually("its output", SOON, || (held.output() == "began\n").then_some(())).unwrap();
    }

    #[test]
    fn a_killed_process_starts_again_in_its_folder() {
        let mut held = printing();
        began(&held);
        std::fs::write(held.folder().join("kept"), "").unwrap();
        let first = held.pid;
        held.signal(Signal::KILL).unwrap();
        held.restart().unwrap();
        assert_ne!(held.pid, first);
        began(&held);
        assert!(held.folder().join("kept").exists());
    }

    #[test]
    fn process_and_folder_go_with_the_value() {
        let held = printing();
        let (folder, pid) = (held.folder().to_owned(), held.pid);
        drop(held);
        assert!(!folder.exists());
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
