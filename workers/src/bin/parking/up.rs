//! `parking up`: arguments in, report out.

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;
use parking_crds::duration::Duration;
use parking_workers::{
    deployment,
    runtime::stage::CommitLimits,
    up::{self, UpOptions},
};

use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct UpArgs {
    /// A manifest, or a folder of manifests; may be given again.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Where log, state and tables are kept.
    #[arg(long, default_value = ".parking", value_name = "DIR")]
    data: PathBuf,
    /// Where to serve status, metrics, zones and alerts over HTTP. [default: 127.0.0.1:8080, nowhere with --until-idle]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// End when the input is complete and all of it is processed.
    #[arg(long)]
    pub(crate) until_idle: bool,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    report: ReportFormat,
    /// Commit at the latest after this many records of a partition.
    #[arg(long, default_value_t = CommitLimits::default().records, value_name = "N")]
    commit_records: u64,
    /// Records that the replay appends at a time; more are no faster, and the next start reads them at once.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
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

pub(crate) fn run(args: &UpArgs) -> Result<(), Failure> {
    let deployment = deployment::load(&args.files)?;
    let served = (!args.until_idle).then(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let options = UpOptions {
        data: args.data.clone(),
        listen: args.listen.or(served),
        until_idle: args.until_idle,
        commit: CommitLimits { records: args.commit_records.max(1), ..CommitLimits::default() },
        batch: args.replay_batch,
        pause: args.replay_pause.millis(),
    };
    let report = crate::runtime()?.block_on(up::run(&deployment, &options))?;
    let text = match args.report {
        ReportFormat::Text => report.render(),
        ReportFormat::Json => serde_json::to_string(&report)? + "\n",
    };
    Ok(crate::print(&text)?)
}
