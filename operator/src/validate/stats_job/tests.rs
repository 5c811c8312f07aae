use parking_crds::{lake_index::Table, manifest::API_VERSION};
use serde_json::{Value, json};

use super::*;

/// A pipeline, some jobs, and what the cluster serves.
struct World {
    pipeline: Value,
    jobs: Vec<Value>,
    missing: Vec<&'static str>,
    apis: Apis,
}

impl World {
    fn new() -> Self {
        Self {
            pipeline: json!({
                "apiVersion": API_VERSION, "kind": "ParkingPipeline",
                "metadata": {"name": "city", "namespace": "parking"},
                "spec": {
                    "kafka": {"external": {"bootstrapServers": "k1:9092", "credentialsSecretRef": {"name": "kafka"}}},
                    "redis": {"managed": {}},
                    "objectStore": {
                        "bucket": "city-lake", "retention": "30d", "credentialsSecretRef": {"name": "minio"},
                        "caSecretRef": {"name": "minio-ca"},
                    },
                    "inventory": {"configMapRef": {"name": "inventory"}},
                    "events": {"partitions": 4},
                },
            }),
            jobs: vec![job("hourly", 1)],
            missing: Vec::new(),
            apis: Apis::all(),
        }
    }

    /// Changes a field of the first job's spec.
    fn with(mut self, field: &str, to: Value) -> Self {
        self.jobs[0]["spec"][field] = to;
        self
    }

    fn judge(&self) -> Result<ValidJob, Vec<Problem>> {
        let (jobs, pipeline, missing_secrets) = self.objects();
        let around = JobSurroundings {
            pipeline: pipeline.as_ref(),
            jobs: &jobs,
            missing_secrets: &missing_secrets,
            apis: &self.apis,
            settings: &Arc::default(),
        };
        stats_job(&jobs[0], &around)
    }

