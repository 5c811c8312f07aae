//! `parking stats run` as a process, on the lake that the workers wrote: every sink has what one process computes.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio};

use parking_crds::{
    stats_index::{StatsIndex, key},
    stats_job::{Computation, StatsJob},
    stats_run::{KafkaTarget, StatsRunConfig, arguments, instant},
    time::{Calendar, Window},
    topology::PipelineId,
    version::Version,
    worker_config::Store,
};
use parking_e2e::locate::parking;
use parking_workers::{
    adapters::{
        kafka::{KafkaEventLog, KafkaSettings},
        lake::{DeltaLake, statistics},
        s3::S3ObjectStore,
    },
    domain::stats::StatRow,
    ports::{event_log::Stream, object_store::ObjectStore},
};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use serde_json::{Value, json};

use crate::{
    broker::Broker,
    city::{City, REDIS},
    reference::{self, Reference},
};

/// A job of the city, with every sink.
struct Runs {
    config: StatsRunConfig,
    file: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    told: Value,
    said: String,
}

impl Runs {
    fn of(city: &City, job: &StatsJob, topic: &str) -> Self {
        let archive = city.config(parking_crds::role::Role::Archive);
        let mut spec = job.spec.clone();
        spec.sinks =
            serde_json::from_value(json!([{"lake": {"table": "hourly"}}, {"redis": {}}, {"kafka": {}}]))
                .unwrap();
        let config = StatsRunConfig {
            version: Version,
            job: job.metadata.name.as_ref().unwrap().parse().unwrap(),
            pipeline: PipelineId::of(&city.deployment.pipeline).unwrap(),
            computation: Computation::of(&spec),
            partitions: archive.events.partitions,
            lake: archive.lake,
            redis: Some(archive.store),
            kafka: Some(KafkaTarget { log: archive.log, topic: topic.parse().unwrap() }),
            secrets: archive.secrets,
        };
        let file = city.folder.path().join("run.yaml");
        fs::write(&file, config.to_yaml().unwrap()).unwrap();
        Self { config, file }
    }

    async fn run(&self, range: Window, again: bool) -> Ended {
        let mut command = tokio::process::Command::new(parking().unwrap());
        command.args(arguments(&self.file.display().to_string(), range, again)).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        Ended { code: output.status.code(), told, said }
    }
}

impl City {
    /// Two runs over adjacent ranges leave in every sink what one process leaves, and a third finds nothing to do.
    pub(crate) async fn assert_same_runs(&self, lake: &DeltaLake, reference: &Reference) {
        let log = &self.servers.log;
        let topic = format!("{}.stats", log.group);
        let new = [NewTopic::new(&topic, 1, TopicReplication::Fixed(1))];
        Broker::shared().admin().create_topics(&new, &AdminOptions::new()).await.unwrap();
        let job = self.deployment.jobs.first().unwrap();
        let runs = Runs::of(self, job, &topic);
        let expected = statistics::read(&reference.lake, runs.config.job.as_str()).await.unwrap();
        let starts = || expected.iter().map(|row| row.start);
        let calendar = Calendar::of(&job.spec);
        let windows = calendar.windows(starts().min().unwrap(), starts().max().unwrap());
        let (first, second) = windows.split_at(windows.len() / 3);
        let range = |windows: &[Window]| Window { start: windows[0].start, end: windows.last().unwrap().end };
        for part in [first, second] {
            let ended = runs.run(range(part), false).await;
            assert_eq!((ended.code, &ended.told["outcome"]), (Some(0), &json!("Succeeded")), "{ended:?}");
            assert_eq!(ended.told["windows"], part.len(), "{ended:?}");
        }
        assert_eq!(statistics::read_table(lake, "stats/hourly").await.unwrap(), expected);
        self.assert_in_redis(&runs.config, *windows.last().unwrap(), &expected);
        self.assert_in_kafka(&topic, &windows, &expected).await;
        let index = S3ObjectStore::open(&self.place.settings()).unwrap();
        let index = index.get(&key(&runs.config.job)).await.unwrap().unwrap();
        let index = StatsIndex::parse(&index).unwrap();
        assert_eq!(index.computation, runs.config.computation.id());
        assert_eq!(index.done.iter().collect::<Vec<_>>(), [range(&windows)]);
        let ended = runs.run(range(&windows), false).await;
        assert_eq!((ended.code, &ended.told["outcome"]), (Some(0), &json!("Unchanged")), "{ended:?}");
        self.assert_refusals(&runs, *windows.last().unwrap(), &calendar).await;
    }

