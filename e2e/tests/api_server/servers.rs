//! The servers of the tests: they start, they can be talked to, and nothing of them stays.

use std::{fs, path::Path, process::Command, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use parking_e2e::{
    kubernetes::{cluster::Cluster, control_plane::ControlPlane, namespace::Namespace},
    process::run,
    wait::eventually,
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

/// Processes that work in the folder, by their command lines.
fn at_work(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let readable = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    readable.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}

/// Whether this machine may start servers; with a cluster from outside none are started.
fn starts_servers() -> bool {
    std::env::var_os("KUBECONFIG").is_none()
}

#[test]
fn dropped_servers_leave_neither_process_nor_file() {
    if !starts_servers() {
        return;
    }
    let plane = ControlPlane::start().unwrap();
    let folder = plane.folder();
    // The controller manager is the last to come.
    let all = || (at_work(&folder).len() >= 4).then_some(());
    eventually("four servers", LIMIT, all).unwrap();
    drop(plane);
    assert_eq!(at_work(&folder), Vec::<String>::new());
    assert!(!folder.exists());
}

#[test]
fn servers_end_with_the_process_that_runs_them_even_by_kill() {
    if !starts_servers() {
        return;
    }
    let plane = ControlPlane::start().unwrap();
    let folder = plane.folder();
    let killed = run(Command::new("kill").args(["-KILL", &plane.id().to_string()]), LIMIT).unwrap();
    assert!(killed.status.success());
    drop(plane);
    eventually("the end of every server", LIMIT, || at_work(&folder).is_empty().then_some(())).unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn every_request_is_in_the_audit_log_with_user_verb_and_resource() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let Some(log) = cluster.audit_log() else { return };
    let mark = log.mark().unwrap();
    let maps = namespace.api::<ConfigMap>();
    namespace.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}").await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    let again: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    assert!(maps.create(&PostParams::default(), &again).await.is_err());
    let events = log.since(mark).unwrap();
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.namespace() == namespace.name() && event.user() == "admin")
        .map(|event| (event.verb.as_str(), event.resource(), event.code(), event.changes()))
        .collect();
    assert_eq!(
        seen,
        [
            ("patch", "configmaps", 201, true),
            ("list", "configmaps", 200, false),
            ("create", "configmaps", 409, true)
        ]
    );
}

#[tokio::test]
async fn a_failing_test_tells_what_was_in_its_namespace() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    namespace.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: told}}").await.unwrap();
    let content = namespace.content().await.unwrap();
    let told = content.iter().find(|object| object["metadata"]["name"] == "told").unwrap();
    assert_eq!((&told["kind"], &told["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    assert_eq!(told["metadata"].get("managedFields"), None);
}

#[tokio::test]
async fn a_namespace_is_deleted_with_its_value() {
    let cluster = Cluster::join().await.unwrap();
    let namespace = Namespace::create(&cluster).await.unwrap();
    let name = namespace.name().to_owned();
    drop(namespace);
    let all = Api::<k8s_openapi::api::core::v1::Namespace>::all(cluster.client());
    let left = all.get_opt(&name).await.unwrap();
    assert!(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
}
