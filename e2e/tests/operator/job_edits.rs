//! An edit of any field of a statistics job that may change reaches its runs or its status.
//!
//! A field of the definition that no table names fails the test.

use std::collections::BTreeSet;

use parking_crds::stats_job::StatsJob;
use parking_e2e::kubernetes::{kubelet::Outcome, wait::eventually};
use serde_json::{Value, json};

use crate::{
    city::{City, LIMIT},
    fields::fields_of,
    rows::{PIPELINE_REF, Row, are_named, do_not_show_yet, reach, stays_with_its_pipeline},
    statistics::{JOB, Lake, city_with_lake_and, manifest, next_run, patch, runs, says, succeed, until},
};

const FILE: &str = "ConfigMap hourly-stats-";
const RUN: &str = "Job hourly-";
const SPARK: &str = "SparkApplication hourly-";
const STATUS: &str = "StatsJob hourly";

/// Fields that a run is told, edited at once.
const EDITED: &[Row<'_>] = &[
    ("timeZone", FILE, "timeZone: Europe/Paris"),
    ("window", FILE, "window: 12h"),
    ("granularity", FILE, "granularity: 2h"),
    ("statistics", FILE, "- peakHour"),
    ("queries[].name", FILE, "name: busiest"),
    ("queries[].sql", FILE, "SELECT 1 AS one"),
    ("sinks[].lake.table", FILE, "table: daily"),
    ("sinks[].redis.ttl", FILE, "ttl: 9d"),
    ("sinks[].kafka", FILE, ".city.stats"),
    ("sinks[].postgres.table", FILE, "table: rows"),
    ("sinks[].postgres.credentialsSecretRef.name", RUN, r#""secretName":"database""#),
    ("engine.datafusion.resources", RUN, r#""cpu":"123m""#),
    ("startAt", RUN, r#"windows-from":"2026-01-02T23:00:00Z""#),
];

/// Fields of another engine, and of the windows that a run of it begins with.
const ON_SPARK: &[Row<'_>] = &[
    ("engine.spark.executors", SPARK, r#""instances":7"#),
    ("engine.spark.executorCores", SPARK, r#""cores":3"#),
    ("engine.spark.executorMemory", SPARK, r#""memory":"3072m""#),
    ("engine.spark.image", SPARK, r#""image":"spark:edited""#),
    ("engine.spark.serviceAccount", SPARK, r#""serviceAccount":"driver""#),
    ("engine.spark.config", SPARK, r#""sparkConf":{"spark.a":"b"}"#),
    ("missedRuns", SPARK, r#"windows-from":"2026-01-03T23:00:00Z""#),
];

/// A second run beside the one that goes on, once the lake has another day.
const ALLOWED: Row<'_> = ("concurrencyPolicy", SPARK, r#"windows-from":"2026-01-04T23:00:00Z""#);
/// The first of January in Paris.
const SCHEDULED: Row<'_> = ("schedule", STATUS, r#"-12-31T23:00:00Z""#);
const SUSPENDED: Row<'_> = ("suspend", STATUS, r#""reason":"Suspended""#);
/// This version computes nothing else, and says so.
const REFUSED: Row<'_> = ("groupBy", STATUS, "spec.groupBy: only [zone] is computed yet");
/// Fields whose effect is that a run is gone.
const TIDIED: [&str; 2] = ["failedRunsHistoryLimit", "successfulRunsHistoryLimit"];

fn rows() -> impl Iterator<Item = Row<'static>> {
    EDITED.iter().chain(ON_SPARK).copied().chain([ALLOWED, SCHEDULED, SUSPENDED, REFUSED])
}

#[test]
fn every_field_of_a_job_has_a_row() {
    let all = fields_of::<StatsJob>();
    assert!(all.len() > 25, "{all:#?}");
    let named: BTreeSet<String> =
        rows().map(|(field, ..)| field).chain(TIDIED).chain([PIPELINE_REF]).map(str::to_owned).collect();
    are_named(&all, &named);
}

fn edited() -> Value {
    json!({
        "timeZone": "Europe/Paris", "window": "12h", "granularity": "2h", "statistics": ["peakHour"],
        "queries": [{"name": "busiest", "sql": "SELECT 1 AS one"}],
        "sinks": [
            {"lake": {"table": "daily"}}, {"redis": {"ttl": "9d"}}, {"kafka": {}},
            {"postgres": {"credentialsSecretRef": {"name": "database"}, "table": "rows"}},
        ],
        "engine": {"datafusion": {"resources": {"requests": {"cpu": "123m"}}}},
        "startAt": "2026-01-02T20:00:00Z",
    })
}

async fn is_tidied(city: &City, run: &str) {
    eventually(&format!("{run} is gone"), LIMIT, async || {
        let there: Vec<String> = runs(city).await.into_iter().map(|run| run.name).collect();
        if there.iter().any(|name| name == run) { Err(format!("{there:?}")) } else { Ok(()) }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\noperator:\n{}", city.log()));
}

#[tokio::test]
async fn an_edit_of_any_field_of_a_job_reaches_its_runs_or_its_status() {
    let kafka = json!({"external": {"bootstrapServers": "kafka:9092"}});
    let city = city_with_lake_and(|pipeline| pipeline["spec"]["kafka"] = kafka).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"},
        "stringData": {"url": "postgres://db"},
    });
    city.namespace.apply(&secret.to_string()).await.unwrap();
    city.kubelet.change(|rules| rules.jobs = Outcome::Refuses);
    city.namespace.apply(&manifest(|_| ())).await.unwrap();
    let failed = next_run(&city, &BTreeSet::new()).await;
    until(&city, |job| says(job, "Ready", "False", "RunFailed")).await;
    do_not_show_yet(&city, rows()).await;

    city.kubelet.change(|rules| rules.jobs = Outcome::Never);
    patch(&city, edited()).await;
    reach(&city, EDITED).await;
    let run = next_run(&city, &BTreeSet::from([failed.clone()])).await;
    patch(&city, json!({"failedRunsHistoryLimit": 0})).await;
    is_tidied(&city, &failed.name).await;
    succeed(&city, &run).await;
    patch(&city, json!({"successfulRunsHistoryLimit": 0})).await;
    is_tidied(&city, &run.name).await;

    let spark = json!({
        "executors": 7, "executorCores": 3, "executorMemory": "3Gi", "image": "spark:edited",
        "serviceAccount": "driver", "config": {"spark.a": "b"},
    });
    let engine = json!({"datafusion": null, "spark": spark});
    patch(&city, json!({"window": "1d", "missedRuns": "CatchUpLatest", "engine": engine})).await;
    reach(&city, ON_SPARK).await;

    Lake::of(&city).reaches(6).await;
    patch(&city, json!({"concurrencyPolicy": "Allow"})).await;
    reach(&city, &[ALLOWED]).await;
    patch(&city, json!({"schedule": "0 0 1 1 *"})).await;
    reach(&city, &[SCHEDULED]).await;
    patch(&city, json!({"suspend": true})).await;
    reach(&city, &[SUSPENDED]).await;
    patch(&city, json!({"groupBy": ["area"]})).await;
    reach(&city, &[REFUSED]).await;

    stays_with_its_pipeline::<StatsJob>(&city, JOB, "make a new job").await;
}
