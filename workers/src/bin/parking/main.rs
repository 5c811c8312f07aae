//! `parking`: one binary, one subcommand for each thing that a pipeline needs done.

mod doctor;
mod feed;
mod get;
mod stats;
mod up;
mod worker;

use std::{
    io::{ErrorKind, IsTerminal, Write, stderr, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use parking_workers::{
    command::bench::{self, BenchArgs},
    sentence::sentence,
};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time parking: events in, occupancy, alerts and statistics out.
#[derive(Parser)]
#[command(name = "parking", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline in this process, without a server.
    Up(up::UpArgs),
    /// Run one role of a pipeline on the servers that its configuration names.
    Worker(worker::WorkerArgs),
    /// Show alerts, zones or statistics.
    Get(get::GetArgs),
    /// Compute statistics on the servers that their configuration names.
    Stats {
        #[command(subcommand)]
        of: stats::StatsOf,
    },
    /// Append files of old readings to a data folder.
    Replay(feed::ReplayArgs),
    /// Append a seeded city to a data folder, or write its events as lines.
    Simulate(feed::SimulateArgs),
    /// Make an inventory from data, as a ConfigMap.
    Inventory {
        #[command(subcommand)]
        of: feed::InventoryOf,
    },
    /// Check files and print the configuration as it will be used.
    Doctor(doctor::DoctorArgs),
    /// Measure this machine with a simulated city; every answer is checked.
    Bench(BenchArgs),
}

/// Any failure: its text is one plain sentence.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli.command);
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("parking: {}", sentence(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(args) => up::run(args).map(|()| ExitCode::SUCCESS),
        Command::Worker(args) => worker::run(args).map(|()| ExitCode::SUCCESS),
        Command::Get(args) => get::run(args).map(|()| ExitCode::SUCCESS),
        Command::Stats { of } => stats::run(of),
        Command::Replay(args) => feed::replay(args).map(|()| ExitCode::SUCCESS),
        Command::Simulate(args) => feed::simulate(args).map(|()| ExitCode::SUCCESS),
        Command::Inventory { of } => feed::inventory(of).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => Ok(doctor::run(args)?),
        Command::Bench(args) => Ok(bench::run(args).map(|()| ExitCode::SUCCESS)?),
    }
}

/// For people on a terminal, JSON lines elsewhere; `RUST_LOG` says how much.
fn start_logging(command: &Command) {
    let stays = match command {
        Command::Up(args) => !args.until_idle,
        Command::Worker(_) => true,
        _ => false,
    };
    let default = if stays { "warn,parking_workers=info" } else { "warn" };
    // A table that nobody has made yet is an error to it.
    let default = format!("{default},buoyant_kernel::snapshot::builder=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(filter);
    if stderr().is_terminal() { logs.init() } else { logs.json().flatten_event(true).init() }
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
