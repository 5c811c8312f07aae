//! `parking worker ROLE --config FILE`: one role of a pipeline, on the servers that its configuration names.
//!
//! Must not contain what a role does: it wires the same stages that `parking up` runs. Invariants: it is alive while
//! its tasks run, and ready once it has talked to what its role cannot work without; trouble with a server is told in
//! `/status` and passes without a restart of the process.

#[cfg(feature = "s3")]
mod archive;
#[cfg_attr(
    not(all(feature = "kafka", feature = "redis")),
    allow(
        dead_code,
        unused_imports,
        clippy::unused_async,
        reason = "what the servers that are left out would need"
    )
)]
mod connect;
mod notify;
mod rules;
#[cfg_attr(
    not(all(feature = "kafka", feature = "redis")),
    allow(dead_code, reason = "logins of the servers that are left out")
)]
mod secrets;
mod share_metrics;
mod site;
mod stages;
mod statistics;
mod telemetry;
#[cfg(feature = "s3")]
mod upkeep;

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use parking_crds::{
    duration::Duration,
    inventory::Inventory,
    role::Role,
    worker_config::{WorkerConfig, WorkerConfigError},
};
use tokio::{net::TcpListener, sync::watch};

pub use self::secrets::SecretFileError;
pub use self::statistics::{StatisticsError, Told, run_statistics};
use self::{rules::FollowedRules, share_metrics::ShareMetrics, telemetry::Telemetry};
use crate::{
    adapters::embedded::SystemClock,
    ingest::{self, IngestError, Meter, Serving},
    metrics::{Described, Metrics},
    ports::{PortError, PortResult, clock::Clock},
    sentence::sentence,
};

/// How long a worker waits before it joins its group again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

/// Why a worker did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The configuration is none.
    #[error(transparent)]
    Config(#[from] WorkerConfigError),
    /// The configuration is of another role than the one that was asked for.
    #[error("the configuration is of the role {found}, not {wanted}: name its file, or that role")]
    Role {
        /// As asked for.
        wanted: Role,
        /// As configured.
        found: Role,
    },
    /// The role does not run here.
    #[error("the role {0} does not run as a worker of its own: `parking up` runs it")]
    NotHere(Role),
    /// What the configuration names was left out of this program.
    #[error("{field}: this program was built without the feature `{feature}`: build it with that feature")]
    Feature {
        /// The field of the configuration.
        field: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// A setting cannot be used.
    #[error("{field}: {reason}")]
    Setting {
        /// The field of the configuration.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The inventory cannot be read.
    #[error("{path}: {reason}")]
    Inventory {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be served.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A server cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A metric cannot be made.
    #[error("a metric cannot be made: {0}")]
    Metric(#[from] prometheus::Error),
    /// Ingest stopped.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// Reads a configuration and checks that it is of the role.
pub fn read_config(path: &Path, role: Role) -> Result<WorkerConfig, WorkerError> {
    let config = WorkerConfig::parse(&read(path)?)?;
    if config.role == role { Ok(config) } else { Err(WorkerError::Role { wanted: role, found: config.role }) }
}

/// Every family of metrics that the worker of a role tells; none of a role that is no worker.
pub fn described_metrics(role: Role) -> prometheus::Result<Vec<Described>> {
    if role == Role::Ingest {
        return Ok(Meter::new()?.described());
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let telemetry = Telemetry::new(role, &clock)?;
    let metrics = Metrics::default();
    ShareMetrics::new(&metrics, role)?;
    if role == Role::Notify {
        notify::RouteMetrics::new(&metrics)?;
    }
    Ok([metrics.described(), telemetry.metrics().described()].concat())
}

/// Runs the configured role until `stop` is true; what was done is committed then.
pub async fn run(config: WorkerConfig, stop: watch::Receiver<bool>) -> Result<(), WorkerError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match config.role {
        Role::Ingest => take_events(config, clock, stop).await,
        Role::Occupancy | Role::Alert => stages::run(config, clock, stop).await,
        #[cfg(feature = "s3")]
        Role::Archive => archive::run(config, clock, stop).await,
        #[cfg(not(feature = "s3"))]
        Role::Archive => Err(WorkerError::Feature { field: "lake.s3", feature: "s3" }),
        Role::Notify => notify::run(config, clock, stop).await,
        role => Err(WorkerError::NotHere(role)),
    }
}

async fn take_events(
    config: WorkerConfig,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let entries = connect::entries(&config)?;
    let log = connect::log(&config, clock.as_ref(), stop.clone()).await?;
    let Some(log) = log else { return Ok(()) };
    let serving = Serving {
        pipeline: config.pipeline.clone(),
        partitions: u32::from(config.events.partitions),
        settings: config.ingest.unwrap_or_default(),
        secrets: config.secrets.into(),
        listener: listen(&config.listen).await?,
        entries,
    };
    Ok(ingest::serve(serving, log, clock, stop).await?)
}

async fn listen(address: &str) -> Result<TcpListener, WorkerError> {
    let address: SocketAddr = address.parse().map_err(|error: std::net::AddrParseError| {
        WorkerError::Setting { field: "listen", reason: error.to_string() }
    })?;
    TcpListener::bind(address).await.map_err(|source| WorkerError::Listen { address, source })
}

/// Whether the group is to be joined again: a membership that breaks is begun anew, and with it the work, as is one that
/// ended for newer rules; what was committed stands.
async fn joins_again(ended: PortResult<()>, clock: &dyn Clock, stop: &watch::Receiver<bool>) -> bool {
    let Err(error) = ended else { return !(*stop.borrow() || stop.has_changed().is_err()) };
    tracing::warn!("the membership broke, joining again: {}", sentence(&error));
    tokio::select! {
        () = clock.pause(JOIN_AGAIN) => true,
        () = told(stop.clone()) => false,
    }
}

/// Completes when it is told to.
async fn told(mut stop: watch::Receiver<bool>) {
    // Whoever would tell is gone: that is the end, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Completes when it is told to end, or when there are newer rules.
async fn told_or_renewed(stop: watch::Receiver<bool>, rules: Option<&mut FollowedRules>) {
    let renewed = async {
        match rules {
            Some(rules) => rules.renewed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = told(stop) => {}
        () = renewed => tracing::info!("there are newer rules"),
    }
}

/// From its file, or from the bucket where the configuration says so.
async fn inventory(config: &WorkerConfig) -> Result<Arc<Inventory>, WorkerError> {
    let place = config.inventory_object.as_ref().unwrap_or(&config.inventory);
    let refused = |reason: String| WorkerError::Inventory { path: place.clone(), reason };
    let text = match &config.inventory_object {
        None => read(Path::new(place))?,
        Some(key) => {
            let object = connect::objects(config)?.get(key).await?;
            let object = object.ok_or_else(|| refused("there is no such object in the bucket".to_owned()))?;
            String::from_utf8(object.into()).map_err(|error| refused(error.to_string()))?
        }
    };
    let inventory = Inventory::parse(&text).map_err(|error| refused(error.to_string()))?;
    Ok(Arc::new(inventory))
}

fn read(path: &Path) -> Result<String, WorkerError> {
    fs::read_to_string(path).map_err(|source| WorkerError::File { path: path.display().to_string(), source })
}
