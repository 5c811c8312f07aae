//! prometheus-operator (`monitoring.coreos.com/v1`): what is scraped, and what is warned about.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Serialize;

/// Spec of a `PodMonitor`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// The pods.
    pub selector: LabelSelector,
    /// Labels of the pods that every series carries.
    pub pod_target_labels: Vec<String>,
    /// Where the pods answer.
    pub pod_metrics_endpoints: Vec<MetricsEndpoint>,
}

/// Where a pod answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsEndpoint {
    /// Name of the port.
    pub port: String,
    /// Path of the page.
    pub path: String,
    /// `https`; absent means plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// How the certificate is judged; only with `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
}

/// How a certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsConfig {
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

/// Spec of a `PrometheusRule`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrometheusRuleSpec {
    /// Groups of rules, which are evaluated together.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleGroup {
    /// Unique within the object.
    pub name: String,
    /// The rules.
    pub rules: Vec<AlertingRule>,
}

/// A warning about a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertingRule {
    /// Name of the alert.
    pub alert: String,
    /// `PromQL` that yields a series for each alert.
    pub expr: String,
    /// How long it must hold.
    #[serde(rename = "for")]
    pub hold: String,
    /// Labels of the alert.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
}
