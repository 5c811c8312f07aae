//! Processes under test: started with their output captured, ended by signal or deadline, never left behind.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::wait::eventually;

/// A process that has ended, with all that it printed.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; `code()` is `None` when a signal ended it.
    pub status: ExitStatus,
    /// Its standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// From start to end, as the test saw it.
    pub elapsed: Duration,
}

/// A process that runs; dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    started: Instant,
}

/// Runs the command to its end.
///
/// # Errors
/// When it cannot be started, or still runs at the limit (it is killed, the error quotes its standard error).
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Finished> {
    Running::start(command)?.finish(limit)
}

impl Running {
    /// Starts the command without input. Output goes to unnamed files, so that a chatty process never blocks.
    ///
    /// # Errors
    /// When the command cannot be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "outside the system under test the real clock is the only one"
    )]
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let stdout = tempfile::tempfile()?;
        let stderr = tempfile::tempfile()?;
        let child =
            command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).spawn()?;
        Ok(Self { child, stdout, stderr, started: Instant::now() })
    }

    /// The process id, for tools that look at it from outside.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Standard error so far.
    ///
    /// # Errors
    /// When the capture cannot be read.
    pub fn stderr(&self) -> io::Result<String> {
        captured(&self.stderr)
    }

    /// Standard output so far.
    ///
    /// # Errors
    /// When the capture cannot be read.
    pub fn stdout(&self) -> io::Result<String> {
        captured(&self.stdout)
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn terminate(&self) -> io::Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("SIGTERM was not delivered")) }
    }

    /// Ends it at once (SIGKILL) and collects what it had printed.
    ///
    /// # Errors
    /// When it cannot be killed or its output not be read.
    pub fn kill(mut self) -> io::Result<Finished> {
        self.child.kill()?;
        let status = self.child.wait()?;
        self.finished(status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs at the limit: it is killed, and the error quotes its standard error.
    pub fn finish(mut self, limit: Duration) -> io::Result<Finished> {
        let ended = eventually("the end of the process", limit, || self.child.try_wait().transpose());
        match ended {
            Ok(status) => {
                let status = status?;
                self.finished(status)
            }
            Err(late) => {
                let printed = self.kill()?.stderr;
                Err(io::Error::new(late.kind(), format!("{late}; it printed: {printed}")))
            }
        }
    }

    fn finished(&self, status: ExitStatus) -> io::Result<Finished> {
        Ok(Finished {
            status,
            stdout: captured(&self.stdout)?,
            stderr: captured(&self.stderr)?,
            elapsed: self.started.elapsed(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn captured(file: &File) -> io::Result<String> {
    // Positional reads: the process writes through the same file offset, which a seek would move.
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = file.read_at(&mut chunk, bytes.len() as u64)?;
        let Some(new) = chunk.get(..read).filter(|new| !new.is_empty()) else {
            break;
        };
        bytes.extend_from_slice(new);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_exit_code_are_captured() {
        let finished = run(&mut shell("echo out; echo err >&2; exit 3"), SOON).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_process_that_outlives_its_limit_is_killed_and_quoted() {
        let mut stuck = shell("echo still here >&2; exec tail -f /dev/null");
        let running = Running::start(&mut stuck).unwrap();
        eventually("its first line", SOON, || running.stderr().ok().filter(|printed| !printed.is_empty()))
            .unwrap();
        let error = running.finish(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("still here"), "{error}");
    }

    #[test]
    fn a_terminated_process_may_still_clean_up() {
        let mut polite = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        let running = Running::start(&mut polite).unwrap();
        eventually("its trap", SOON, || running.stdout().ok().filter(|printed| !printed.is_empty())).unwrap();
        running.terminate().unwrap();
        assert_eq!(running.finish(SOON).unwrap().stdout, "ready\nbye\n");
    }

    #[test]
    fn a_killed_process_keeps_what_it_had_printed() {
        let running = Running::start(&mut shell("echo begun; exec tail -f /dev/null")).unwrap();
        eventually("its first line", SOON, || running.stdout().ok().filter(|printed| !printed.is_empty()))
            .unwrap();
        let finished = running.kill().unwrap();
        assert_eq!((finished.status.code(), finished.stdout.as_str()), (None, "begun\n"));
    }
}
