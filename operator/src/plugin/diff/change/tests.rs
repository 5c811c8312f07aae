use serde_json::json;

use super::*;

fn pipeline(spec: &Value) -> ParkingPipeline {
    let mut all = json!({
        "kafka": {"external": {"bootstrapServers": "k1:9092"}}, "redis": {"managed": {}},
        "objectStore": {"endpoint": "http://minio:9000", "bucket": "city-lake", "retention": "730d"},
        "inventory": {"configMapRef": {"name": "inventory"}}, "events": {"partitions": 4},
    });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "city", "namespace": "parking"}, "spec": all}))
        .unwrap()
}

fn field(path: &[&str], old: &str, new: &str) -> FieldChange {
    FieldChange {
        path: path.iter().map(|&step| step.to_owned()).collect(),
        old: Some(old.into()),
        new: Some(new.into()),
    }
}

fn change(kind: &str, name: &str, verb: Verb) -> Change {
    Change { kind: kind.to_owned(), namespace: "parking".to_owned(), name: name.to_owned(), verb }
}

fn hash() -> FieldChange {
    field(&["spec", "template", "metadata", "annotations", labels::CONFIG_HASH], "a", "b")
}

fn live() -> Live {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "city-alert", "namespace": "parking"}, "spec": {"replicas": 3},
    });
    let mut live = Live::default();
    live.insert(OwnedKind::StatefulSet, serde_json::from_value(set).unwrap());
    live
}

#[test]
fn pods_roll_for_a_named_reason() {
    let image = field(&["spec", "template", "spec", "containers", "name=worker", "image"], "a:1", "a:2");
    let set = |fields: Vec<FieldChange>| change("StatefulSet", "city-alert", Verb::Changed(fields));
    let file = change("ConfigMap", "city-alert", Verb::Changed(vec![field(&["data", "x"], "1", "2")]));
    assert_eq!(
        rolls(&[file, set(vec![hash(), image])], &live()),
        ["city-alert (3 pods): its configuration changed, image a:1 → a:2"]
    );
    assert_eq!(
        rolls(&[set(vec![hash()])], &live()),
        ["city-alert (3 pods): a Secret that it mounts changed"]
    );
}

#[test]
fn a_changed_number_of_pods_rolls_none() {
    let replicas = field(&["spec", "replicas"], "3", "4");
    assert!(rolls(&[change("StatefulSet", "city-alert", Verb::Changed(vec![replicas]))], &live()).is_empty());
}

#[test]
fn a_shorter_retention_of_a_topic_is_data_at_stake() {
    let retention = |old, new| {
        let fields = vec![field(&["spec", "config", "retention.ms"], old, new)];
        [change("KafkaTopic", "parking.city.events", Verb::Changed(fields))]
    };
    let now = pipeline(&json!({}));
    assert_eq!(
        stakes(Some(&now), &now, &retention("1209600000", "864000000")),
        ["topic parking.city.events keeps records for 10d instead of 14d: older ones go"]
    );
    assert!(stakes(Some(&now), &now, &retention("864000000", "1209600000")).is_empty());
}

#[test]
fn a_policy_that_deletes_is_told_once() {
    let (retain, delete) = (pipeline(&json!({})), pipeline(&json!({"deletionPolicy": {"topics": "Delete"}})));
    assert_eq!(
        stakes(Some(&retain), &delete, &[]),
        ["from now on, deleting the pipeline deletes its topics with every record"]
    );
    assert!(stakes(Some(&delete), &delete, &[]).is_empty());
    let mut going = delete.clone();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        stakes(Some(&going), &going, &[]),
        ["the pipeline is being deleted, and its topics with every record with it"]
    );
}

#[test]
fn a_lake_that_moves_or_forgets_is_told() {
    let now = pipeline(&json!({}));
    let store = |bucket: &str, retention: &str| {
        let store = json!({"endpoint": "http://minio:9000", "bucket": bucket, "retention": retention});
        stakes(Some(&now), &pipeline(&json!({"objectStore": store})), &[])
    };
    assert_eq!(store("town", "730d"), ["the tables in bucket city-lake stay there and are read no longer"]);
    assert_eq!(store("city-lake", "30d"), ["rows of the lake that are older than 30d go"]);
    assert!(store("city-lake", "800d").is_empty());
}

#[test]
fn everything_is_shown_under_its_title() {
    let changes = [
        change("ConfigMap", "city-alert", Verb::Created),
        change("StatefulSet", "city-alert", Verb::Changed(vec![hash()])),
        change("Service", "old", Verb::Deleted),
        change("ParkingPipeline", "city", Verb::Refused("spec.events is immutable".to_owned())),
    ];
    insta::assert_snapshot!(show(&changes, &["r".to_owned()], &["s".to_owned()], &[]), @r"
    ConfigMap parking/city-alert  created
    StatefulSet parking/city-alert  changed
        spec.template.metadata.annotations[parking.tinyx.io/config-hash]: a → b
    Service parking/old  deleted
    ParkingPipeline parking/city  refused: spec.events is immutable

    Pods that roll
        r

    Data at stake
        s

    1 created, 1 changed, 1 deleted, 1 refused
    ");
    assert_eq!(show(&[], &[], &[], &[]), "");
}
