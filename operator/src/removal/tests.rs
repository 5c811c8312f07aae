use kube::core::DynamicObject;
use serde_json::json;

use super::*;

fn id() -> PipelineId {
    PipelineId { namespace: "parking".parse().unwrap(), name: "city".parse().unwrap() }
}

fn object(kind: OwnedKind, name: &str, component: &str) -> (OwnedKind, DynamicObject) {
    let object = json!({
        "metadata": {"name": name, "namespace": "parking", "labels": {labels::COMPONENT: component}},
        "spec": {},
    });
    (kind, serde_json::from_value(object).unwrap())
}

fn everything() -> Vec<(OwnedKind, DynamicObject)> {
    vec![
        object(OwnedKind::StatefulSet, "city-occupancy", "occupancy"),
        object(OwnedKind::StatefulSet, "city-redis", "redis"),
        object(OwnedKind::KafkaTopic, "city-events", "streams"),
        object(OwnedKind::KafkaUser, "city-occupancy-1", "occupancy"),
        object(OwnedKind::PersistentVolumeClaim, "data-city-redis-0", "redis"),
        object(OwnedKind::Secret, "city-redis", "redis"),
        object(OwnedKind::Secret, "city-kafka-ca", "streams"),
        object(OwnedKind::ConfigMap, "city-occupancy", "occupancy"),
    ]
}

fn delete_everything() -> DeletionPolicy {
    let delete = Some(Retention::Delete);
    DeletionPolicy { topics: delete, bucket: delete, redis: delete }
}

fn next_at(
    objects: &[(OwnedKind, DynamicObject)],
    pods: &[&str],
    policy: &DeletionPolicy,
    age: i64,
) -> Removal {
    let mut live = Live::default();
    for (kind, object) in objects {
        live.insert(*kind, object.clone());
    }
    let pods: Vec<String> = pods.iter().map(|&component| component.to_owned()).collect();
    next(&Situation {
        id: &id(),
        policy,
        live: &live,
        pods: &pods,
        bucket_done: policy.bucket() == Retention::Retain,
        deleted: Timestamp::UNIX_EPOCH,
        now: Timestamp::from_second(age).unwrap(),
    })
}

fn names(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(|key| key.name.as_str()).collect()
}

#[test]
fn workers_go_first_and_their_pods_are_waited_for() {
    let first = next_at(&everything(), &["occupancy", "redis"], &delete_everything(), 1);
    assert_eq!(names(&first.delete), ["city-occupancy"]);
    let without_set = &everything()[1..];
    let second = next_at(without_set, &["occupancy", "redis"], &delete_everything(), 1);
    assert_eq!(second.delete, []);
    assert_eq!(second.waiting, ["1 workers"]);
}

#[test]
fn topics_and_users_go_before_redis() {
    let removal = next_at(&everything()[1..], &["redis"], &delete_everything(), 1);
    assert_eq!(names(&removal.delete), ["city-events", "city-occupancy-1"]);
}

#[test]
fn retained_topics_are_forgotten_by_strimzi_before_their_resources_go() {
    let removal = next_at(&everything()[1..], &["redis"], &DeletionPolicy::default(), 1);
    assert_eq!(names(&removal.forget), ["city-events"]);
    assert_eq!(removal.delete, []);
}

#[test]
fn volumes_go_by_policy_and_after_the_servers() {
    let stores: Vec<_> = everything()
        .into_iter()
        .filter(|(kind, _)| {
            matches!(kind, OwnedKind::PersistentVolumeClaim | OwnedKind::Secret | OwnedKind::ConfigMap)
        })
        .collect();
    let deleted = next_at(&stores, &[], &delete_everything(), 1);
    assert_eq!(names(&deleted.delete), ["data-city-redis-0"]);
    let retained = next_at(&stores, &[], &DeletionPolicy::default(), 1);
    assert_eq!(names(&retained.delete), ["city-kafka-ca", "city-occupancy"], "claims and password stay");
}

#[test]
fn the_bucket_is_emptied_by_policy_only() {
    assert!(next_at(&[], &[], &delete_everything(), 1).purge);
    let retained = next_at(&[], &[], &DeletionPolicy::default(), 1);
    assert!(!retained.purge);
    assert!(retained.done);
}

#[test]
fn each_wait_is_bounded_and_what_stays_behind_is_named() {
    let topics = &everything()[2..3];
    let waiting = next_at(topics, &[], &delete_everything(), 479);
    assert_eq!(waiting.waiting, ["KafkaTopic parking/city-events"]);
    let given_up = next_at(topics, &[], &DeletionPolicy { bucket: None, ..delete_everything() }, 480);
    assert_eq!(given_up.left_behind, ["KafkaTopic parking/city-events"]);
    assert!(given_up.done);
}
