use std::collections::BTreeSet;

use proptest::{prelude::*, string::string_regex};

use super::*;
use crate::{
    manifest::{Manifest, parse},
    names::{Namespace, PipelineName},
    pipeline::{Inventory, ObjectRef},
    worker_config::{Lake, Log, Store},
};

fn pipeline(spec: &str) -> ParkingPipeline {
    let text = format!(
        "apiVersion: parking.tinyx.io/v1alpha1\nkind: ParkingPipeline\nmetadata: {{name: city, namespace: parking}}\n\
         spec:\n  kafka: {{strimzi: {{cluster: events, namespace: kafka}}}}\n  redis: {{managed: {{sentinels: 1}}}}\n  \
         objectStore: {{bucket: city-lake}}\n  inventory: {{configMapRef: {{name: inv}}}}\n{spec}"
    );
    match parse(&text).unwrap().pop().unwrap().manifest {
        Manifest::Pipeline(pipeline) => *pipeline,
        other => panic!("{other:?}"),
    }
}

fn topology(spec: &str) -> Topology {
    Topology::of(&pipeline(spec), &[], &[]).unwrap()
}

#[test]
fn streams_share_partitions_and_take_their_names_from_namespace_and_pipeline() {
    let topology = topology("  events: {partitions: 12}\n");
    let topics: Vec<&str> = topology.streams.iter().map(|plan| plan.topic.as_str()).collect();
    assert_eq!(
        topics,
        ["parking.city.events", "parking.city.sessions", "parking.city.alerts", "parking.city.dead-letters"]
    );
    assert!(topology.streams.iter().all(|plan| plan.partitions == 12));
}

#[test]
fn g1_one_copy_may_be_missing_but_never_all() {
    for (copies, in_sync) in [(1, "1"), (2, "1"), (3, "2"), (5, "4")] {
        let topology = topology(&format!("  events: {{partitions: 1, replicationFactor: {copies}}}\n"));
        let events = topology.stream(Stream::Events).unwrap();
        assert_eq!(events.config["min.insync.replicas"], in_sync, "{copies} copies");
    }
}

#[test]
fn retention_counts_from_the_append_so_that_replayed_history_stays() {
    let topology = topology("  events: {partitions: 1, retention: 2d}\n");
    let events = topology.stream(Stream::Events).unwrap();
    assert_eq!(events.config["message.timestamp.type"], "LogAppendTime");
    assert_eq!(events.config["retention.ms"], "172800000");
}

#[test]
fn the_required_roles_run_without_being_mentioned() {
    let topology = topology("  events: {partitions: 1}\n  workers: {console: {replicas: 2}}\n");
    let roles: Vec<Role> = topology.workers.iter().map(|plan| plan.config.role).collect();
    assert_eq!(
        roles,
        [Role::Ingest, Role::Occupancy, Role::Alert, Role::Archive, Role::Notify, Role::Console]
    );
    assert_eq!(topology.worker(Role::Console).unwrap().replicas, Replicas::Fixed(2));
    assert_eq!(topology.worker(Role::Ingest).unwrap().replicas, Replicas::Fixed(1));
}

#[test]
fn roles_that_own_partitions_never_outnumber_them() {
    let topology = topology(
        "  events: {partitions: 4}\n  workers:\n    ingest: {replicas: 9}\n    occupancy: {replicas: 9}\n    \
         alert: {autoscaling: {minReplicas: 6, maxReplicas: 12, lagThreshold: 5000}}\n",
    );
    assert_eq!(topology.worker(Role::Ingest).unwrap().replicas, Replicas::Fixed(9));
    assert_eq!(topology.worker(Role::Occupancy).unwrap().replicas, Replicas::Fixed(4));
    assert_eq!(topology.worker(Role::Alert).unwrap().replicas, Replicas::Scaled { min: 4, max: 4 });
}

#[test]
fn a_worker_is_told_where_log_state_and_lake_are() {
    let topology = topology("  events: {partitions: 1}\n");
    let config = &topology.worker(Role::Occupancy).unwrap().config;
    assert!(matches!(&config.log, Log::Kafka { bootstrap_servers, .. }
        if bootstrap_servers == "events-kafka-bootstrap.kafka.svc:9093"));
    assert!(matches!(&config.store, Store::Redis { sentinels, .. }
        if *sentinels == ["city-redis-sentinel-0.city-redis-sentinel.parking.svc:26379"]));
    assert!(matches!(&config.lake, Lake::S3 { prefix, .. } if prefix.as_str() == "parking/city/"));
}

#[test]
fn only_the_roles_that_need_them_get_routes_rolling_and_keys() {
    let topology = topology("  events: {partitions: 1}\n  routes: [{name: ops, console: {}}]\n");
    for plan in &topology.workers {
        assert_eq!(!plan.config.routes.is_empty(), plan.config.role == Role::Notify);
        assert_eq!(plan.config.roll_after.is_some(), plan.config.role == Role::Archive);
        assert_eq!(plan.config.ingest.is_some(), plan.config.role == Role::Ingest);
    }
}

