//! What a pipeline writes in one process, on a log in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use parking_workers::{
    adapters::memory::{MemoryClock, MemoryEventLog, MemoryStateStore},
    command::{
        import::ImportSettings,
        replay::{Format, Replay},
    },
    deployment::{self, Deployment},
    domain::alert::{RuleSet, Settings},
    ports::event_log::{EventLog, Stream, StreamPartition},
    runtime::{
        role::{RoleStage, Together},
        stage::{CommitLimits, StagePorts, StageRunner, Turn},
    },
};
use uuid::Uuid;

/// Records by partition.
pub(crate) type Outputs = Vec<Vec<String>>;

pub(crate) struct Reference {
    pub(crate) outputs: BTreeMap<Stream, Outputs>,
}

pub(crate) fn birmingham() -> Deployment {
    deployment::load(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/birmingham")]).unwrap()
}

pub(crate) fn readings(deployment: &Deployment) -> Replay {
    let settings = ImportSettings {
        tenant: deployment.name(),
        partitions: deployment.partitions(),
        batch: 5_000,
        pace: None,
        end_of_input: true,
    };
    Replay::open(Format::Birmingham, &deployment.replay.as_ref().unwrap().1, settings).unwrap()
}

impl Reference {
    pub(crate) async fn of_birmingham() -> Self {
        let deployment = birmingham();
        let log = MemoryEventLog::new(Uuid::from_u128(1), deployment.partitions());
        readings(&deployment).run(&log, &mut |_| ()).await.unwrap();
        let (rules, refused) = RuleSet::compile(&deployment.rules);
        assert!(refused.is_empty());
        let rules = Arc::new(rules);
        let ports = StagePorts {
            log: Arc::new(log.clone()),
            store: Arc::new(MemoryStateStore::default()),
            clock: Arc::new(MemoryClock::new(0)),
        };
        for partition in 0..deployment.partitions() {
            let (limits, inventory, rules) =
                (deployment.limits(), Arc::clone(&deployment.inventory), Arc::clone(&rules));
            let settings = Settings { tenant: deployment.name(), partition };
            let make = move || -> RoleStage<Together> {
                RoleStage::together(limits, &inventory, &rules, settings.clone())
            };
            let mut runner =
                StageRunner::new(ports.clone(), partition, CommitLimits::default(), make, Uuid::new_v4);
            while runner.turn().await.unwrap() != Turn::Idle {}
        }
        let mut outputs = BTreeMap::new();
        for stream in [Stream::Sessions, Stream::Alerts, Stream::DeadLetters] {
            outputs.insert(stream, records(&log, stream, deployment.partitions()).await);
        }
        assert!(outputs[&Stream::Alerts].iter().flatten().any(|record| record.contains("firing")));
        Self { outputs }
    }
}

/// All records of a stream by partition.
pub(crate) async fn records(log: &dyn EventLog, stream: Stream, partitions: u32) -> Outputs {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let (at, mut found, mut next) = (StreamPartition { stream, partition }, Vec::new(), 0);
        loop {
            let fetched = log.read(at, next, 1 << 22).await.unwrap();
            if fetched.records.is_empty() {
                break;
            }
            next = fetched.next_offset();
            found.extend(fetched.records.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()));
        }
        all.push(found);
    }
    all
}

/// Without what was published again: the same bytes, as ids and origins are part of them.
pub(crate) fn each_once(records: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    records.into_iter().filter(|record| seen.insert(record.clone())).collect()
}
