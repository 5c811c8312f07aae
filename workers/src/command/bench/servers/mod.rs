//! `bench servers`: the same city through a Kafka, a Redis with Sentinel and a bucket, in turns with what bounds it.
//!
//! Must not start servers, and leaves nothing on them: topics, keys and objects of a run have names of their own, and
//! topics are deleted. Invariants: rounds alternate, and a figure is the median of its rounds; every round's answer is
//! checked by the `oracle`, or by the counts that the oracle gave.

mod counts;
mod drain;
mod ingest;
mod latency;
mod loops;
mod machine;
mod place;
mod spark;

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use self::{counts::Counts, latency::Keeping, place::Place, spark::Spark};
pub use self::{ingest::IngestFigures, latency::LatencyFigures, machine::Machine, spark::SparkFigures};
use super::{
    BenchError, Row,
    folder::{Filled, fill},
    gauge::{Spent, Stopwatch, per, to_f64},
    row,
    scenario::Scenario,
    stages::expected,
};

/// Most records that the servers are given: 3 GB with their copies.
const MOST_EVENTS: u64 = 2_000_000;

/// Which servers.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArgs {
    /// `servers`: some brokers of the Kafka, `host:port`.
    #[arg(long, value_name = "HOST:PORT", required_if_eq("part", "servers"))]
    kafka: Option<String>,
    /// `servers`: a sentinel of the Redis.
    #[arg(long, value_name = "HOST:PORT", required_if_eq("part", "servers"))]
    sentinel: Option<String>,
    /// `servers`: name of the master at the sentinel.
    #[arg(long, value_name = "NAME", default_value = "parking-master")]
    master: String,
    /// `servers`: replicas of the Redis that must have a commit before it counts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_replicas: u8,
    /// `servers`: URL of the object store; its keys are `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    #[arg(long, value_name = "URL", required_if_eq("part", "servers"))]
    s3: Option<String>,
    /// `servers`: a bucket that is there.
    #[arg(long, value_name = "NAME", default_value = "parking-bench")]
    bucket: String,
    /// `servers`: how often each of the ways is gone, one after the other.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// `servers`: events a second that are sent, come what may, to measure how long an alert takes.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    rate: u64,
    /// `servers`: for how many seconds.
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// `servers`: a folder with Spark, to compare with: `python/bin/python` has pyspark, `jars` what it reads Kafka with.
    #[arg(long, value_name = "DIR")]
    spark: Option<PathBuf>,
}

/// Medians over the rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFigures {
    /// What ran where.
    pub machine: Machine,
    /// Records of the topic.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rounds of each way.
    pub rounds: usize,
    /// Records a second that were appended and acknowledged.
    pub append_events_per_second: f64,
    /// A plain loop: take a record, parse it, count it by zone.
    pub plain_loop: Way,
    /// Reading and parsing in batches, and no more.
    pub read_and_parse: Way,
    /// Occupancy and alert, state in memory, outputs published: what a crash doubles.
    pub at_least_once: Way,
    /// The same with state and outbox in the Redis: exactly once.
    pub exactly_once: Way,
    /// All tables into the bucket.
    pub archive: Way,
    /// Bytes in the table of events for each of its rows.
    pub lake_bytes_per_event: f64,
    /// Replicas that must have a commit before it counts.
    pub wait_replicas: u8,
    /// From the time an event was to be sent to its alert, exactly once.
    pub latency: LatencyFigures,
    /// The same at least once.
    pub latency_at_least_once: LatencyFigures,
    /// Records from outside into the log.
    pub ingest: IngestFigures,
    /// Where a Spark was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark: Option<SparkFigures>,
    /// Records that the oracle and the stages accepted.
    pub accepted: u64,
    /// Alerts that both raised.
    pub alerts: u64,
}

/// A way through the topic.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// Records a second.
    pub events_per_second: f64,
    /// Processor seconds of this process for a million; the servers' are not in it.
    pub cpu_seconds_per_million: Option<f64>,
}

/// The rounds of a way.
#[derive(Default)]
struct Rounds(Vec<Spent>);

impl Rounds {
    fn median(&self, records: u64) -> Way {
        Way {
            events_per_second: median(self.0.iter().map(|spent| spent.rate(records)).collect())
                .unwrap_or_default(),
            cpu_seconds_per_million: median(
                self.0.iter().filter_map(|spent| spent.per_million(records)).collect(),
            ),
        }
    }
}

/// That in the middle; none of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Fills a topic, goes every way through it in turns, and then measures latency.
pub(super) async fn measure(arguments: &ServerArgs, events: u64) -> Result<ServerFigures, BenchError> {
    let place = Place::open(arguments)?;
    let measured = Box::pin(measure_at(&place, arguments, events.min(MOST_EVENTS))).await;
    place.clear().await?;
    measured
}

