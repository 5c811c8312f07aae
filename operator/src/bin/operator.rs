//! `parking-operator`: runs in a cluster, or shows what it would do there.

use std::{
    io::{ErrorKind, IsTerminal, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use kube::{Client, CustomResourceExt};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use parking_operator::{
    cli::{CheckUninstallArguments, Cli, Command, PlanArguments},
    offline, run, uninstall,
};
use tracing_subscriber::EnvFilter;

/// It gives back what a burst of work took; `.cargo/config.toml` says when. With a hundred pipelines a sixth less stays
/// resident than with mimalloc or glibc's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Each thread keeps memory of its own, and two have enough to do with what one API server answers.
const THREADS: usize = 2;

/// Any failure: its text is one plain sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("parking-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => {
            log();
            runtime()?.block_on(run::run(arguments.settings(), told_to_stop()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Crd => print(&definitions()?).map(|()| ExitCode::SUCCESS),
        Command::Plan(arguments) => show(arguments),
        Command::CheckUninstall(arguments) => runtime()?.block_on(check_uninstall(&arguments)),
    }
}

fn definitions() -> Result<String, Failure> {
    let mut text = String::new();
    for definition in [ParkingPipeline::crd(), AlertRule::crd(), StatsJob::crd()] {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

/// What would be made of the manifests; a system that cannot work is shown, and is a failure all the same.
fn show(arguments: PlanArguments) -> Result<ExitCode, Failure> {
    let shown = offline::plan(arguments)?;
    print(&shown.text)?;
    eprint!("{}", shown.findings);
    Ok(if shown.broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn check_uninstall(arguments: &CheckUninstallArguments) -> Result<ExitCode, Failure> {
    let client = Client::try_default().await?;
    let remaining = uninstall::remaining(&client, &arguments.namespaces).await?;
    print(&uninstall::report(&remaining, arguments.force))?;
    let refused = !remaining.is_empty() && !arguments.force;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Logs for people on a terminal, JSON otherwise; `RUST_LOG` says how much.
///
/// Our own messages name their object: the client's spans would say it again, and each that is open takes memory.
fn log() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube_runtime=warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
}

/// Ends on SIGTERM or Ctrl-C.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted => {}
            }
        }
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()
}
