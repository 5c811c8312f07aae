//! What a job computes, apart from when and by which engine.
//!
//! Invariants: defaults are written out, so that setting a field to its default changes nothing; two jobs with the
//! same identity give the same rows for a window of the same tables.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{GroupBy, Query, Sink, SinkKind, Statistic, StatsJobSpec};
use crate::{duration::Duration, time::ZoneName};

/// What a job computes: a window with a result of another computation has none of this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Computation {
    /// IANA time zone of windows and hours.
    pub time_zone: String,
    /// Length of a window.
    pub window: Duration,
    /// Length of a bucket.
    pub granularity: Duration,
    /// What each row stands for.
    pub group_by: Vec<GroupBy>,
    /// What is computed.
    pub statistics: Vec<Statistic>,
    /// Further statistics in SQL.
    pub queries: Vec<Query>,
    /// Where results go.
    pub sinks: Vec<Sink>,
}

impl Computation {
    /// What a job computes.
    pub fn of(spec: &StatsJobSpec) -> Self {
        Self {
            time_zone: spec.time_zone.as_ref().map_or("UTC", ZoneName::as_str).to_owned(),
            window: spec.window(),
            granularity: spec.granularity(),
            group_by: spec.group_by().to_vec(),
            statistics: spec.statistics.clone(),
            queries: spec.queries.clone(),
            sinks: spec.sinks.clone(),
        }
    }

    /// Sixteen hexadecimal digits that stand for rows and places: how long Redis keeps a result, which Secret opens
    /// a database and the order of lists do not count.
    pub fn id(&self) -> String {
        let mut group_by = self.group_by.clone();
        group_by.sort_unstable();
        let mut statistics = self.statistics.clone();
        statistics.sort_unstable();
        let mut queries: Vec<(&str, &str)> =
            self.queries.iter().map(|query| (query.name.as_str(), query.sql.as_str())).collect();
        queries.sort_unstable();
        let mut places: Vec<String> = self.sinks.iter().filter_map(Sink::kind).map(place).collect();
        places.sort_unstable();
        let text = serde_json::json!([
            self.time_zone,
            self.window,
            self.granularity,
            group_by,
            statistics,
            queries,
            places
        ]);
        let digest: [u8; 32] = Sha256::digest(text.to_string()).into();
        let head = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        format!("{head:016x}")
    }
}

fn place(kind: SinkKind<'_>) -> String {
    match kind {
        SinkKind::Lake(lake) => format!("lake/{}", lake.table),
        SinkKind::Redis(_) => "redis".to_owned(),
        SinkKind::Kafka(_) => "kafka".to_owned(),
        SinkKind::Postgres(postgres) => format!("postgres/{}", postgres.table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut spec = serde_json::json!({
            "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "statistics": ["occupancy", "dwell"],
            "sinks": [{"lake": {"table": "hourly"}}, {"redis": {}}],
        });
        change(&mut spec);
        Computation::of(&serde_json::from_value(spec).unwrap()).id()
    }

    #[test]
    fn what_does_not_change_rows_does_not_change_the_identity() {
        let plain = id(|_| {});
        assert_eq!(plain.len(), 16);
        assert_eq!(plain, id(|spec| spec["window"] = "24h".into()), "a default written out");
        assert_eq!(plain, id(|spec| spec["sinks"][1]["redis"]["ttl"] = "9d".into()));
        assert_eq!(plain, id(|spec| spec["schedule"] = "0 3 * * *".into()));
        assert_eq!(plain, id(|spec| spec["statistics"] = serde_json::json!(["dwell", "occupancy"])));
    }

    #[test]
    fn what_changes_rows_or_places_changes_the_identity() {
        let plain = id(|_| {});
        assert_ne!(plain, id(|spec| spec["timeZone"] = "Europe/London".into()));
        assert_ne!(plain, id(|spec| spec["granularity"] = "2h".into()));
        assert_ne!(plain, id(|spec| spec["sinks"][0]["lake"]["table"] = "daily".into()));
        assert_ne!(plain, id(|spec| spec["queries"] = serde_json::json!([{"name": "a", "sql": "SELECT 1"}])));
    }
}
