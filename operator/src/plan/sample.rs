//! A valid pipeline for tests of single planned objects.

use std::{collections::BTreeMap, sync::Arc};

use parking_crds::{
    manifest::{Manifest, parse},
    role::Role,
    topology::{Replicas, Topology},
};

use crate::{
    apis::{Apis, StrimziVersion},
    settings::PlanSettings,
    validate::{
        Authentication, ExternalCluster, KeptSecret, Owner, RedisLogin, Run, StrimziCluster, ValidKafka,
        ValidPipeline, ValidRedis,
    },
};

/// The pipeline `parking/city` with four partitions, further members of the spec as given, and nothing observed.
pub(crate) fn pipeline(members: &str) -> ValidPipeline {
    with_redis("{}", members)
}

/// The same with the given members of `redis.managed`.
pub(crate) fn with_redis(managed: &str, members: &str) -> ValidPipeline {
    let text = format!(
        "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {{name: city, namespace: parking}}\n\
         spec:\n  kafka: {{strimzi: {{cluster: events, namespace: kafka}}}}\n  redis: {{managed: {managed}}}\n  \
         objectStore: {{bucket: city-lake}}\n  inventory: {{configMapRef: {{name: inv}}}}\n  \
         events: {{partitions: 4}}\n{members}"
    );
    let Manifest::Pipeline(object) = parse(&text).unwrap().remove(0).manifest else { panic!("{text}") };
    let topology = Topology::of(&object, &[], &[]).unwrap();
    let run = |replicas| match replicas {
        Replicas::Fixed(count) => Run::Fixed(count),
        Replicas::Scaled { min, max } => Run::Scaled { min, max },
    };
    let storage = object.spec.redis.managed.as_ref().unwrap().storage();
    ValidPipeline {
        id: topology.pipeline.clone(),
        owner: Owner { kind: "ParkingPipeline", name: "city".to_owned(), uid: "4f1c".to_owned() },
        run: topology.workers.iter().map(|worker| (worker.config.role, run(worker.replicas))).collect(),
        secret_hashes: Role::ALL.into_iter().map(|role| (role, format!("hash-{role}"))).collect(),
        topology,
        kafka: ValidKafka::Strimzi(StrimziCluster {
            namespace: "kafka".parse().unwrap(),
            cluster: "events".parse().unwrap(),
            version: StrimziVersion::V1,
            authentication: Authentication::Tls,
            encrypted: true,
            bootstrap_servers: "events-kafka-bootstrap.kafka.svc:9093".to_owned(),
            credentials: BTreeMap::new(),
            scaler_credentials: None,
            ca: None,
        }),
        redis: ValidRedis::Managed {
            login: RedisLogin::new(KeptSecret("correct-horse".to_owned()), None),
            storage,
        },
        spec: Arc::new(object.spec),
        rules: BTreeMap::new(),
        apis: Apis::all(),
        settings: Arc::new(PlanSettings::default()),
    }
}

/// The Strimzi cluster of a sample.
pub(crate) fn strimzi(pipeline: &mut ValidPipeline) -> &mut StrimziCluster {
    match &mut pipeline.kafka {
        ValidKafka::Strimzi(cluster) => cluster,
        ValidKafka::External(_) => panic!("not run by Strimzi"),
    }
}

/// A Kafka that somebody else runs.
pub(crate) fn external() -> ValidKafka {
    ValidKafka::External(ExternalCluster {
        bootstrap_servers: "k1:9092".to_owned(),
        security_protocol: parking_crds::pipeline::SecurityProtocol::Plaintext,
    })
}
