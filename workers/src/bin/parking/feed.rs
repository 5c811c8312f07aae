//! `parking replay`, `parking simulate` and `parking inventory`: data into a folder, to an ingest, or onto
//! standard output.

use std::{
    fs::File,
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Subcommand;
use parking_crds::duration::Duration;
use parking_workers::{
    adapters::embedded::{self, DataFolder, Description, OpenError, SystemClock},
    command::{
        import::{ImportReport, ImportSettings, Pace, Source},
        inventory,
        progress::Bar,
        replay::{Format, Replay},
        send::{SendReport, SendSettings, send},
        simulate::{Simulation, read_profile},
    },
    deployment,
};

use crate::Failure;

/// How long an ingest may take nothing before sending is given up.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct ReplayArgs {
    /// birmingham, melbourne or cds-ndjson.
    format: Format,
    /// Files; several are merged by event time.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    into: Into,
}

#[derive(clap::Args)]
pub(crate) struct SimulateArgs {
    /// What the city is like: zones, archetypes, faults, seed.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Another seed than the profile's; the same seed gives the same bytes.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the events as lines to this file (`-`: standard output) instead of into a data folder.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "compression", "to"])]
    out: Option<PathBuf>,
    /// Send each event at its own time, so many times faster; absent means as fast as possible.
    #[arg(long, value_name = "FACTOR")]
    compression: Option<u32>,
    #[command(flatten)]
    into: Into,
}

#[derive(clap::Args)]
struct Into {
    /// The data folder.
    #[arg(long, default_value = ".parking", value_name = "DIR", conflicts_with = "to")]
    data: PathBuf,
    /// Send to the ingest at this address instead of into a data folder.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// File with the API key; it needs the right to replay.
    #[arg(long, value_name = "FILE", requires = "to")]
    key_file: Option<PathBuf>,
    /// Whose records they are, as the key says; default: the pipeline of the manifests.
    #[arg(long, value_name = "NAME", requires = "to")]
    tenant: Option<String>,
    /// Records that were sent before, as told when sending stopped.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "to")]
    skip: u64,
    /// Manifests of the pipeline, needed once, for a folder that is new.
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// Tell every partition that no more will follow: closes the statistics windows.
    #[arg(long)]
    end_of_input: bool,
    /// Records per append or request.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    batch: usize,
}

#[derive(Subcommand)]
pub(crate) enum InventoryOf {
    /// Car parks in a file of Birmingham's readings.
    Birmingham {
        /// The readings.
        readings: PathBuf,
    },
    /// Bays in files of Melbourne's sensors and sign plates.
    Melbourne {
        /// The sensors.
        sensors: PathBuf,
        /// The sign plates.
        sign_plates: PathBuf,
    },
    /// Zones of a simulated city.
    Simulate {
        /// What the city is like.
        profile: PathBuf,
    },
}

pub(crate) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    if let Some(to) = &args.into.to {
        let settings = args.into.sending(to, None, None)?;
        let mut replay = Replay::open_all(args.format, &args.files, args.into.as_import(&settings))?;
        return send_all("replay", &mut replay, &settings);
    }
    let described = args.into.describe()?;
    let settings = args.into.settings(&described, None);
    let mut replay = Replay::open_all(args.format, &args.files, settings)?;
    let folder = args.into.open(&described)?;
    let bar = Bar::new("replay");
    let log = folder.event_log();
    let report = crate::runtime()?.block_on(replay.run(&log, &mut |progress| bar.show(progress)))?;
    tell(&report, &args.into.data);
    Ok(())
}

pub(crate) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let mut profile = read_profile(&args.profile)?;
    profile.seed = args.seed.unwrap_or(profile.seed);
    let name = args.profile.file_name().unwrap_or_default().to_string_lossy();
    let failed = |error| format!("{}: {error}", args.profile.display());
    let mut city = Simulation::new(&name, &profile).map_err(failed)?;
    if let Some(out) = &args.out {
        return write_lines(&mut city, out);
    }
    if let Some(to) = &args.into.to {
        let settings = args.into.sending(to, Some(&profile.tenant), args.compression)?;
        return send_all("simulate", &mut city, &settings);
    }
    let described = args.into.describe()?;
    let pace = args
        .compression
        .map(|compression| Pace::Schedule { compression, clock: Arc::new(SystemClock::new()) });
    let settings = args.into.settings(&described, pace);
    let folder = args.into.open(&described)?;
    let bar = Bar::new("simulate");
    let log = folder.event_log();
    let report = crate::runtime()?.block_on(city.run(&settings, &log, &mut |progress| bar.show(progress)))?;
    tell(&report, &args.into.data);
    Ok(())
}

