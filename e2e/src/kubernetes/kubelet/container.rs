//! A container run as processes: in a process tree and with names of its own, started anew when it ends.
//!
//! Contract: the command sees its volumes below the folder in `ROOT` and listens on the address in `ADDRESS`; it is
//! process 1 of a process namespace, and `/etc/hosts` holds the names of the namespace's pods. It is ready when its
//! readiness probe, run beside it, has succeeded, and no more when that has failed as often as the pod says. When it
//! ends without being told to, it starts anew a second later. Its image, user, limits and liveness are not looked at.
//!
//! Invariant: its processes end with the value, and with the test however that ends: the kernel ends a process
//! namespace with its first process, and that with the thread that watches it.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Pause between two looks at the processes.
const TICK: Duration = Duration::from_millis(50);
/// Pause before a container that has ended starts anew.
const BACK_OFF: Duration = Duration::from_secs(1);
/// Pause between two probes of a container that is not ready.
const UNREADY_PERIOD: Duration = Duration::from_secs(1);
/// Puts the names over `/etc/hosts`, which nobody else sees, and becomes the command.
const ENTER: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// What is run, and how it is asked whether it is ready.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) readiness: Probe,
    /// What stands in `/etc/hosts`.
    pub(super) hosts: PathBuf,
    /// What it prints.
    pub(super) log: PathBuf,
}

/// A command that says by its exit code whether a container is ready.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) command: Vec<String>,
    pub(super) period: Duration,
    /// Failures in a row that make it unready.
    pub(super) failures: u32,
}

/// How a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) ready: bool,
    pub(super) restarts: i32,
    /// It was told to end, and has.
    pub(super) ended: bool,
}

/// What a container is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    /// Die, and start anew.
    Crash,
    /// SIGTERM, and SIGKILL at that time.
    End(Instant),
}

#[derive(Debug)]
struct State {
    order: Order,
    standing: Standing,
}

struct Shared {
    state: Mutex<State>,
    told: Condvar,
    /// Called when the standing has changed.
    changed: Box<dyn Fn() + Send + Sync>,
}

/// A container that runs; dropping it kills its processes.
pub(super) struct Container {
    recipe: Recipe,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Container {
    /// Begins to run it, in the network namespace of the calling thread.
    #[expect(clippy::disallowed_methods, reason = "containers run beside the test")]
    pub(super) fn start(recipe: Recipe, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { order: Order::Run, standing: Standing::default() });
        let shared = Arc::new(Shared { state, told: Condvar::new(), changed: Box::new(changed) });
        let (watched, run) = (Arc::clone(&shared), recipe.clone());
        let thread = Some(thread::spawn(move || supervise(&run, &watched)));
        Self { recipe, shared, thread }
    }

    pub(super) fn standing(&self) -> Standing {
        self.shared.state().standing
    }

    /// Kills its processes; it starts anew.
    pub(super) fn crash(&self) {
        self.shared.tell(|order| {
            if *order == Order::Run {
                *order = Order::Crash;
            }
        });
    }

    /// Asks it to end, and kills it after the grace. Asked again, the sooner time counts.
    #[expect(clippy::disallowed_methods, reason = "containers run on the real clock")]
    pub(super) fn end(&self, grace: Duration) {
        let by = Instant::now() + grace;
        self.shared.tell(|order| match order {
            Order::End(known) => *known = by.min(*known),
            Order::Run | Order::Crash => *order = Order::End(by),
        });
    }

    /// The end of what it printed.
    pub(super) fn log(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.recipe.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Order)) {
        change(&mut self.state().order);
        self.told.notify_all();
    }

    /// The order now, or a tick later.
    fn pause(&self, time: Duration) -> Order {
        let waited = self.told.wait_timeout(self.state(), time).unwrap_or_else(PoisonError::into_inner);
        waited.0.order
    }

    fn stands(&self, change: impl FnOnce(&mut Standing)) {
        let mut state = self.state();
        let before = state.standing;
        change(&mut state.standing);
        let differs = state.standing != before;
        drop(state);
        if differs {
            (self.changed)();
        }
    }
}

fn supervise(recipe: &Recipe, shared: &Shared) {
    loop {
        match recipe.start() {
            Ok(process) => attend(process, recipe, shared),
            Err(error) => eprintln!("{}: {error}", recipe.log.display()),
        }
        if matches!(shared.state().order, Order::End(_)) {
            return shared.stands(|standing| *standing = Standing { ready: false, ended: true, ..*standing });
        }
        shared.tell(|order| {
            if *order == Order::Crash {
                *order = Order::Run;
            }
        });
        shared.stands(|standing| {
            *standing = Standing { ready: false, restarts: standing.restarts + 1, ..*standing };
        });
        shared.pause(BACK_OFF);
    }
}

/// Watches the processes until they have ended, and probes them.
#[expect(clippy::disallowed_methods, reason = "containers run on the real clock")]
fn attend(mut process: Process, recipe: &Recipe, shared: &Shared) {
    let mut probing = Probing::default();
    let mut asked = false;
    while process.runs() {
        match shared.pause(TICK) {
            Order::Run => {
                if let Some(ready) = probing.step(recipe) {
                    shared.stands(|standing| standing.ready = ready);
                }
            }
            Order::Crash => return,
            Order::End(by) if Instant::now() >= by => return,
            Order::End(_) if !asked => asked = process.terminate(),
            Order::End(_) => {}
        }
    }
}

