//! How long an alert takes: events are sent at a fixed rate, whatever becomes of them, and the time of an alert
//! counts from when the event that raised it was to be sent (an open loop: who falls behind is not waited for).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    super::{
        BenchError, Row, row,
        scenario::{PARTITIONS, Scenario},
        stages::{Runners, expected, found, join, spawn},
    },
    ServerArgs,
    place::{Place, Streams},
};
use crate::{
    adapters::kafka::KafkaEventLog,
    ports::event_log::{EventLog, Offset, Parts, Stream, StreamPartition},
};

/// Between two sendings.
const TICK: Duration = Duration::from_millis(5);

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyFigures {
    /// Events a second that were to be sent.
    pub rate: u64,
    /// Events that were sent.
    pub events: u64,
    /// Alerts that were raised or resolved by an event.
    pub alerts: usize,
    /// Half of them took no longer, ms.
    pub p50_ms: f64,
    /// 99 of 100 took no longer, ms.
    pub p99_ms: f64,
    /// The longest, ms.
    pub longest_ms: f64,
    /// How far the sender was behind its times at the worst, ms.
    pub sender_behind_ms: f64,
}

/// An alert names the event that made it.
#[derive(Deserialize)]
struct AlertLine {
    record_type: String,
    origin: Option<Origin>,
}

#[derive(Deserialize)]
struct Origin {
    partition: u32,
    offset: Offset,
}

/// When the records of a partition were to be sent: the first offset of each sending.
type Sent = Vec<Vec<(Offset, Instant)>>;

/// Where the stages keep their state.
#[derive(Clone, Copy)]
pub(super) enum Keeping {
    InMemory,
    InRedis,
}