pub(crate) fn inventory(of: &InventoryOf) -> Result<(), Failure> {
    let text = match of {
        InventoryOf::Birmingham { readings } => inventory::birmingham(readings)?,
        InventoryOf::Melbourne { sensors, sign_plates } => inventory::melbourne(sensors, sign_plates)?,
        InventoryOf::Simulate { profile } => inventory::simulated(profile)?,
    };
    Ok(crate::print(&text)?)
}

fn write_lines(city: &mut Simulation, out: &Path) -> Result<(), Failure> {
    let failed = |error| format!("{}: {error}", out.display());
    let mut target: Box<dyn Write> = if out == Path::new("-") {
        Box::new(stdout().lock())
    } else {
        Box::new(File::create(out).map_err(failed)?)
    };
    let lines = city.write_lines(&mut BufWriter::new(&mut target)).map_err(failed)?;
    if out != Path::new("-") {
        println!("{lines} events in {}", out.display());
    }
    Ok(())
}

fn send_all(title: &str, source: &mut dyn Source, settings: &SendSettings) -> Result<(), Failure> {
    let bar = Bar::new(title);
    let clock = Arc::new(SystemClock::new());
    let mut show = |progress| bar.show(progress);
    let report = crate::runtime()?.block_on(send(source, settings, clock, &mut show))?;
    drop(bar);
    tell_sent(&report, &settings.to);
    Ok(())
}

fn tell_sent(report: &SendReport, to: &str) {
    println!("{} of {} records accepted by {to}", report.accepted, report.records);
    for (reason, count) in &report.refused {
        println!("{count} refused: {reason}");
    }
    if let Some((number, reason)) = &report.first_refused {
        println!("the first of them was record {number}: {reason}");
    }
}

fn tell(report: &ImportReport, data: &Path) {
    let ImportReport { records, appended, .. } = report;
    println!("{appended} of {records} records appended to {}, the others were there already", data.display());
}

impl Into {
    /// How to send; `own` is the tenant that the source itself names.
    fn sending(
        &self,
        to: &str,
        own: Option<&str>,
        compression: Option<u32>,
    ) -> Result<SendSettings, Failure> {
        let tenant = match (&self.tenant, own) {
            (Some(tenant), _) => tenant.clone(),
            (None, Some(own)) => own.to_owned(),
            (None, None) if !self.manifests.is_empty() => deployment::load(&self.manifests)?.name(),
            (None, None) => {
                return Err("name the tenant with --tenant, or the pipeline's manifests with -f".into());
            }
        };
        let unreadable = |path: &Path, error| format!("{}: {error}", path.display());
        let key = self
            .key_file
            .as_deref()
            .map(|path| std::fs::read_to_string(path).map_err(|error| unreadable(path, error)));
        Ok(SendSettings {
            to: to.to_owned(),
            key: key.transpose()?.map(|key| key.trim().to_owned()),
            tenant,
            batch: self.batch,
            compression,
            end_of_input: self.end_of_input,
            skip: self.skip,
            patience: PATIENCE,
        })
    }

    /// What a source needs to know of how it is sent.
    fn as_import(&self, sending: &SendSettings) -> ImportSettings {
        ImportSettings {
            tenant: sending.tenant.clone(),
            partitions: 1,
            batch: self.batch,
            pace: None,
            end_of_input: self.end_of_input,
        }
    }

    /// Whose folder it is, or will be.
    fn describe(&self) -> Result<Description, Failure> {
        if !self.manifests.is_empty() {
            let deployment = deployment::load(&self.manifests)?;
            return Ok(Description { pipeline: deployment.name(), partitions: deployment.partitions() });
        }
        match embedded::describe(&self.data) {
            Ok(described) => Ok(described),
            Err(OpenError::NoData(folder)) => Err(format!(
                "{} is no data folder yet: name the pipeline's manifests with -f",
                folder.display()
            )
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    fn settings(&self, described: &Description, pace: Option<Pace>) -> ImportSettings {
        ImportSettings {
            tenant: described.pipeline.clone(),
            partitions: described.partitions,
            batch: self.batch,
            pace,
            end_of_input: self.end_of_input,
        }
    }

    fn open(&self, described: &Description) -> Result<DataFolder, OpenError> {
        embedded::open(&self.data, &described.pipeline, described.partitions)
    }
}