#[test]
fn rules_and_jobs_of_other_pipelines_are_left_out() {
    let text = ["b", "a", "c"].map(|name| {
        let pipeline = if name == "c" { "town" } else { "city" };
        format!(
            "apiVersion: parking.tinyx.io/v1alpha1\nkind: StatsJob\nmetadata: {{name: {name}, namespace: parking}}\n\
             spec: {{pipelineRef: {{name: {pipeline}}}, schedule: \"15 * * * *\", statistics: [occupancy], sinks: [{{kafka: {{}}}}]}}\n"
        )
    });
    let jobs: Vec<StatsJob> = parse(&text.join("---\n"))
        .unwrap()
        .into_iter()
        .filter_map(|document| match document.manifest {
            Manifest::StatsJob(job) => Some(*job),
            _ => None,
        })
        .collect();
    let topology = Topology::of(&pipeline("  events: {partitions: 1}\n"), &[], &jobs).unwrap();
    assert_eq!(topology.jobs.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b"]);
}

#[test]
fn every_worker_configuration_reads_back() {
    let topology = topology("  events: {partitions: 3}\n  routes: [{name: ops, console: {}}]\n");
    for plan in topology.workers {
        let text = plan.config.to_yaml().unwrap();
        assert_eq!(WorkerConfig::parse(&text).unwrap(), plan.config, "{text}");
    }
}

#[test]
fn an_inventory_in_the_bucket_is_named_by_its_key() {
    let mut pipeline = pipeline("  events: {partitions: 1}\n");
    let key = "inventory/city.yaml".to_owned();
    pipeline.spec.inventory =
        Inventory { config_map_ref: None, object_ref: Some(ObjectRef { key: key.clone() }) };
    let config = Topology::of(&pipeline, &[], &[]).unwrap().workers.remove(0).config;
    assert_eq!(config.inventory_object, Some(key));
    assert_eq!(WorkerConfig::parse(&config.to_yaml().unwrap()).unwrap(), config);
}

#[test]
fn every_stream_has_a_role_that_writes_it_and_one_that_reads_it() {
    for stream in Stream::ALL {
        let required = || Role::ALL.into_iter().filter(|role| role.is_required());
        assert!(required().any(|role| role.writes().contains(&stream)), "{stream}");
        assert!(required().any(|role| role.reads().contains(&stream)), "{stream}");
    }
}

#[test]
fn a_worker_configuration_with_an_unknown_field_or_version_is_refused() {
    let config = topology("  events: {partitions: 3}\n").workers.remove(0).config;
    let text = config.to_yaml().unwrap();
    let error = WorkerConfig::parse(&format!("{text}surprise: 1\n")).unwrap_err().to_string();
    assert!(error.contains("surprise"), "{error}");
    let error = WorkerConfig::parse(&text.replace("version: 1", "version: 2")).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
}

fn id() -> impl Strategy<Value = PipelineId> {
    let text = |pattern: &str, max| {
        string_regex(pattern.trim_matches(['^', '$'])).unwrap().prop_map(move |text: String| {
            text.chars().take(max).collect::<String>().trim_end_matches('-').to_owned()
        })
    };
    (text(Namespace::PATTERN, Namespace::MAX_LENGTH), text(PipelineName::PATTERN, PipelineName::MAX_LENGTH))
        .prop_map(|(namespace, name)| PipelineId {
            namespace: namespace.parse().unwrap(),
            name: name.parse().unwrap(),
        })
}

/// Every name that may not be shared with another pipeline, by the space in which it must be unique.
fn shared_names(id: &PipelineId) -> Vec<String> {
    let topics = Stream::ALL.iter().map(|stream| format!("topic {}", id.topic(*stream)));
    let groups = Role::ALL.iter().map(|role| format!("group {}", id.group(*role)));
    let users = Role::ALL.iter().map(|role| id.user(*role)).chain([id.scaler_user()]);
    let users = users.map(|user| format!("user {user}"));
    let prefixes = [format!("store {}", id.store_prefix()), format!("lake {}", id.lake_prefix())];
    let local = local_names(id).into_iter().map(|name| format!("workload {}/{name}", id.namespace));
    topics.chain(groups).chain(users).chain(prefixes).chain(local).collect()
}

fn local_names(id: &PipelineId) -> Vec<WorkloadName> {
    Role::ALL.iter().map(|role| id.workload(*role)).chain([id.redis(), id.sentinel()]).collect()
}

proptest! {
    #[test]
    fn derived_names_are_valid_and_unique_within_a_pipeline(id in id()) {
        let (shared, local) = (shared_names(&id), local_names(&id));
        prop_assert_eq!(shared.iter().collect::<BTreeSet<_>>().len(), shared.len());
        prop_assert_eq!(local.iter().collect::<BTreeSet<_>>().len(), local.len());
        for stream in Stream::ALL {
            prop_assert!(id.topic(stream).as_str().parse::<TopicName>().is_ok());
        }
        for role in Role::ALL {
            prop_assert!(id.user(role).as_str().parse::<UserName>().is_ok());
        }
        prop_assert!(id.scaler_user().as_str().parse::<UserName>().is_ok());
        for name in local {
            prop_assert!(name.as_str().parse::<WorkloadName>().is_ok());
        }
        prop_assert!(id.store_prefix().as_str().parse::<KeyPrefix>().is_ok());
        prop_assert!(id.lake_prefix().as_str().parse::<KeyPrefix>().is_ok());
    }

    #[test]
    fn no_two_pipelines_share_a_name(a in id(), b in id()) {
        prop_assume!(a != b);
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (shared_names(&a).into_iter().collect(), shared_names(&b).into_iter().collect());
        prop_assert!(a.is_disjoint(&b));
    }

    #[test]
    fn equal_names_in_two_namespaces_are_told_apart(a in id(), b in id()) {
        let b = PipelineId { name: a.name.clone(), ..b };
        prop_assume!(a.namespace != b.namespace);
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (shared_names(&a).into_iter().collect(), shared_names(&b).into_iter().collect());
        prop_assert!(a.is_disjoint(&b));
    }

    #[test]
    fn one_prefix_never_begins_another(a in id(), b in id()) {
        prop_assume!(a != b);
        prop_assert!(!a.lake_prefix().as_str().starts_with(b.lake_prefix().as_str()));
        prop_assert!(!a.store_prefix().as_str().starts_with(b.store_prefix().as_str()));
    }
}