    fn objects(&self) -> (Vec<StatsJob>, Option<ParkingPipeline>, BTreeSet<ObjectName>) {
        let jobs = self.jobs.iter().map(|job| serde_json::from_value(job.clone()).unwrap()).collect();
        let pipeline = serde_json::from_value(self.pipeline.clone()).unwrap();
        (jobs, pipeline, self.missing.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn refused(&self) -> (ConditionType, Reason, String) {
        let mut problems = self.judge().unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let Problem { condition, reason, message, .. } = problems.remove(0);
        (condition, reason, message)
    }

    fn says(&self, condition: ConditionType, reason: Reason, words: &str) {
        let (found, why, message) = self.refused();
        assert_eq!((found, why), (condition, reason), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

fn job(name: &str, age: i64) -> Value {
    let created = jiff::Timestamp::from_second(1_500_000_000 - age).unwrap().to_string();
    json!({
        "apiVersion": API_VERSION, "kind": "StatsJob",
        "metadata": {"name": name, "namespace": "parking", "uid": "u", "generation": 3, "creationTimestamp": created},
        "spec": {
            "pipelineRef": {"name": "city"}, "schedule": "15 * * * *", "statistics": ["occupancy", "dwell"],
            "sinks": [{"lake": {"table": "hourly"}}],
        },
    })
}

const ACCEPTED: ConditionType = ConditionType::Accepted;

#[test]
fn a_job_mounts_the_secrets_of_its_sinks_and_no_others() {
    let plain = World::new().judge().unwrap();
    let names = |job: &ValidJob| job.environment.secrets.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&plain), ["minio", "minio-ca"]);
    assert!(plain.environment.redis.is_none() && plain.environment.kafka.is_none());
    let sinks = json!([
        {"redis": {}}, {"kafka": {}}, {"postgres": {"credentialsSecretRef": {"name": "pg"}, "table": "hourly"}},
    ]);
    let all = World::new().with("sinks", sinks).judge().unwrap();
    assert_eq!(names(&all), ["city-redis", "kafka", "minio", "minio-ca", "pg"]);
    assert_eq!(all.environment.kafka.unwrap().topic.as_str(), "parking.city.stats");
}

#[test]
fn a_run_waits_for_the_tables_that_it_reads() {
    let job = World::new().judge().unwrap();
    assert_eq!(job.tables(true), [Table::Events, Table::Sessions]);
    assert_eq!(job.tables(false), [Table::Events], "zones that only count have no stays");
    let queries = json!([{"name": "a", "sql": "SELECT * FROM alerts"}]);
    let job = World::new().with("statistics", json!([])).with("queries", queries).judge().unwrap();
    assert_eq!(job.tables(true), [Table::Events, Table::Alerts]);
}

#[test]
fn a_job_without_its_pipeline_is_not_accepted() {
    let world = World { pipeline: Value::Null, ..World::new() };
    world.says(ACCEPTED, Reason::RefNotFound, "no ParkingPipeline `city`");
}

#[test]
fn a_job_whose_pipeline_cannot_be_planned_waits() {
    let mut world = World::new();
    world.pipeline["spec"]["kafka"] = json!({});
    world.says(ACCEPTED, Reason::Waiting, "spec.kafka");
}

#[test]
fn a_name_that_leaves_no_room_for_runs_is_refused() {
    let mut world = World::new();
    world.jobs[0]["metadata"]["name"] = "a".repeat(41).into();
    world.says(ACCEPTED, Reason::Invalid, "at most 40");
}

#[test]
fn what_cannot_be_computed_is_refused_before_it_runs() {
    World::new().with("statistics", json!(["revenue"])).says(ACCEPTED, Reason::Invalid, "spec.statistics");
    World::new().with("groupBy", json!(["area"])).says(ACCEPTED, Reason::Invalid, "spec.groupBy");
    World::new().with("engine", json!({})).says(ACCEPTED, Reason::Invalid, "spec.engine");
    World::new().with("window", json!("36h")).says(ACCEPTED, Reason::Invalid, "whole days");
}

#[test]
fn a_window_longer_than_the_lake_remembers_is_refused() {
    World::new().with("window", json!("31d")).says(ACCEPTED, Reason::Invalid, "objectStore.retention");
    assert!(World::new().with("window", json!("30d")).judge().is_ok());
}

#[test]
fn a_sink_names_one_place_and_each_place_once() {
    World::new().with("sinks", json!([{}])).says(ACCEPTED, Reason::Invalid, "spec.sinks[0]");
    let twice = json!([{"lake": {"table": "hourly"}}, {"lake": {"table": "hourly"}}]);
    World::new().with("sinks", twice).says(
        ACCEPTED,
        Reason::Invalid,
        "spec.sinks[1]: the lake's table `hourly`",
    );
}

#[test]
fn a_kafka_sink_needs_a_login_that_may_write() {
    let mut world = World::new().with("sinks", json!([{"kafka": {}}]));
    world.pipeline["spec"]["kafka"] = json!({"strimzi": {"cluster": "events"}});
    world.says(ACCEPTED, Reason::NotSupported, "spec.kafka.external");
}

#[test]
fn the_older_of_two_jobs_keeps_the_table() {
    let mut world = World::new();
    world.jobs.push(job("daily", 9));
    world.says(ACCEPTED, Reason::NameTaken, "older StatsJob `daily`");
    world.jobs.reverse();
    assert!(world.judge().is_ok(), "the older one goes on");
    world.jobs.reverse();
    world.jobs[1]["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
    assert!(world.judge().is_ok(), "one that goes away is in nobody's way");
    world.jobs[1] = job("daily", 9);
    world.jobs[1]["spec"]["pipelineRef"]["name"] = "town".into();
    assert!(world.judge().is_ok(), "another pipeline has its own lake");
}

#[test]
fn spark_needs_its_api_and_an_image() {
    let mut world = World::new().with("engine", json!({"spark": {"image": "spark:1"}}));
    assert!(world.judge().is_ok());
    world.apis = Apis::default();
    world.says(ConditionType::Ready, Reason::ApiAbsent, "sparkoperator.k8s.io");
    World::new().with("engine", json!({"spark": {}})).says(
        ACCEPTED,
        Reason::Invalid,
        "spec.engine.spark.image",
    );
}

#[test]
fn a_missing_secret_is_named() {
    let world = World { missing: vec!["minio-ca"], ..World::new() };
    world.says(ConditionType::Ready, Reason::RefNotFound, "`minio-ca`");
    let elsewhere = World { missing: vec!["pg"], ..World::new() };
    assert!(elsewhere.judge().is_ok(), "it is not mounted");
}