async fn measure_at(place: &Place, arguments: &ServerArgs, events: u64) -> Result<ServerFigures, BenchError> {
    let scenario = Scenario::new(1_000, 200)?;
    let input = place.streams("input").await?;
    let (filled, appends) = fill(input.log.as_ref(), &mut scenario.feed()?, events).await?;
    let oracle = expected(&input.in_memory(), &scenario).await?;
    let counts = Counts::of(&input.in_memory(), &oracle).await?;
    let mut spark = arguments.spark.as_deref().map(Spark::at);
    let [mut plain, mut parse, mut loose, mut exact, mut archive] = [(); 5].map(|()| Rounds::default());
    let mut lake = drain::Archived::default();
    for round in 0..arguments.rounds.max(1) {
        progress(round, arguments.rounds);
        plain.0.push(loops::plain(&input, &counts).await?);
        parse.0.push(loops::read_and_parse(&input, filled.records).await?);
        let streams = place.outputs(&input, &format!("loose-{round}")).await?;
        loose.0.push(drain::stages(&streams.in_memory(), &scenario, &oracle).await?);
        let streams = place.outputs(&input, &format!("exact-{round}")).await?;
        exact.0.push(drain::stages(&streams.in_redis(place)?, &scenario, &oracle).await?);
        lake = drain::archive(place, &streams, &scenario, &oracle).await?;
        archive.0.extend(lake.spent);
        if let Some(spark) = &mut spark {
            spark.run(&input, &counts).await?;
        }
    }
    let records = filled.records;
    Ok(ServerFigures {
        machine: place.machine().await?,
        events: records,
        bytes: filled.bytes,
        rounds: arguments.rounds,
        append_events_per_second: append_rate(filled, &appends),
        plain_loop: plain.median(records),
        read_and_parse: parse.median(records),
        at_least_once: loose.median(records),
        exactly_once: exact.median(records),
        archive: archive.median(records),
        lake_bytes_per_event: per(lake.bytes, to_f64(lake.rows)),
        wait_replicas: arguments.wait_replicas,
        latency: latency::measure(place, &scenario, arguments, Keeping::InRedis).await?,
        latency_at_least_once: latency::measure(place, &scenario, arguments, Keeping::InMemory).await?,
        ingest: ingest::measure(place, &scenario, events, arguments.rounds).await?,
        spark: spark.map(Spark::figures),
        accepted: oracle.accepted,
        alerts: oracle.alerts.len() as u64,
    })
}

fn progress(round: usize, rounds: usize) {
    eprintln!(
        "round {} of {rounds}: plain loop, parsing, at least once, exactly once, archive, Spark",
        round + 1
    );
}

fn append_rate(filled: Filled, appends: &[Spent]) -> f64 {
    per(filled.records, appends.iter().map(|append| append.wall.as_secs_f64()).sum())
}

/// Runs a way and reads the watch.
async fn timed<T>(way: impl Future<Output = Result<T, BenchError>>) -> Result<(T, Spent), BenchError> {
    let watch = Stopwatch::start();
    let done = way.await?;
    Ok((done, watch.stop()))
}

fn way_row(name: &str, way: &Way) -> Row {
    let processor = way
        .cpu_seconds_per_million
        .map_or_else(String::new, |cpu| format!(", {cpu:.2} s of processor for a million"));
    row(name, format!("{:.0} events/s{processor}", way.events_per_second))
}

impl ServerFigures {
    /// Lines for people.
    pub(super) fn rows(&self) -> Vec<Row> {
        let size = per(self.bytes, to_f64(self.events));
        let ratio = |over: &Way, under: &Way| over.events_per_second / under.events_per_second.max(1.0);
        let mut rows = vec![
            row("machine", self.machine.line()),
            row("topic", format!("{} events of {size:.0} bytes, medians of {}", self.events, self.rounds)),
            row("append, acknowledged by all", format!("{:.0} events/s", self.append_events_per_second)),
            way_row("a plain loop: parse and count", &self.plain_loop),
            way_row("read and parse in batches", &self.read_and_parse),
            way_row("occupancy + alert, at least once", &self.at_least_once),
            way_row("occupancy + alert, exactly once", &self.exactly_once),
            row("  times the plain loop", format!("{:.2}", ratio(&self.exactly_once, &self.plain_loop))),
            row("  of at least once", format!("{:.2}", ratio(&self.exactly_once, &self.at_least_once))),
            way_row("archive of all tables", &self.archive),
            row("  bytes for an event", format!("{:.1}", self.lake_bytes_per_event)),
        ];
        rows.extend(self.spark.iter().flat_map(SparkFigures::rows));
        rows.extend(self.latency.rows(&format!("exactly once, {} replicas waited for", self.wait_replicas)));
        rows.extend(self.latency_at_least_once.rows("at least once"));
        rows.extend(self.ingest.rows());
        rows.push(row(
            "checked by the oracle",
            format!("{} accepted, {} alerts, in every round", self.accepted, self.alerts),
        ));
        rows
    }
}