pub(super) async fn measure(
    place: &Place,
    scenario: &Scenario,
    arguments: &ServerArgs,
    keeping: Keeping,
) -> Result<LatencyFigures, BenchError> {
    let (rate, seconds) = (arguments.rate, arguments.seconds);
    let name = match keeping {
        Keeping::InMemory => "latency-loose",
        Keeping::InRedis => "latency-exact",
    };
    let streams = place.streams(name).await?;
    let sendings = make(scenario, rate, seconds)?;
    let events = sendings.iter().flatten().map(|(_, records)| records.len() as u64).sum();
    let ends = ends_of(&sendings);
    let ports = match keeping {
        Keeping::InMemory => streams.in_memory(),
        Keeping::InRedis => streams.in_redis(place)?,
    };
    let (heard, alerts) = listen(&streams).await?;
    let stages = Runners::new(scenario, &ports).run_to(&ends);
    let (sent, ran) = tokio::join!(send(&streams, sendings), stages);
    let ((sent, behind), runners) = (sent?, ran?);
    let answer = found(&ports, &runners, scenario).await?;
    if let Some(difference) = answer.difference(&expected(&ports, scenario).await?) {
        return Err(BenchError::Wrong(difference));
    }
    heard.send_replace(true);
    let alerts = join(&mut { alerts }).await?.concat();
    let mut took: Vec<f64> = alerts.iter().filter_map(|alert| alert.since(&sent)).collect();
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took.get(took.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    Ok(LatencyFigures {
        rate,
        events,
        alerts: took.len(),
        p50_ms: at(50),
        p99_ms: at(99),
        longest_ms: at(100),
        sender_behind_ms: behind.as_secs_f64() * 1_000.0,
    })
}

fn make(scenario: &Scenario, rate: u64, seconds: u64) -> Result<Vec<Parts>, BenchError> {
    let mut feed = scenario.feed()?;
    let ticks =
        u64::try_from(Duration::from_secs(seconds).as_millis() / TICK.as_millis()).unwrap_or_default();
    let of_a_tick = rate * u64::try_from(TICK.as_millis()).unwrap_or_default() / 1_000;
    Ok((0..ticks).map(|_| feed.take(of_a_tick)).collect())
}

fn ends_of(sendings: &[Parts]) -> Vec<Offset> {
    let mut ends = vec![0; PARTITIONS as usize];
    for (at, records) in sendings.iter().flatten() {
        if let Some(end) = ends.get_mut(at.partition as usize) {
            *end += records.len() as Offset;
        }
    }
    ends
}

/// Sends each batch at its time, without waiting for the answers of those before.
#[expect(clippy::disallowed_methods, reason = "an open loop runs on the wall clock")]
async fn send(streams: &Streams, sendings: Vec<Parts>) -> Result<(Sent, Duration), BenchError> {
    let log: Arc<dyn EventLog> = Arc::new(KafkaEventLog::open(streams.settings.clone()).await?);
    let (mut sent, mut next) = (vec![Vec::new(); PARTITIONS as usize], vec![0; PARTITIONS as usize]);
    let (mut appends, mut behind) = (JoinSet::new(), Duration::ZERO);
    let mut due = Instant::now();
    for parts in sendings {
        due += TICK;
        tokio::time::sleep_until(due.into()).await;
        behind = behind.max(due.elapsed());
        for (at, records) in &parts {
            let partition = at.partition as usize;
            if let (Some(sent), Some(next)) = (sent.get_mut(partition), next.get_mut(partition)) {
                sent.push((*next, due));
                *next += records.len() as Offset;
            }
        }
        let log = Arc::clone(&log);
        spawn(&mut appends, async move { Ok(log.append(parts).await.map(drop)?) });
    }
    join(&mut appends).await?;
    Ok((sent, behind))
}

/// An alert when it was read.
#[derive(Clone)]
struct Heard {
    partition: usize,
    offset: Offset,
    at: Instant,
}

impl Heard {
    /// Since the event was to be sent, ms.
    fn since(&self, sent: &Sent) -> Option<f64> {
        let sendings = sent.get(self.partition)?;
        let after = sendings.partition_point(|(first, _)| *first <= self.offset);
        let (_, due) = sendings.get(after.checked_sub(1)?)?;
        Some(self.at.duration_since(*due).as_secs_f64() * 1_000.0)
    }
}

type Listening = (tokio::sync::watch::Sender<bool>, JoinSet<Result<Vec<Heard>, BenchError>>);

/// Reads the alerts of every partition as somebody else would, until it is told that these are all.
async fn listen(streams: &Streams) -> Result<Listening, BenchError> {
    let log: Arc<dyn EventLog> = Arc::new(KafkaEventLog::open(streams.settings.clone()).await?);
    let (done, told) = tokio::sync::watch::channel(false);
    let mut listeners = JoinSet::new();
    for partition in 0..PARTITIONS {
        let at = StreamPartition { stream: Stream::Alerts, partition };
        spawn(&mut listeners, hear(Arc::clone(&log), at, told.clone()));
    }
    Ok((done, listeners))
}

#[expect(clippy::disallowed_methods, reason = "what is measured is wall time")]
async fn hear(
    log: Arc<dyn EventLog>,
    at: StreamPartition,
    mut done: tokio::sync::watch::Receiver<bool>,
) -> Result<Vec<Heard>, BenchError> {
    let (mut heard, mut next) = (Vec::new(), 0);
    loop {
        let fetched = log.read(at, next, 1 << 20).await?;
        let now = Instant::now();
        for (_, record) in fetched.iter() {
            let line: AlertLine = serde_json::from_slice(record).map_err(BenchError::scenario)?;
            if let ("alert", Some(Origin { partition, offset })) = (line.record_type.as_str(), line.origin) {
                heard.push(Heard { partition: partition as usize, offset, at: now });
            }
        }
        next = fetched.next_offset();
        if fetched.records.is_empty() {
            if *done.borrow() {
                return Ok(heard);
            }
            tokio::select! {
                arrived = log.arrived(at, next) => arrived?,
                _ = done.changed() => {}
            }
        }
    }
}

impl LatencyFigures {
    /// Lines for people.
    pub(super) fn rows(&self, how: &str) -> Vec<Row> {
        let Self { rate, events, alerts, p50_ms, p99_ms, longest_ms, sender_behind_ms } = self;
        vec![
            row(
                format!("event → alert, {how}"),
                format!("{rate} events/s wanted, {events} sent, {alerts} alerts"),
            ),
            row("  half, 99 of 100, longest", format!("{p50_ms:.1} ms, {p99_ms:.1} ms, {longest_ms:.1} ms")),
            row("  sender behind at the worst", format!("{sender_behind_ms:.1} ms")),
        ]
    }
}
