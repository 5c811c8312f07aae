//! The work that is measured: occupancy and alert of every partition, to the end of a log.
//!
//! Must not measure. Tasks start here and nowhere else in the bench.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use parking_crds::event::Millis;
use serde::Deserialize;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    BenchError,
    oracle::{Alert as ToldAlert, Answer, Oracle, View},
    scenario::{NAME, PARTITIONS, Scenario},
};
use crate::{
    adapters::embedded::{DataFolder, SystemClock},
    domain::{alert::bare_name, record::Record},
    ports::{
        event_log::{EventLog, Offset, Partition, Stream, StreamPartition, all_bounds},
        state_store::{StageKey, StateStore},
    },
    runtime::{
        occupancy::{TOTALS_BLOCK, Totals},
        rest::Silence,
        role::{Duty, RoleStage, Together},
        stage::{CommitLimits, StagePorts, StageRunner, Turn},
    },
};

const READ_BYTES: usize = 1 << 20;

/// Where the stages work, and when they commit.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) commit: CommitLimits,
}

impl Ports {
    /// As `parking up` has them.
    pub(super) fn of(folder: &DataFolder) -> Self {
        let (log, store) = (Arc::new(folder.event_log()), Arc::new(folder.state_store()));
        Self { log, store, commit: CommitLimits::default() }
    }
}

type Runner = StageRunner<RoleStage<Together>>;

/// The stage of each partition.
pub(super) struct Runners(Vec<Runner>);

impl Runners {
    #[expect(clippy::disallowed_methods, reason = "owners of the bench get their names here")]
    pub(super) fn new(scenario: &Scenario, ports: &Ports) -> Self {
        let Ports { log, store, commit } = ports.clone();
        let ports = StagePorts { log, store, clock: Arc::new(SystemClock::new()) };
        let runner = |partition| {
            let (judged, inventory) = (scenario.limits, Arc::clone(&scenario.inventory));
            let (rules, settings) = (Arc::clone(&scenario.rules), Scenario::settings(partition));
            let make = move || RoleStage::together(judged, &inventory, &rules, settings.clone());
            StageRunner::new(ports.clone(), partition, commit, make, Uuid::new_v4)
        };
        Self((0..PARTITIONS).map(runner).collect())
    }

    /// Runs all until each stands at its partition's `ends`.
    pub(super) async fn run_to(self, ends: &[Offset]) -> Result<Self, BenchError> {
        let mut tasks = JoinSet::new();
        for (runner, end) in self.0.into_iter().zip(ends) {
            spawn(&mut tasks, run_to(runner, *end));
        }
        Ok(Self(join(&mut tasks).await?))
    }

    fn stages(&self) -> impl Iterator<Item = &RoleStage<Together>> {
        self.0.iter().filter_map(StageRunner::stage)
    }
}

async fn run_to(mut runner: Runner, end: Offset) -> Result<Runner, BenchError> {
    let clock = Arc::new(SystemClock::new());
    let silence = Silence { clock, idle_after: None, tenant: NAME.to_owned() };
    loop {
        match runner.turn().await? {
            Turn::Idle if runner.next_offset().is_some_and(|next| next >= end) => return Ok(runner),
            Turn::Idle | Turn::Waiting => drop(silence.rest(&runner, 0).await?),
            Turn::Advanced => tokio::task::yield_now().await,
            Turn::Fenced => return Err(BenchError::Wrong("a stage was fenced by nobody".to_owned())),
        }
    }
}

/// Starts a task.
#[expect(clippy::disallowed_methods, reason = "tasks of the bench begin here")]
pub(super) fn spawn<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    task: impl Future<Output = T> + Send + 'static,
) {
    tasks.spawn(task);
}

/// Waits for all tasks; the first failure is the result.
pub(super) async fn join<T: 'static>(
    tasks: &mut JoinSet<Result<T, BenchError>>,
) -> Result<Vec<T>, BenchError> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        results.push(ended??);
    }
    Ok(results)
}

/// Offsets after the last records of `events`.
pub(super) async fn ends(log: &dyn EventLog) -> Result<Vec<Offset>, BenchError> {
    let bounds = all_bounds(log, Stream::Events, PARTITIONS).await?;
    Ok(bounds.into_iter().map(|bounds| bounds.end).collect())
}

/// Hands every record of a partition to `take`.
pub(super) async fn read_all(
    log: &dyn EventLog,
    at: StreamPartition,
    take: impl FnMut(&[u8]) + Send,
) -> Result<u64, BenchError> {
    read_from(log, at, 0, take).await
}

/// Hands the records from an offset on to `take`; answers the offset after the last.
pub(super) async fn read_from(
    log: &dyn EventLog,
    at: StreamPartition,
    from: Offset,
    mut take: impl FnMut(&[u8]) + Send,
) -> Result<Offset, BenchError> {
    let mut next = from;
    loop {
        let fetched = log.read(at, next, READ_BYTES).await?;
        if fetched.records.is_empty() {
            return Ok(next);
        }
        fetched.records.iter().for_each(&mut take);
        next = fetched.next_offset();
    }
}

