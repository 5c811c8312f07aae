//! What Prometheus scrapes of a pipeline, and what it warns about.
//!
//! Invariants: nothing is planned unless the spec asks for it and the API is served; the warnings about progress are
//! left out while stages rest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_crds::{role::Role, topology::WorkerPlan};

use super::{Plan, metadata, pod, service, warnings, workload};
use crate::{
    foreign::monitoring::{MetricsEndpoint, PodMonitorSpec, PrometheusRuleSpec, RuleGroup, TlsConfig},
    labels,
    owned_kinds::OwnedKind,
    validate::{Run, ValidPipeline},
};

/// Component of objects that belong to the pipeline as a whole.
const COMPONENT: &str = "monitoring";

/// Adds a monitor for each role and one object with all warnings.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let Some(monitoring) = &pipeline.spec.monitoring else {
        return;
    };
    let labelled = |mut metadata: ObjectMeta| {
        let mut labels = monitoring.labels.clone();
        labels.extend(metadata.labels.take().unwrap_or_default());
        ObjectMeta { labels: Some(labels), ..metadata }
    };
    if pipeline.apis.serve(OwnedKind::PodMonitor) {
        for worker in &pipeline.topology.workers {
            let component = labels::component(worker.config.role);
            let metadata = labelled(metadata::owned(pipeline, component, worker.name.as_str()));
            plan.add(OwnedKind::PodMonitor, &metadata::with_spec(metadata, &monitor(pipeline, worker)));
        }
    }
    if pipeline.apis.serve(OwnedKind::PrometheusRule) {
        let metadata = labelled(metadata::owned(pipeline, COMPONENT, pipeline.id.name.as_str()));
        plan.add(OwnedKind::PrometheusRule, &metadata::with_spec(metadata, &warnings(pipeline)));
    }
}

fn monitor(pipeline: &ValidPipeline, worker: &WorkerPlan) -> PodMonitorSpec {
    let encrypted = pod::serves_tls(worker);
    PodMonitorSpec {
        selector: metadata::pods_of(pipeline, labels::component(worker.config.role)),
        pod_target_labels: vec![labels::PIPELINE.to_owned(), labels::COMPONENT.to_owned()],
        pod_metrics_endpoints: vec![MetricsEndpoint {
            port: service::PORT_NAME.to_owned(),
            path: "/metrics".to_owned(),
            scheme: encrypted.then(|| "https".to_owned()),
            // The certificate is made for the public name, a pod is scraped by its address.
            tls_config: encrypted.then_some(TlsConfig { insecure_skip_verify: true }),
        }],
    }
}

fn warnings(pipeline: &ValidPipeline) -> PrometheusRuleSpec {
    let id = &pipeline.id;
    let rests = pipeline
        .topology
        .worker(Role::Occupancy)
        .is_some_and(|worker| matches!(workload::run_of(pipeline, worker), Run::Resting | Run::Fixed(0)));
    let about = warnings::About {
        // As Prometheus writes the labels that the monitors copy from the pods.
        series: format!("namespace=\"{}\",parking_tinyx_io_pipeline=\"{}\"", id.namespace, id.name),
        pipeline: id.name.to_string(),
        full_name: id.to_string(),
        idle_after: (!rests).then(|| pipeline.spec.events.idle_after()),
    };
    PrometheusRuleSpec { groups: vec![RuleGroup { name: format!("parking.{id}"), rules: about.rules() }] }
}
