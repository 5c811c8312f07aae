//! Where results go beside the lake: keys in Redis, records in Kafka.
//!
//! Must not compute. Invariant: to write a window again puts its result in the place of the one before, so that a run
//! that is repeated leaves what one run leaves.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_crds::{
    duration::Duration,
    names::JobName,
    stats_job::SinkKind,
    stats_run::{KafkaTarget, StatsRunConfig, instant},
    time::{Window, day::timestamp},
    worker_config::Store,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::StatisticsError;
use crate::{
    adapters::lake::statistics::{StatsError, Stretch, StretchAnswer},
    command::get::StatRow,
    ports::PortResult,
    worker::WorkerError,
};

/// The result of one window, as every sink writes it.
pub(super) struct WindowResult {
    pub(super) window: Window,
    /// Rows by zone, each as `parking get stats -o json` prints it.
    pub(super) zones: BTreeMap<String, String>,
    /// The answers to the queries.
    pub(super) answers: Vec<StretchAnswer>,
}

/// A place beside the lake.
#[async_trait]
pub(super) trait ResultSink: Send + Sync {
    /// Puts the result of a window in the place of the one before; what was answered is durable.
    async fn put(&self, job: &JobName, result: &WindowResult) -> PortResult<()>;
}

/// The sinks beside the lake.
pub(super) fn open(config: &StatsRunConfig) -> Result<Vec<Box<dyn ResultSink>>, StatisticsError> {
    let mut sinks: Vec<Box<dyn ResultSink>> = Vec::new();
    for sink in &config.computation.sinks {
        match sink.kind() {
            Some(SinkKind::Lake(_)) => {}
            Some(SinkKind::Redis(redis)) => {
                let store = config.redis.as_ref().ok_or(StatisticsError::Sink("the file names no redis"))?;
                sinks.push(redis_sink(config, store, redis.ttl())?);
            }
            Some(SinkKind::Kafka(_)) => {
                let target = config.kafka.as_ref().ok_or(StatisticsError::Sink("the file names no kafka"))?;
                sinks.push(kafka_sink(config, target)?);
            }
            Some(SinkKind::Postgres(_)) => {
                let refused = "postgres is not written yet: use lake, redis or kafka";
                return Err(StatisticsError::Sink(refused));
            }
            None => {
                let refused = "exactly one of lake, redis, kafka, postgres must be set";
                return Err(StatisticsError::Sink(refused));
            }
        }
    }
    Ok(sinks)
}

#[cfg(feature = "redis")]
fn redis_sink(
    config: &StatsRunConfig,
    store: &Store,
    ttl: Duration,
) -> Result<Box<dyn ResultSink>, WorkerError> {
    Ok(Box::new(RedisKeys { redis: crate::worker::connect::results_redis(config, store)?, ttl }))
}

#[cfg(not(feature = "redis"))]
fn redis_sink(_: &StatsRunConfig, _: &Store, _: Duration) -> Result<Box<dyn ResultSink>, WorkerError> {
    Err(WorkerError::Feature { field: "redis", feature: "redis" })
}

#[cfg(feature = "kafka")]
fn kafka_sink(config: &StatsRunConfig, target: &KafkaTarget) -> Result<Box<dyn ResultSink>, WorkerError> {
    Ok(Box::new(crate::worker::connect::results_topic(config, target)?))
}

#[cfg(not(feature = "kafka"))]
fn kafka_sink(_: &StatsRunConfig, _: &KafkaTarget) -> Result<Box<dyn ResultSink>, WorkerError> {
    Err(WorkerError::Feature { field: "kafka", feature: "kafka" })
}

#[cfg(feature = "redis")]
struct RedisKeys {
    redis: crate::adapters::redis::RedisStatistics,
    ttl: Duration,
}

#[cfg(feature = "redis")]
#[async_trait]
impl ResultSink for RedisKeys {
    async fn put(&self, job: &JobName, result: &WindowResult) -> PortResult<()> {
        let (Window { start, end }, ttl) = (result.window, self.ttl);
        let entries = result.entries();
        self.redis.put(&crate::adapters::redis::WindowEntries { job, start, end, ttl, entries }).await
    }
}

#[cfg(feature = "kafka")]
#[async_trait]
impl ResultSink for crate::adapters::kafka::KeyedTopic {
    async fn put(&self, job: &JobName, result: &WindowResult) -> PortResult<()> {
        self.append(&result.records(job)).await
    }
}

