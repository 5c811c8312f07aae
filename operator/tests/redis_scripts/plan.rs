//! What is planned for a pipeline with a managed Redis, in shorter times.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{
    manifest::{Manifest, parse},
    topology::Topology,
};
use parking_operator::{
    apis::Apis,
    owned_kinds::OwnedKind,
    plan::Planned,
    settings::PlanSettings,
    validate::{ExternalCluster, KeptSecret, Owner, RedisLogin, ValidKafka, ValidPipeline, ValidRedis},
};
use serde_json::Value;

pub(crate) const PASSWORD: &str = "correct-horse";

pub(crate) fn pipeline() -> ValidPipeline {
    let text = "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {name: city, namespace: parking}\n\
                spec:\n  kafka: {external: {bootstrapServers: 'k:9092'}}\n  redis: {managed: {}}\n  \
                objectStore: {bucket: city-lake}\n  inventory: {configMapRef: {name: inv}}\n  events: {partitions: 1}\n";
    let Manifest::Pipeline(object) = parse(text).unwrap().remove(0).manifest else { panic!("{text}") };
    let topology = Topology::of(&object, &[], &[]).unwrap();
    ValidPipeline {
        id: topology.pipeline.clone(),
        owner: Owner { kind: "ParkingPipeline", name: "city".to_owned(), uid: String::new() },
        topology,
        kafka: ValidKafka::External(ExternalCluster {
            bootstrap_servers: "k:9092".to_owned(),
            security_protocol: parking_crds::pipeline::SecurityProtocol::Plaintext,
        }),
        redis: ValidRedis::Managed {
            login: RedisLogin::new(KeptSecret(PASSWORD.to_owned()), None),
            storage: object.spec.redis.managed.as_ref().unwrap().storage(),
        },
        spec: Arc::new(object.spec),
        run: BTreeMap::new(),
        secret_hashes: BTreeMap::new(),
        rules: BTreeMap::new(),
        apis: Apis::default(),
        settings: Arc::new(PlanSettings::default()),
    }
}

/// Settings under which Sentinel does the same in less time.
pub(crate) fn in_short(settings: String) -> String {
    let shorter = [("down-after-milliseconds 5000", "2000"), ("failover-timeout 30000", "6000")];
    shorter.iter().fold(settings, |text, (line, value)| {
        let (setting, _) = line.split_once(' ').unwrap();
        text.replace(line, &format!("{setting} {value}"))
    })
}

pub(crate) fn find(objects: &[Planned], kind: OwnedKind, name: &str) -> Value {
    objects.iter().find(|object| object.kind == kind && object.name == name).unwrap().manifest.clone()
}