/// The bound: reads all of `events` and parses each record once, as the hot path does, and no more.
pub(super) async fn decode_all(ports: &Ports) -> Result<u64, BenchError> {
    let mut tasks = JoinSet::new();
    for partition in 0..PARTITIONS {
        let log = Arc::clone(&ports.log);
        spawn(&mut tasks, async move {
            let at = StreamPartition { stream: Stream::Events, partition };
            read_all(log.as_ref(), at, |record| {
                std::hint::black_box(Record::parse(record).is_ok());
            })
            .await
        });
    }
    Ok(join(&mut tasks).await?.into_iter().sum())
}

/// What the oracle makes of `events`.
pub(super) async fn expected(ports: &Ports, scenario: &Scenario) -> Result<Answer, BenchError> {
    let mut tasks = JoinSet::new();
    for partition in 0..PARTITIONS {
        let (log, inventory) = (Arc::clone(&ports.log), Arc::clone(&scenario.inventory));
        spawn(&mut tasks, async move {
            let (at, mut oracle) =
                (StreamPartition { stream: Stream::Events, partition }, Oracle::new(&inventory));
            read_all(log.as_ref(), at, |record| oracle.read(record)).await?;
            Ok(oracle.finish())
        });
    }
    let mut answer = Answer::default();
    join(&mut tasks).await?.into_iter().for_each(|part| answer.add(part));
    Ok(answer)
}

/// What the stages made of it, from what they committed and published.
pub(super) async fn found(
    ports: &Ports,
    runners: &Runners,
    scenario: &Scenario,
) -> Result<Answer, BenchError> {
    let mut answer = Answer::default();
    for partition in 0..PARTITIONS {
        let totals = totals(ports, partition).await?;
        let alerts = told_alerts(ports, partition).await?;
        let reasons = totals.dead_letters.iter();
        answer.add(Answer {
            accepted: totals.accepted,
            duplicates: totals.duplicates,
            late: totals.late,
            sessions: totals.sessions,
            dead_letters: reasons.map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect(),
            zones: [].into(),
            alerts,
        });
    }
    for stage in runners.stages() {
        let mark = stage.watermark().unwrap_or(Millis::MIN);
        answer.zones.extend(stage.tracker().zones().filter_map(|(zone, _)| {
            let view = stage.tracker().view(zone, mark)?;
            let view = View {
                occupied: view.occupied.into(),
                unknown: view.unknown.into(),
                capacity: view.capacity.into(),
            };
            scenario.inventory.latest().zone(zone).map(|place| (place.id, view))
        }));
    }
    Ok(answer)
}

async fn totals(ports: &Ports, partition: Partition) -> Result<Totals, BenchError> {
    let key = StageKey { role: Together::ROLE, partition };
    let blocks = ports.store.peek(&key).await?.map(|stored| stored.blocks).unwrap_or_default();
    let block: Option<Bytes> =
        blocks.into_iter().find(|(key, _)| *key == TOTALS_BLOCK).map(|(_, block)| block);
    let (totals, _): (Totals, Option<Millis>) = block
        .map(|block| postcard::from_bytes(&block))
        .transpose()
        .map_err(|error| BenchError::Wrong(format!("the totals cannot be read: {error}")))?
        .unwrap_or_default();
    Ok(totals)
}

/// One line of the `alerts` stream, read by its words.
#[derive(Deserialize)]
struct AlertLine {
    record_type: String,
    alert_id: Option<Uuid>,
    rule: Option<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    starts_at: Option<Millis>,
    ends_at: Option<Millis>,
}

/// Alerts by their last word, each of them once.
async fn told_alerts(ports: &Ports, partition: Partition) -> Result<Vec<ToldAlert>, BenchError> {
    let at = StreamPartition { stream: Stream::Alerts, partition };
    let (mut alerts, mut wrong) = (std::collections::BTreeMap::new(), None);
    read_all(ports.log.as_ref(), at, |record| match serde_json::from_slice::<AlertLine>(record) {
        Ok(line) if line.record_type == "alert" => {
            if let Some(alert) = told_alert(&line) {
                alerts.insert(line.alert_id, alert);
            }
        }
        Ok(_) => {}
        Err(error) => wrong = Some(error.to_string()),
    })
    .await?;
    match wrong {
        Some(error) => Err(BenchError::Wrong(format!("an alert cannot be read: {error}"))),
        None => Ok(alerts.into_values().collect()),
    }
}

fn told_alert(line: &AlertLine) -> Option<ToldAlert> {
    let subject = ["event_session_id", "data_source_device_id", "curb_zone_id"];
    let subject = subject.iter().find_map(|label| line.labels.get(*label))?;
    let rule = line.rule.as_deref()?;
    Some(ToldAlert {
        rule: bare_name(rule).to_owned(),
        subject: subject.parse().ok()?,
        starts: line.starts_at?,
        ends: line.ends_at,
    })
}