    async fn assert_refusals(&self, runs: &Runs, last: Window, calendar: &Calendar) {
        let beyond = calendar.window_at(last.end);
        let ended = runs.run(beyond, false).await;
        assert_eq!((ended.code, &ended.told["outcome"]), (Some(1), &json!("LakeBehind")), "{ended:?}");
        let standing = format!("parking: the lake is behind {}: events stands at ", instant(beyond.end));
        assert!(ended.said.starts_with(&standing), "{}", ended.said);
        let ended = runs.run(Window { start: last.start + 1, end: last.end }, true).await;
        assert_eq!((ended.code, &ended.told["outcome"]), (Some(2), &json!("Failed")), "{ended:?}");
        assert!(ended.said.contains("a range begins and ends where windows do"), "{}", ended.said);
    }

    fn assert_in_redis(&self, config: &StatsRunConfig, last: Window, expected: &[StatRow]) {
        let Store::Redis { prefix, .. } = &self.servers.store else { panic!("no redis") };
        let (master, of) = (REDIS.master().unwrap(), format!("{prefix}stats:{}", config.job));
        let newest: i64 = REDIS.ask(master, &["GET", &format!("{of}:newest")]).unwrap();
        assert_eq!(newest, last.start);
        let key = format!("{of}:{newest}");
        let mut found: BTreeMap<String, String> = REDIS.ask(master, &["HGETALL", &key]).unwrap();
        assert_eq!(found.remove("end"), Some(last.end.to_string()));
        let kept: i64 = REDIS.ask(master, &["PTTL", &key]).unwrap();
        assert!((1..=172_800_000).contains(&kept), "{kept}");
        let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for row in expected.iter().filter(|row| (last.start..last.end).contains(&row.start)) {
            rows.entry(format!("zone:{}", row.zone_id)).or_default().push(shown(row));
        }
        let found: BTreeMap<String, Vec<Value>> =
            found.into_iter().map(|(zone, rows)| (zone, serde_json::from_str(&rows).unwrap())).collect();
        assert!(found == rows, "{} and {} zones in {key}", found.len(), rows.len());
    }

    async fn assert_in_kafka(&self, topic: &str, windows: &[Window], expected: &[StatRow]) {
        let topics = [(Stream::Events, topic.to_owned())].into();
        let settings = KafkaSettings { topics, partitions: 1, ..self.servers.log.clone() };
        let log = KafkaEventLog::open(settings).await.unwrap();
        let found = reference::records(&log, Stream::Events, 1).await.remove(0);
        let mut rows: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for row in expected {
            let window = windows[windows.partition_point(|window| window.end <= row.start)];
            rows.entry((instant(window.start), row.zone_id.clone())).or_default().push(shown(row));
        }
        assert_eq!(found.len(), rows.len());
        for record in found {
            let record: Value = serde_json::from_str(&record).unwrap();
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            assert_eq!(record["rows"], json!(rows[&(text("windowStart"), text("zoneId"))]));
        }
    }
}

/// A row as programs read it.
fn shown(row: &StatRow) -> Value {
    let shown = json!({
        "zone": row.user_zone_id, "zoneId": row.zone_id, "start": instant(row.start),
        "statistic": row.statistic, "value": row.value.map_or(json!(-1), |value| json!(value)),
    });
    // What is read of a number may differ from it in the last bit.
    serde_json::from_str(&shown.to_string()).unwrap()
}
