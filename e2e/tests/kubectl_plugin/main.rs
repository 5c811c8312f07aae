//! `kubectl parking` against a real API server: what it shows is what is there, and what it writes is an annotation
//! of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::process::Output;

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use parking_crds::{pipeline::ParkingPipeline, stats_job::StatsJob};
use parking_e2e::{
    kubernetes::{cluster::Cluster, namespace::Namespace, objects},
    locate::kubectl_plugin,
};
use serde_json::{Value, json};

const PHASE: &str = "parking.tinyx.io/phase";
const BACKFILL: &str = "parking.tinyx.io/backfill";
const FINALIZER: &str = "parking.tinyx.io/cleanup";

/// A pipeline that needs nothing but the API server.
const CITY: &str = "
apiVersion: parking.tinyx.io/v1alpha1
kind: ParkingPipeline
metadata: {name: city}
spec:
  kafka: {external: {bootstrapServers: \"kafka:9092\"}}
  redis: {managed: {}}
  objectStore: {endpoint: \"http://minio:9000\", bucket: city-lake}
  inventory: {configMapRef: {name: city-inventory}}
  events: {partitions: 4, replicationFactor: 1, retention: 7d}
";

const HOURLY: &str = "
apiVersion: parking.tinyx.io/v1alpha1
kind: StatsJob
metadata: {name: hourly}
spec:
  pipelineRef: {name: city}
  schedule: \"15 * * * *\"
  timeZone: Europe/London
  statistics: [occupancy]
  sinks: [{lake: {table: hourly}}]
";

const FULL: &str = "
apiVersion: parking.tinyx.io/v1alpha1
kind: AlertRule
metadata: {name: full}
spec:
  pipelineRef: {name: city}
  severity: warning
  condition: {threshold: {metric: occupancy_now, op: \">=\", value: \"0.9\"}}
";

/// The program, as kubectl would run it for a user whose context names the namespace.
fn parking(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut plugin = namespace.cluster().plugin().unwrap();
    plugin.args(["-n", namespace.name()]).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn fine(namespace: &Namespace, arguments: &[&str]) -> String {
    let output = parking(namespace, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

#[track_caller]
fn ends_with(code: i32, namespace: &Namespace, arguments: &[&str]) -> String {
    let output = parking(namespace, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// Who owns an annotation.
fn owner<K: ResourceExt>(object: &K, annotation: &str) -> Option<String> {
    let holds = |fields: &Value| {
        fields
            .pointer("/f:metadata/f:annotations")
            .is_some_and(|all| all.get(format!("f:{annotation}")).is_some())
    };
    let entry =
        object.managed_fields().iter().find(|entry| entry.fields_v1.as_ref().is_some_and(|it| holds(&it.0)));
    entry?.manager.clone()
}

async fn city(namespace: &Namespace) -> ParkingPipeline {
    namespace.api::<ParkingPipeline>().get("city").await.unwrap()
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gitops_tool_that_applies_again_does_not_undo_a_pause() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    let said = fine(&namespace, &["pause", "city"]);
    assert!(said.contains("kubectl parking resume city"), "{said}");
    namespace.apply(CITY).await.unwrap();
    let paused = city(&namespace).await;
    assert_eq!(paused.annotations().get(PHASE).map(String::as_str), Some("Paused"));
    assert_eq!(owner(&paused, PHASE).as_deref(), Some("kubectl-parking"));
    assert_eq!(paused.spec.lifecycle, None, "the spec belongs to the manifest");

    fine(&namespace, &["stop", "city"]);
    assert_eq!(city(&namespace).await.annotations().get(PHASE).map(String::as_str), Some("Stopped"));
    assert!(fine(&namespace, &["resume", "city"]).contains("city goes on"));
    assert_eq!(city(&namespace).await.annotations().get(PHASE), None);
}

#[tokio::test]
async fn an_annotation_of_somebody_else_is_not_taken_for_a_resume() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    let by_hand = json!({"metadata": {"annotations": {PHASE: "Paused"}}});
    let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    namespace.api::<ParkingPipeline>().patch("city", &params, &Patch::Merge(&by_hand)).await.unwrap();
    let said = ends_with(1, &namespace, &["resume", "city"]);
    assert!(said.contains("`somebody` holds it"), "{said}");
}

#[tokio::test]
async fn waiting_ends_with_the_phase_or_with_what_the_pipeline_is_about() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    let said = ends_with(1, &namespace, &["pause", "city", "--wait", "--timeout", "1s"]);
    assert!(said.contains("the operator has not looked at it yet") && said.contains("status city"), "{said}");
    let status = json!({"apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline", "status": {"phase": "Paused"}});
    let params = PatchParams::apply("e2e-status").force();
    namespace.api::<ParkingPipeline>().patch_status("city", &params, &Patch::Apply(&status)).await.unwrap();
    assert!(fine(&namespace, &["pause", "city", "--wait", "--timeout", "20s"]).contains("city is paused"));
}

#[tokio::test]
async fn an_unknown_name_lists_those_that_exist_and_nothing_is_made() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    for command in ["pause", "resume", "stop", "status", "diff"] {
        let said = parking(&namespace, &[command, "town"]);
        assert!(!said.status.success());
        assert!(text(&said).contains("there is no ParkingPipeline `town`"), "{command}: {}", text(&said));
        assert!(text(&said).contains("there are: city"), "{command}: {}", text(&said));
    }
    assert!(namespace.api::<ParkingPipeline>().get_opt("town").await.unwrap().is_none());
}

#[tokio::test]
async fn a_backfill_is_a_request_with_its_time_on_the_job() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(HOURLY).await.unwrap();
    fine(&namespace, &["backfill", "hourly", "--from", "2016-10-04", "--until", "2016-10-06"]);
    namespace.apply(HOURLY).await.unwrap();
    let job = namespace.api::<StatsJob>().get("hourly").await.unwrap();
    let first = job.annotations()[BACKFILL].clone();
    assert!(first.starts_with("2016-10-03T23:00:00Z/2016-10-05T23:00:00Z/"), "{first}");
    assert_eq!(owner(&job, BACKFILL).as_deref(), Some("kubectl-parking"));
    let refused =
        ends_with(1, &namespace, &["backfill", "hourly", "--from", "2016-10-06", "--until", "2016-10-04"]);
    assert!(refused.contains("is not before"), "{refused}");
    fine(&namespace, &["backfill", "hourly", "--from", "2016-10-04", "--until", "2016-10-06"]);
    let again = namespace.api::<StatsJob>().get("hourly").await.unwrap().annotations()[BACKFILL].clone();
    assert_ne!(first, again, "the same windows asked for again are another request");
}

#[tokio::test]
async fn release_lists_what_stays_and_lets_go_only_when_told() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    let held = json!({"metadata": {"finalizers": [FINALIZER]}});
    let pipelines: Api<ParkingPipeline> = namespace.api();
    pipelines.patch("city", &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    let child = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: city-ingest\n  labels: {{parking.tinyx.io/pipeline: city, parking.tinyx.io/pipeline-namespace: {}}}\n",
        namespace.name()
    );
    namespace.apply(&child).await.unwrap();
    let early = ends_with(1, &namespace, &["release", "pp/city", "--yes"]);
    assert!(early.contains("is not being deleted"), "{early}");
    pipelines.delete("city", &DeleteParams::default()).await.unwrap();
    let listed = ends_with(1, &namespace, &["release", "pp/city"]);
    assert!(listed.contains(&format!("ServiceAccount {}/city-ingest", namespace.name())), "{listed}");
    assert!(listed.contains("add --yes"), "{listed}");
    assert!(pipelines.get_opt("city").await.unwrap().is_some());
    fine(&namespace, &["release", "parkingpipeline/city", "--yes"]);
    assert!(pipelines.get_opt("city").await.unwrap().is_none());
}

#[tokio::test]
async fn status_shows_what_the_objects_say() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    assert!(fine(&namespace, &["status"]).contains("There is no ParkingPipeline in namespace"));
    namespace.apply(&format!("{CITY}---{FULL}---{HOURLY}")).await.unwrap();
    let ready = json!({"type": "BucketReady", "status": "False", "reason": "MissingRight", "message": "grant s3:PutObject",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"apiVersion": "parking.tinyx.io/v1alpha1", "kind": "ParkingPipeline",
        "status": {"phase": "Running", "conditions": [ready]}});
    let params = PatchParams::apply("e2e-status").force();
    namespace.api::<ParkingPipeline>().patch_status("city", &params, &Patch::Apply(&status)).await.unwrap();
    let tree = fine(&namespace, &["status", "city"]);
    for line in [
        "city  Running",
        "MissingRight: grant s3:PutObject",
        "full  not looked at yet",
        "hourly  no result yet",
    ] {
        assert!(tree.contains(line), "{line}: {tree}");
    }
    assert!(!tree.contains('\u{1b}'), "no colours without a terminal");
    let json: Value = serde_json::from_str(&fine(&namespace, &["status", "-o", "json"])).unwrap();
    assert_eq!(json[0]["name"], format!("ParkingPipeline {}/city", namespace.name()));
    assert_eq!(json[0]["state"], "Running");
}

#[tokio::test]
async fn diff_shows_everything_that_would_be_made_and_makes_nothing() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "city.yaml", &format!("{CITY}---{FULL}---{HOURLY}"));
    let before = namespace.content().await.unwrap().len();
    let told = ends_with(1, &namespace, &["diff", "-f", &path]);
    for (kind, name) in [
        ("ParkingPipeline", "city"),
        ("AlertRule", "full"),
        ("StatefulSet", "city-occupancy"),
        ("StatefulSet", "city-redis"),
        ("ServiceAccount", "hourly-stats-job"),
    ] {
        let line = format!("{kind} {}/{name}  created", namespace.name());
        assert!(told.contains(&line), "{line}: {told}");
    }
    assert!(told.contains("0 changed, 0 deleted, 0 refused"), "{told}");
    assert_eq!(namespace.content().await.unwrap().len(), before);
}

#[tokio::test]
async fn diff_names_fields_pods_and_data_and_what_the_server_refuses() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply(CITY).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let same = file(&folder, "same.yaml", CITY);
    let edited = CITY.replace("retention: 7d", "retention: 3d") + "  deletionPolicy: {bucket: Delete}\n";
    let edited = file(&folder, "edited.yaml", &edited);
    let told = ends_with(1, &namespace, &["diff", "-f", &edited]);
    assert!(told.contains("spec.events.retention: 7d → 3d"), "{told}");
    assert!(told.contains("deleting the pipeline deletes its tables and snapshots in the bucket"), "{told}");
    assert!(!ends_with(1, &namespace, &["diff", "-f", &same]).contains("ParkingPipeline"));
    let refused = file(&folder, "refused.yaml", &CITY.replace("partitions: 4", "partitions: 2"));
    let told = ends_with(1, &namespace, &["diff", "-f", &refused]);
    assert!(told.contains("city  refused: ") && told.contains("partitions"), "{told}");
    let lost = file(&folder, "lost.yaml", &FULL.replace("name: city", "name: town"));
    let told = ends_with(2, &namespace, &["diff", "-f", &lost]);
    assert!(told.contains("AlertRule/full spec.pipelineRef.name: pipeline `town`"), "{told}");
}

#[tokio::test]
async fn diff_refuses_a_name_that_a_foreign_object_has() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let inventory =
        std::fs::read_to_string(parking_e2e::locate::repository().join("examples/birmingham/inventory.yaml"));
    let inventory = inventory
        .unwrap()
        .replace("birmingham-inventory", "city-inventory")
        .replace("namespace: parking", &format!("namespace: {}", namespace.name()));
    namespace.apply(&format!("{inventory}\n---{CITY}")).await.unwrap();
    let first = ends_with(1, &namespace, &["diff", "city"]);
    assert!(first.contains("ConfigMap") && first.contains("created"), "{first}");
    let foreign = "apiVersion: v1\nkind: Service\nmetadata: {name: city-redis}\nspec: {ports: [{port: 1}]}\n";
    namespace.apply(foreign).await.unwrap();
    let told = ends_with(1, &namespace, &["diff", "city"]);
    assert!(told.contains("city-redis  refused: it exists and was not made by the operator"), "{told}");
}

#[tokio::test]
async fn kubectl_finds_the_plugin_and_hands_it_the_arguments() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let stored: Vec<DynamicObject> =
        objects::apply(&namespace.client(), namespace.name(), CITY).await.unwrap();
    assert_eq!(stored.len(), 1);
    let plugin = kubectl_plugin().unwrap();
    let mut kubectl = cluster.kubectl().unwrap();
    let output = kubectl
        .env("PATH", plugin.parent().unwrap())
        .args(["parking", "status", "city", "-n", namespace.name()])
        .output()
        .unwrap();
    assert!(
        text(&output).contains(&format!("ParkingPipeline {}/city", namespace.name())),
        "{}",
        text(&output)
    );
}
