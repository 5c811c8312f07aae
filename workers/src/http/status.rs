//! What the process says of itself: phase, readiness, rules, positions.
//!
//! Invariant: it is ready once every stage has taken its partition over, and no longer when it drains.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use parking_crds::event::Millis;
use schemars::JsonSchema;
use serde::Serialize;

use super::port_metrics::PortMetrics;
use crate::{
    command::import::Progress,
    ports::{clock::Clock, event_log::Partition},
    rows::instant,
    runtime::occupancy::EventTotals,
    view::{PartitionStanding, Standing, View, ViewError},
};

/// What the process is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Phase {
    /// Stages load their state.
    #[default]
    Starting,
    /// All stages work.
    Running,
    /// It was told to end: what was read is being committed.
    Draining,
}

/// How the pipeline stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Of this program.
    pub version: &'static str,
    /// What the process is about.
    pub phase: Phase,
    /// Since the start of the process, ms.
    pub uptime_ms: u64,
    /// What it is fed with, while it is.
    pub import: Option<ImportStatus>,
    /// Verdicts over all partitions.
    pub events: EventTotals,
    /// Rules by name.
    pub rules: RulesStatus,
    /// Positions.
    pub partitions: Vec<PartitionStatus>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportStatus {
    /// Records in the log.
    pub records: u64,
    /// All of them, where known.
    pub total: Option<u64>,
}

/// Rules of the pipeline.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct RulesStatus {
    /// Those that judge events.
    pub loaded: Vec<String>,
    /// Those that do not.
    pub refused: Vec<RefusedRule>,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RefusedRule {
    /// Its name.
    pub rule: String,
    /// A word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// One partition of the events.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Records in the log.
    pub end: u64,
    /// Records that are not committed.
    pub lag: u64,
    /// How far event time has come.
    #[schemars(with = "Option<String>")]
    pub watermark: Option<Timestamp>,
}

/// Where the tasks of the process write down what they are about.
pub struct StatusBoard {
    pipeline: String,
    clock: Arc<dyn Clock>,
    ports: PortMetrics,
    started: Millis,
    stages: usize,
    stages_started: AtomicUsize,
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    phase: Phase,
    import: Option<ImportStatus>,
    rules: RulesStatus,
    restarts: BTreeMap<Partition, u64>,
}

impl StatusBoard {
    /// A board of a process that starts now and waits for `stages`.
    pub fn new(pipeline: &str, stages: usize, clock: Arc<dyn Clock>, ports: PortMetrics) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            started: clock.monotonic(),
            clock,
            ports,
            stages,
            stages_started: AtomicUsize::new(0),
            changing: Mutex::default(),
        }
    }

    /// Where the ports of the process count.
    pub fn ports(&self) -> &PortMetrics {
        &self.ports
    }

    /// One more stage has its state.
    pub fn stage_started(&self) {
        if self.stages_started.fetch_add(1, Ordering::AcqRel) + 1 == self.stages {
            self.change(|changing| changing.phase = Phase::Running);
        }
    }

    /// A stage failed and begins again.
    pub fn stage_restarted(&self, partition: Partition) {
        self.change(|changing| *changing.restarts.entry(partition).or_default() += 1);
    }

    /// How often the stage of a partition began again.
    pub fn restarts(&self, partition: Partition) -> u64 {
        self.read(|changing| changing.restarts.get(&partition).copied().unwrap_or(0))
    }

    /// The process was told to end.
    pub fn draining(&self) {
        self.change(|changing| changing.phase = Phase::Draining);
    }

    /// The import is there; `None` once it is over.
    pub fn imported(&self, progress: Option<Progress>) {
        let import = progress.map(|Progress { records, total }| ImportStatus { records, total });
        self.change(|changing| changing.import = import);
    }

    /// These rules judge events, those do not.
    pub fn rules(&self, loaded: Vec<String>, refused: Vec<RefusedRule>) {
        self.change(|changing| changing.rules = RulesStatus { loaded, refused });
    }

    /// Why it is not ready.
    pub fn not_ready(&self) -> Option<String> {
        let started = self.stages_started.load(Ordering::Acquire);
        match self.read(|changing| changing.phase) {
            Phase::Running => None,
            Phase::Starting => Some(format!("{started} of {} stages have their state", self.stages)),
            Phase::Draining => Some("the process is about to end".to_owned()),
        }
    }

    /// Firing alerts by loaded rule.
    pub async fn firing(&self, view: &View) -> Result<BTreeMap<String, u64>, ViewError> {
        let loaded = self.read(|changing| changing.rules.loaded.clone());
        let mut firing: BTreeMap<_, _> = loaded.into_iter().map(|rule| (rule, 0)).collect();
        for alert in view.alerts(&crate::view::AlertFilter::default()).await? {
            if alert.ends_at.is_some() {
                break;
            }
            *firing.entry(alert.rule).or_default() += 1;
        }
        Ok(firing)
    }

    /// All of it.
    pub fn status(&self, standing: &Standing) -> Status {
        let (phase, import, rules) =
            self.read(|changing| (changing.phase, changing.import, changing.rules.clone()));
        Status {
            pipeline: self.pipeline.clone(),
            version: env!("CARGO_PKG_VERSION"),
            phase,
            uptime_ms: u64::try_from(self.clock.monotonic() - self.started).unwrap_or(0),
            import,
            events: events(standing),
            rules,
            partitions: partitions(standing),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Changing)) {
        change(&mut self.changing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, read: impl FnOnce(&Changing) -> T) -> T {
        read(&self.changing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn events(standing: &Standing) -> EventTotals {
    let mut sum = EventTotals::default();
    for partition in standing.partitions() {
        sum.add(partition.totals());
    }
    sum
}

fn partitions(standing: &Standing) -> Vec<PartitionStatus> {
    let status = |partition: &PartitionStanding| PartitionStatus {
        partition: partition.partition,
        end: partition.end,
        lag: partition.lag(),
        watermark: partition.watermark().map(instant),
    };
    standing.partitions().iter().map(status).collect()
}
