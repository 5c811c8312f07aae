//! What `helm` makes of the charts.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::installed;

pub(crate) const NAMESPACED: &[&str] =
    &["scope=namespaced", "namespaces={parking,city}", "kafkaNamespaces.kafka={parking,city}"];
pub(crate) const MONITORING: &[&str] =
    &["monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule"];

pub(crate) fn charts() -> PathBuf {
    PathBuf::from("../charts")
}

fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(installed::program("helm"))
        .args(arguments)
        .current_dir(charts())
        .envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.path())))
        .env("KUBECONFIG", home.path().join("none"))
        .output()
        .unwrap()
}

pub(crate) fn rendered_text(chart: &str, sets: &[&str], apis: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["template", "parking-operator", chart, "--namespace", "parking-system"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    arguments.extend(apis.iter().flat_map(|api| ["--api-versions", api]));
    let output = helm(&arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub(crate) fn rendered(sets: &[&str], apis: &[&str]) -> Vec<Value> {
    serde_saphyr::from_multiple(&rendered_text("parking-operator", sets, apis).unwrap()).unwrap()
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The texts of a list; none where there is no list.
pub(crate) fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Everything that can be set at once.
pub(crate) fn everything() -> Vec<&'static str> {
    vec![
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "workerImage.tag=1.2.3",
        "imagePullSecrets[0].name=registry",
        "kafkaNamespaces.kafka={parking}",
        "extraEnv[0].name=HTTPS_PROXY",
        "extraEnv[0].value=http://proxy.example:3128",
        "serviceAccount.annotations.team=mobility",
        "labels.team=mobility",
        "podLabels.team=mobility",
        "podAnnotations.team=mobility",
        "priorityClassName=system-cluster-critical",
        "nodeSelector.disk=ssd",
        "tolerations[0].key=infra",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=zone",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=Exists",
        "service.annotations.team=mobility",
        "podMonitor.labels.release=prometheus",
        "prometheusRule.labels.release=prometheus",
        "networkPolicy.enabled=true",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "uninstall.force=true",
    ]
}

#[test]
fn the_chart_renders_as_reviewed_in_both_scopes_and_with_everything_set() {
    let text = |sets: &[&str], apis: &[&str]| rendered_text("parking-operator", sets, apis).unwrap();
    insta::assert_snapshot!("cluster", text(&[], &[]));
    insta::assert_snapshot!("namespaced", text(NAMESPACED, &[]));
    insta::assert_snapshot!("everything", text(&everything(), MONITORING));
}

#[test]
fn both_charts_pass_strict_lint() {
    for chart in ["parking-operator", "parking-operator-crds"] {
        let output = helm(&["lint", "--strict", chart]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
