//! `parking worker`: one role of a pipeline, as its configuration says.

use std::{path::PathBuf, time::Duration};

use parking_crds::role::Role;
use parking_workers::{stop, worker};

use crate::Failure;

/// How long calls may take that nobody waits for any more.
const LAST_CALLS: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct WorkerArgs {
    /// What to do: ingest, occupancy, alert, archive or notify.
    #[arg(value_parser = role)]
    role: Role,
    /// The configuration, as the operator writes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| format!("no such role; there are {}", known()))
}

pub(crate) fn run(args: &WorkerArgs) -> Result<(), Failure> {
    let config = worker::read_config(&args.config, args.role)?;
    let runtime = crate::runtime()?;
    let ended = runtime.block_on(async { Ok(worker::run(config, stop::told()?).await?) });
    // A question that a server never answers holds up nobody who was told to end.
    runtime.shutdown_timeout(LAST_CALLS);
    ended
}
