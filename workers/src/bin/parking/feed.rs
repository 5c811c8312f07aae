//! `parking replay`, `parking simulate` and `parking inventory`: data into a folder, or onto standard output.

use std::{
    fs::File,
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Subcommand;
use parking_workers::{
    adapters::embedded::{self, DataFolder, Description, OpenError, SystemClock},
    command::{
        import::{ImportReport, ImportSettings, Pace},
        inventory,
        progress::Bar,
        replay::{Format, Replay},
        simulate::{Simulation, read_profile},
    },
    deployment,
};

use crate::Failure;

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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "compression"])]
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
    #[arg(long, default_value = ".parking", value_name = "DIR")]
    data: PathBuf,
    /// Manifests of the pipeline, needed once, for a folder that is new.
    #[arg(short, long = "file", value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// Tell every partition that no more will follow: closes the statistics windows.
    #[arg(long)]
    end_of_input: bool,
    /// Records per append.
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

fn tell(report: &ImportReport, data: &Path) {
    let ImportReport { records, appended, .. } = report;
    println!("{appended} of {records} records appended to {}, the others were there already", data.display());
}

impl Into {
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
