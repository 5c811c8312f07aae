//! `parking stats run`: arguments in, one line for programs out.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Subcommand;
use jiff::Timestamp;
use parking_crds::{stats_run::EXIT_REFUSED, time::Window};
use parking_workers::{sentence::sentence, stop, worker};

use crate::Failure;

/// How long calls may take that nobody waits for any more.
const LAST_CALLS: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub(crate) enum StatsOf {
    /// Compute the windows of a range, and bring them to the sinks of a job.
    Run(RunArgs),
}

#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// What to compute, as the operator writes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// First instant of the first window, for example 2016-10-03T23:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    from: Timestamp,
    /// First instant after the last window.
    #[arg(long, value_name = "INSTANT")]
    until: Timestamp,
    /// Also compute windows that have a result already.
    #[arg(long)]
    again: bool,
}

/// Ends with 0 when every sink has every window, with 2 when that can never be, and with 1 when it may be later.
pub(crate) fn run(of: &StatsOf) -> Result<ExitCode, Failure> {
    let StatsOf::Run(args) = of;
    let range = Window { start: args.from.as_millisecond(), end: args.until.as_millisecond() };
    let runtime = crate::runtime()?;
    let ended = runtime.block_on(async {
        let mut stop = stop::told()?;
        tokio::select! {
            ended = worker::run_statistics(&args.config, range, args.again) => Ok::<_, Failure>(Some(ended)),
            _ = stop.wait_for(|stop| *stop) => Ok(None),
        }
    });
    runtime.shutdown_timeout(LAST_CALLS);
    let Some(ended) = ended? else { return Err("told to end before all windows were computed".into()) };
    let (told, code) = match ended {
        Ok(told) => (told, 0),
        Err(error) => {
            eprintln!("parking: {}", sentence(&error));
            (error.told(), if error.is_refused() { EXIT_REFUSED } else { 1 })
        }
    };
    crate::print(&(serde_json::to_string(&told)? + "\n"))?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}
