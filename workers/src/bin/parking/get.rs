//! `parking get`: from the data folder, or from the process that has it open.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use parking_workers::{
    adapters::{
        embedded::{self, OpenError},
        lake::{DeltaLake, statistics},
    },
    command::get::{Output, Row, StatRow, render},
    domain::stats,
    rows::{AlertRow, ZoneRow, instant},
    up::{self, KeptError},
    view::{AlertFilter, View},
};
use serde::de::DeserializeOwned;

use crate::Failure;

#[derive(clap::Args)]
pub(crate) struct GetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What fires and what is over, newest first.
    Alerts {
        /// Only alerts in this state: firing, nodata or resolved.
        #[arg(long)]
        state: Option<String>,
        /// Only alerts of this rule.
        #[arg(long)]
        rule: Option<String>,
        #[command(flatten)]
        from: From,
    },
    /// Occupancy, zone by zone.
    Zones {
        #[command(flatten)]
        from: From,
    },
    /// The values of a statistics job.
    Stats {
        /// Name of the job.
        job: String,
        #[command(flatten)]
        from: From,
    },
}

#[derive(clap::Args)]
struct From {
    /// How rows are printed: table or json.
    #[arg(short, long, default_value = "table")]
    output: Output,
    /// The data folder; if a process has it open, that process is asked.
    #[arg(long, default_value = ".parking", value_name = "DIR")]
    data: PathBuf,
    /// Ask a running process instead, for example `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    server: Option<String>,
}

pub(crate) fn run(args: &GetArgs) -> Result<(), Failure> {
    crate::runtime()?.block_on(async {
        match &args.what {
            What::Alerts { state, rule, from } => {
                let filter = AlertFilter { state: state.clone(), rule: rule.clone(), limit: None };
                filter.check()?;
                print(&alerts(from, &filter).await?, from.output)?;
            }
            What::Zones { from } => print(&zones(from).await?, from.output)?,
            What::Stats { job, from } => print(&stats(from, job).await?, from.output)?,
        }
        Ok(())
    })
}

fn print<R: Row>(rows: &[R], output: Output) -> std::io::Result<()> {
    crate::print(&render(rows, output))
}

async fn alerts(from: &From, filter: &AlertFilter) -> Result<Vec<AlertRow>, Failure> {
    match open(from)? {
        Opened::Folder(view) => Ok(view.alerts(filter).await?),
        Opened::Server(url) => {
            let wanted = [("state", &filter.state), ("rule", &filter.rule)];
            let query = wanted.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
            ask(&url, "v1/alerts", &query.collect::<Vec<_>>()).await
        }
    }
}

async fn zones(from: &From) -> Result<Vec<ZoneRow>, Failure> {
    match open(from)? {
        Opened::Folder(view) => Ok(view.standing().await?.zones()),
        Opened::Server(url) => ask(&url, "v1/zones", &[]).await,
    }
}

async fn stats(from: &From, job: &str) -> Result<Vec<StatRow>, Failure> {
    if from.server.is_some() {
        return Err("statistics stand in the lake: name its data folder with --data".into());
    }
    let described = embedded::describe(&from.data)?;
    let lake = DeltaLake::open(embedded::lake_path(&from.data), "", described.partitions)?;
    if !statistics::exists(&lake, job).await? {
        return Err(format!("{} has no statistics of a job `{job}`", from.data.display()).into());
    }
    let rows = statistics::read(&lake, job).await?;
    let row = |row: stats::StatRow| StatRow {
        zone: row.user_zone_id,
        zone_id: row.zone_id,
        start: instant(row.start),
        statistic: row.statistic,
        value: row.value,
    };
    Ok(rows.into_iter().map(row).collect())
}

enum Opened {
    Folder(Box<View>),
    Server(String),
}

fn open(from: &From) -> Result<Opened, Failure> {
    if let Some(url) = &from.server {
        return Ok(Opened::Server(url.trim_end_matches('/').to_owned()));
    }
    match up::open_view(&from.data) {
        Ok(view) => Ok(Opened::Folder(Box::new(view))),
        Err(KeptError::Open(error @ OpenError::InUse(_))) => {
            address(&from.data).map(Opened::Server).ok_or_else(|| error.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn address(data: &Path) -> Option<String> {
    fs::read_to_string(data.join(embedded::ADDRESS_FILE)).ok().map(|address| format!("http://{address}"))
}

async fn ask<T: DeserializeOwned>(url: &str, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
    let target = format!("{url}/{path}");
    let failed = |error: &dyn std::fmt::Display| format!("{target}: {error}");
    let target_url = reqwest::Url::parse_with_params(&target, query).map_err(|error| failed(&error))?;
    let response = reqwest::get(target_url).await.map_err(|error| failed(&error.without_url()))?;
    if !response.status().is_success() {
        return Err(failed(&format!("the process answered {}", response.status())).into());
    }
    Ok(response.json().await.map_err(|error| failed(&error))?)
}
