//! `parking`: one binary, one subcommand for each thing that a pipeline needs done.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use parking_crds::duration::Duration;
use parking_workers::{
    deployment,
    runtime::stage::CommitLimits,
    up::{self, UpOptions},
};

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
    Up(UpArgs),
}

#[derive(clap::Args)]
struct UpArgs {
    /// A manifest, or a folder of manifests; may be given again.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Where log, state and tables are kept.
    #[arg(long, default_value = ".parking", value_name = "DIR")]
    data: PathBuf,
    /// End when the input is complete and all of it is processed.
    #[arg(long)]
    until_idle: bool,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    report: ReportFormat,
    /// Commit at the latest after this many records of a partition.
    #[arg(long, default_value_t = CommitLimits::default().records, value_name = "N")]
    commit_records: u64,
    /// Records that the replay appends at a time.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    replay_batch: usize,
    /// Pause of the replay after each append, for example 5ms.
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    replay_pause: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReportFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let outcome = match &cli.command {
        Command::Up(args) => run_up(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parking: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_up(args: &UpArgs) -> Result<(), Box<dyn std::error::Error>> {
    let deployment = deployment::load(&args.files)?;
    let options = UpOptions {
        data: args.data.clone(),
        until_idle: args.until_idle,
        commit: CommitLimits { records: args.commit_records.max(1), ..CommitLimits::default() },
        batch: args.replay_batch,
        pause: args.replay_pause.millis(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(up::run(&deployment, &options))?;
    match args.report {
        ReportFormat::Text => print!("{}", report.render()),
        ReportFormat::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(())
}