/// A stretch, window by window.
pub(super) fn results(stretch: &Stretch) -> Result<Vec<WindowResult>, StatsError> {
    let mut zones: Vec<BTreeMap<String, Vec<StatRow>>> = vec![BTreeMap::new(); stretch.windows.len()];
    for row in &stretch.rows {
        let window = stretch.windows.partition_point(|window| window.end <= row.start);
        let Some(zones) = zones.get_mut(window) else { continue };
        zones.entry(row.zone_id.clone()).or_default().push(StatRow {
            zone: row.user_zone_id.clone(),
            zone_id: row.zone_id.clone(),
            start: timestamp(row.start),
            statistic: row.statistic.clone(),
            value: row.value,
        });
    }
    // Rows are plain data and always have a JSON form.
    let text = |rows: Vec<StatRow>| serde_json::to_string(&rows).unwrap_or_default();
    let result = |(&window, zones): (&Window, BTreeMap<String, Vec<StatRow>>)| {
        let zones = zones.into_iter().map(|(zone, rows)| (zone, text(rows))).collect();
        Ok(WindowResult { window, zones, answers: stretch.answers(window)? })
    };
    stretch.windows.iter().zip(zones).map(result).collect()
}

/// A record of the topic: the rows of a zone, or of a query.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultRecord<'a> {
    job: &'a JobName,
    window_start: &'a str,
    window_end: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    rows: Option<&'a RawValue>,
}

impl WindowResult {
    /// Fields and values of its hash.
    fn entries(&self) -> Vec<(String, String)> {
        let zones = self.zones.iter().map(|(zone, rows)| (format!("zone:{zone}"), rows.clone()));
        let answers = self.answers.iter();
        let answers = answers.map(|answer| (format!("query:{}", answer.query), answer.rows.clone()));
        zones.chain(answers).collect()
    }

    /// Keys and records, one for each zone and query; a key names all that the next record of it replaces.
    fn records(&self, job: &JobName) -> Vec<(String, String)> {
        let (window_start, window_end) = (&*instant(self.window.start), &*instant(self.window.end));
        let record = |zone_id: Option<&str>, query: Option<&str>, rows: &str| {
            let rows = serde_json::from_str(rows).ok();
            let record = ResultRecord { job, window_start, window_end, zone_id, query, rows };
            serde_json::to_string(&record).unwrap_or_default()
        };
        let zones = self.zones.iter();
        let zones = zones.map(|(zone, rows)| {
            (format!("{job}/{window_start}/zone/{zone}"), record(Some(zone), None, rows))
        });
        let answers = self.answers.iter().map(|StretchAnswer { query, rows }| {
            (format!("{job}/{window_start}/query/{query}"), record(None, Some(query), rows))
        });
        zones.chain(answers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> WindowResult {
        WindowResult {
            window: Window { start: 1_475_535_600_000, end: 1_475_622_000_000 },
            zones: [("z".to_owned(), r#"[{"value":0.5}]"#.to_owned())].into(),
            answers: vec![StretchAnswer { query: "busiest".to_owned(), rows: "[]".to_owned() }],
        }
    }

    #[test]
    fn a_hash_has_a_field_for_each_zone_and_query() {
        let entries = result().entries();
        assert_eq!(entries[0], ("zone:z".to_owned(), r#"[{"value":0.5}]"#.to_owned()));
        assert_eq!(entries[1], ("query:busiest".to_owned(), "[]".to_owned()));
    }

    #[test]
    fn records_are_keyed_by_job_window_and_zone_or_query() {
        let records = result().records(&"hourly".parse().unwrap());
        let head =
            r#"{"job":"hourly","windowStart":"2016-10-03T23:00:00Z","windowEnd":"2016-10-04T23:00:00Z","#;
        let zone = format!(r#"{head}"zoneId":"z","rows":[{{"value":0.5}}]}}"#);
        assert_eq!(records[0], ("hourly/2016-10-03T23:00:00Z/zone/z".to_owned(), zone));
        let query = format!(r#"{head}"query":"busiest","rows":[]}}"#);
        assert_eq!(records[1], ("hourly/2016-10-03T23:00:00Z/query/busiest".to_owned(), query));
    }
}
