//! Jobs and lakes for the tests of the scheduler.

use std::sync::Arc;

use jiff::Timestamp;
use parking_crds::{
    event::Millis,
    lake_index::{LakeIndex, Table, TableState},
    pipeline::ParkingPipeline,
    stats_job::StatsJob,
};
use serde_json::{Value, json};

use crate::{
    apis::Apis,
    validate::{JobSurroundings, ValidJob, stats_job},
};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn millis(text: &str) -> Millis {
    at(text).as_millisecond()
}

/// A StatsJob named `parking/hourly` whose spec has these fields besides the required ones.
pub(crate) fn stats_job_with(fields: &Value) -> StatsJob {
    let mut spec = json!({
        "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "timeZone": "Europe/London",
        "statistics": ["occupancy"], "sinks": [{"lake": {"table": "hourly"}}], "missedRuns": "CatchUpAll",
    });
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "StatsJob",
        "metadata": {"name": "hourly", "namespace": "parking", "uid": "u", "generation": 2},
        "spec": spec,
    }))
    .unwrap()
}

pub(crate) fn valid(fields: &Value) -> ValidJob {
    let job = stats_job_with(fields);
    let pipeline: ParkingPipeline = serde_json::from_value(json!({
        "apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
        "metadata": {"name": "city", "namespace": "parking"},
        "spec": {
            "kafka": {"external": {"bootstrapServers": "k1:9092"}}, "redis": {"managed": {}},
            "objectStore": {
                "endpoint": "http://minio:9000", "bucket": "city-lake", "credentialsSecretRef": {"name": "minio"},
            },
            "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
        },
    }))
    .unwrap();
    let around = JobSurroundings {
        pipeline: Some(&pipeline),
        jobs: &[],
        missing_secrets: &std::collections::BTreeSet::new(),
        apis: &Apis::all(),
        settings: &Arc::default(),
    };
    stats_job(&job, &around).unwrap()
}

/// A lake whose events begin at `first`, with a watermark.
pub(crate) fn lake(first: &str, watermark: &str) -> LakeIndex {
    lake_at(millis(first), millis(watermark))
}

pub(crate) fn lake_at(first: Millis, watermark: Millis) -> LakeIndex {
    LakeIndex {
        first_event: Some(first),
        tables: [(Table::Events, TableState { version: 1, watermark: Some(watermark) })].into(),
        ..LakeIndex::default()
    }
}
