//! `parking-operator`: runs in a cluster, or shows what it would do there.

use std::{
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use kube::{Client, CustomResourceExt};
use parking_crds::{alert_rule::AlertRule, pipeline::ParkingPipeline, stats_job::StatsJob};
use parking_operator::{
    cli::{CheckUninstallArguments, Cli, Command},
    uninstall,
};

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
        Command::Crd => print(&definitions()?).map(|()| ExitCode::SUCCESS),
        Command::Run(_) | Command::Plan(_) => Err("soon".into()),
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

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
