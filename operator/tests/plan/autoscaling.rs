//! What changes the number of workers, and when it may.

use parking_crds::role::Role;
use parking_operator::{
    apis::Apis,
    owned_kinds::OwnedKind as Kind,
    plan::plan,
    validate::{Run, ValidPipeline},
};
use serde_json::{Value, json};

use crate::fixture::{find, object, planned, valid};

const LAG: &str =
    "  workers: {alert: {autoscaling: {minReplicas: 1, maxReplicas: 12, lagThreshold: 5000}}}\n";
const CPU: &str =
    "  workers: {ingest: {autoscaling: {minReplicas: 0, maxReplicas: 9, cpuUtilization: 70}}}\n";

fn resting(spec: &str, role: Role) -> ValidPipeline {
    let mut pipeline = valid(spec);
    pipeline.run.insert(role, Run::Resting);
    pipeline
}

#[test]
fn lag_scales_up_to_the_partitions_and_down_slowly() {
    let plan = planned(LAG);
    let spec = &object(&plan, Kind::ScaledObject, "city-alert")["spec"];
    assert_eq!((&spec["minReplicaCount"], &spec["maxReplicaCount"]), (&json!(1), &json!(4)));
    let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    assert_eq!(behavior["scaleDown"]["stabilizationWindowSeconds"], 300);
    assert_eq!(spec["fallback"]["behavior"], "currentReplicas");
    let trigger = &spec["triggers"][0]["metadata"];
    assert_eq!(trigger["offsetResetPolicy"], "earliest");
    assert_eq!(trigger["topic"], "parking.city.events");
    assert_eq!(trigger["consumerGroup"], "parking.city.alert");
    let texts = trigger.as_object().unwrap().values();
    assert!(texts.into_iter().all(Value::is_string), "{trigger}");
    assert!(object(&plan, Kind::StatefulSet, "city-alert")["spec"].get("replicas").is_none());
}

#[test]
fn the_archive_is_scaled_by_the_stream_that_is_furthest_behind() {
    let plan = planned("  workers: {archive: {autoscaling: {maxReplicas: 2, lagThreshold: 9}}}\n");
    let triggers = &object(&plan, Kind::ScaledObject, "city-archive")["spec"]["triggers"];
    let names: Vec<&str> =
        triggers.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["events", "sessions", "alerts", "dead-letters"]);
}

#[test]
fn keda_logs_in_as_its_own_user() {
    let plan = planned(LAG);
    let parameters = &object(&plan, Kind::TriggerAuthentication, "city-alert")["spec"]["secretTargetRef"];
    let user = valid("").id.scaler_login().to_string();
    assert_eq!(
        *parameters,
        json!([
            {"parameter": "username", "name": user, "key": "username"},
            {"parameter": "password", "name": user, "key": "password"},
            {"parameter": "ca", "name": "city-kafka-ca", "key": "ca.crt"},
        ])
    );
}

#[test]
fn keda_is_told_to_rest_and_keeps_its_object() {
    let plan = plan(&resting(LAG, Role::Alert));
    let scaler = object(&plan, Kind::ScaledObject, "city-alert");
    assert_eq!(scaler["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"], "0");
    assert_eq!(object(&plan, Kind::StatefulSet, "city-alert")["spec"]["replicas"], 0);
    assert!(object(&planned(LAG), Kind::ScaledObject, "city-alert")["metadata"].get("annotations").is_none());
}

#[test]
fn a_cpu_scaler_is_left_out_while_its_role_rests() {
    let running = planned(CPU);
    let spec = &object(&running, Kind::HorizontalPodAutoscaler, "city-ingest")["spec"];
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(1), &json!(9)));
    assert_eq!(spec["scaleTargetRef"]["kind"], "Deployment");
    let resting = plan(&resting(CPU, Role::Ingest));
    assert!(find(&resting, Kind::HorizontalPodAutoscaler, "city-ingest").is_none());
}

#[test]
fn whoever_holds_a_fixed_number_has_no_scaler_beside() {
    for (spec, role) in [(LAG, Role::Alert), (CPU, Role::Ingest)] {
        let mut pipeline = valid(spec);
        pipeline.run.insert(role, Run::Fixed(2));
        let kinds = [Kind::ScaledObject, Kind::TriggerAuthentication, Kind::HorizontalPodAutoscaler];
        assert!(plan(&pipeline).objects.iter().all(|object| !kinds.contains(&object.kind)));
    }
}

#[test]
fn what_the_cluster_does_not_serve_is_not_planned() {
    let mut pipeline = valid(&format!("{LAG}  monitoring: {{labels: {{release: prometheus}}}}\n"));
    let optional = |pipeline: &ValidPipeline| {
        plan(pipeline).objects.iter().filter(|object| object.kind.row().optional).count()
    };
    assert!(optional(&pipeline) > 0);
    pipeline.apis = Apis::default();
    let ours = [Kind::ScaledObject, Kind::TriggerAuthentication, Kind::PodMonitor, Kind::PrometheusRule];
    assert!(plan(&pipeline).objects.iter().all(|object| !ours.contains(&object.kind)));
}

#[test]
fn prometheus_finds_what_it_selects_by_label() {
    let plan = planned("  monitoring: {labels: {release: prometheus, app.kubernetes.io/component: mine}}\n");
    for (kind, name, component) in
        [(Kind::PodMonitor, "city-alert", "alert"), (Kind::PrometheusRule, "city", "monitoring")]
    {
        let labels = &object(&plan, kind, name)["metadata"]["labels"];
        assert_eq!(labels["release"], "prometheus");
        assert_eq!(labels["app.kubernetes.io/component"], component);
    }
}