/// The processes of a container, by the one that holds their namespace.
struct Process(Child);

impl Process {
    fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// SIGTERM to the command itself; false before it runs.
    fn terminate(&self) -> bool {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let first = children.split_whitespace().next().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        first.is_some_and(|first| kill_process(first, Signal::TERM).is_ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Recipe {
    fn start(&self) -> io::Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount", "--"]);
        command.args(["sh", "-c", ENTER]).arg(&self.hosts).args(&self.command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A signal from the terminal is the test's to handle.
        command.process_group(0).spawn().map(Process)
    }

    fn probe(&self) -> io::Result<Child> {
        let mut words = self.readiness.command.iter();
        let mut command = Command::new(words.next().map_or("false", String::as_str));
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }
}

/// The probe that runs, and what came of those before.
#[derive(Default)]
struct Probing {
    running: Option<Child>,
    last: Option<Instant>,
    failures: u32,
    ready: bool,
}

impl Probing {
    /// Whether the container is ready, each time that a probe has ended.
    #[expect(clippy::disallowed_methods, reason = "containers run on the real clock")]
    fn step(&mut self, recipe: &Recipe) -> Option<bool> {
        let Some(running) = &mut self.running else {
            let period = if self.ready { recipe.readiness.period } else { UNREADY_PERIOD };
            if self.last.is_none_or(|last| last.elapsed() >= period) {
                self.last = Some(Instant::now());
                self.running = recipe.probe().ok();
            }
            return None;
        };
        let status = running.try_wait().ok()??;
        self.running = None;
        self.failures = if status.success() { 0 } else { self.failures + 1 };
        self.ready = self.failures == 0 || (self.ready && self.failures < recipe.readiness.failures);
        Some(self.ready)
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;

    const SOON: Duration = Duration::from_secs(20);

    struct Trial {
        folder: tempfile::TempDir,
        container: Container,
    }

    fn run(script: &str, probe: &str) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hosts"), "10.9.8.7 a-name.of-a-pod\n").unwrap();
        let words = |script: &str| ["sh", "-c", script].map(ToOwned::to_owned).to_vec();
        let readiness = Probe { command: words(probe), period: Duration::from_millis(100), failures: 2 };
        let recipe = Recipe {
            command: words(script),
            environment: vec![("ROOT".to_owned(), folder.path().display().to_string())],
            readiness,
            hosts: folder.path().join("hosts"),
            log: folder.path().join("log"),
        };
        Trial { container: Container::start(recipe, || ()), folder }
    }

    impl Trial {
        fn until(&self, what: &str, holds: impl Fn(Standing) -> bool) -> Standing {
            let holding = || Some(self.container.standing()).filter(|standing| holds(*standing));
            eventually(what, SOON, holding).unwrap_or_else(|_| panic!("{what}: {}", self.container.log(9)))
        }
    }

    #[test]
    fn it_knows_the_names_of_pods_and_is_ready_as_its_probe_says() {
        let one =
            run(r#"getent hosts a-name.of-a-pod; touch "$ROOT/up"; exec sleep 99"#, r#"test -e "$ROOT/up""#);
        one.until("ready", |standing| standing.ready);
        assert!(one.container.log(1).contains("10.9.8.7"), "{}", one.container.log(1));
        fs::remove_file(one.folder.path().join("up")).unwrap();
        one.until("unready", |standing| !standing.ready);
    }

    #[test]
    fn one_that_ends_or_is_killed_starts_anew() {
        let one = run("echo begun; exec sleep 99", "true");
        one.until("ready", |standing| standing.ready);
        one.container.crash();
        let standing = one.until("a second start", |standing| standing.restarts == 1 && standing.ready);
        assert!(!standing.ended);
        assert_eq!(one.container.log(9).matches("begun").count(), 2);
    }

    #[test]
    fn one_that_is_asked_to_end_may_tidy_up_and_stays_ended() {
        let one = run("trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done", "true");
        one.until("ready", |standing| standing.ready);
        one.container.end(SOON);
        one.until("the end", |standing| standing.ended && !standing.ready);
        assert_eq!(one.container.log(1), "bye");
    }

    #[test]
    fn one_that_does_not_end_in_time_is_killed_with_all_that_it_started() {
        let one = run(
            r#"trap '' TERM; sh -c 'trap "" TERM; while :; do echo x >>"$ROOT/beats"; sleep 0.01; done' & wait"#,
            "true",
        );
        let beats = || fs::read(one.folder.path().join("beats")).map_or(0, |beats| beats.len());
        eventually("a beat", SOON, || (beats() > 0).then_some(())).unwrap();
        one.container.end(Duration::from_millis(100));
        one.until("the end", |standing| standing.ended);
        let quiet = || {
            let before = beats();
            thread::park_timeout(Duration::from_millis(100));
            (beats() == before).then_some(())
        };
        eventually("silence", SOON, quiet).unwrap();
    }
}
