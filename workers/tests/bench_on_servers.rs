//! The bench on a real Kafka, a real Redis and a real object store: small, so that its answers are checked with every
//! change; `make bench` runs it in full.

#![cfg(all(feature = "grpc", feature = "kafka", feature = "redis", feature = "s3"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "lake_on_s3/endpoint.rs"]
#[allow(dead_code, reason = "shared with the tests of the lake")]
mod endpoint;

use std::{
    env,
    path::Path,
    process::{Command, Output, Stdio},
};

use parking_e2e::{
    kafka::Kafka,
    locate::parking,
    minio::KEYS,
    redis::{Options, Redis},
};
use serde_json::Value;

async fn bench(arguments: &[&str]) -> Output {
    let replicated = Options { servers: 2, min_replicas: 1, ..Options::default() };
    let (kafka, redis) = (Kafka::start().unwrap(), Redis::start(&replicated).unwrap());
    let s3 = endpoint::endpoint().await;
    let mut command = Command::new(parking().unwrap());
    command.args(["bench", "servers", "--kafka", &kafka.bootstrap_servers(), "--s3", &s3]);
    command
        .args(["--sentinel", &redis.sentinels()[0].to_string(), "--wait-replicas", "1"])
        .args(["--bucket", endpoint::BUCKET])
        .args(arguments);
    command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    command.stderr(Stdio::inherit()).output().unwrap()
}

#[tokio::test]
async fn small_runs_give_figures_that_the_oracle_has_checked() {
    let output =
        bench(&["--json", "--events", "20000", "--rounds", "1", "--rate", "4000", "--seconds", "3"]).await;
    assert!(output.status.success());
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["events"], 20_000);
    for way in ["plainLoop", "readAndParse", "atLeastOnce", "exactlyOnce", "archive"] {
        assert!(figures[way]["eventsPerSecond"].as_f64().unwrap() > 0.0, "{figures}");
    }
    for latency in ["latency", "latencyAtLeastOnce"] {
        assert_eq!(figures[latency]["events"], 12_000);
        assert!(figures[latency]["alerts"].as_u64().unwrap() > 0, "{figures}");
    }
    for way in ["http", "grpc", "redis"] {
        assert!(figures["ingest"][way]["eventsPerSecond"].as_f64().unwrap() > 0.0, "{figures}");
    }
    assert!(figures["ingest"]["plates"].as_u64().unwrap() > 0, "{figures}");
}

#[tokio::test]
#[ignore = "takes minutes and the whole machine: make bench runs it"]
async fn figures_in_full() {
    let events = env::var("PARKING_BENCH_EVENTS").unwrap_or_else(|_| "2000000".to_owned());
    let spark = env::var("PARKING_SPARK").ok().filter(|folder| Path::new(folder).is_dir());
    let mut arguments = vec!["--events", &events];
    arguments.extend(spark.iter().flat_map(|folder| ["--spark", folder]));
    let output = bench(&arguments).await;
    print!("{}", String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success());
}
