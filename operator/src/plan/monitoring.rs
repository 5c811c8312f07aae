//! What Prometheus scrapes of a pipeline, and what it warns about.
//!
//! Invariants: nothing is planned unless the spec asks for it and the API is served; every value of a label or
//! annotation is a text; the warnings about progress are left out while stages rest.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_crds::{role::Role, topology::WorkerPlan};

use super::{Plan, metadata, pod, service, workload};
use crate::{
    foreign::monitoring::{
        AlertingRule, MetricsEndpoint, PodMonitorSpec, PrometheusRuleSpec, RuleGroup, TlsConfig,
    },
    labels,
    owned_kinds::OwnedKind,
    validate::{Run, ValidPipeline},
};

/// Component of objects that belong to the pipeline as a whole.
const COMPONENT: &str = "monitoring";
/// Unread records of one role that call for a look, if they stay for a quarter of an hour.
const MUCH_LAG: u32 = 100_000;

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
    // As Prometheus writes the labels that the monitors copy from the pods.
    let of = format!("{{namespace=\"{}\",parking_tinyx_io_pipeline=\"{}\"}}", id.namespace, id.name);
    let mut rules = vec![
        warning(
            pipeline,
            "ParkingWorkerDown",
            &format!("up{of} == 0"),
            "warning",
            "5m",
            [
                "A worker of pipeline {} does not answer",
                "Look at its log; if it cannot start, the pipeline's condition WorkersAvailable says why.",
            ],
        ),
        warning(
            pipeline,
            "ParkingStageFails",
            &format!("increase(parking_stage_restarts_total{of}[15m]) > 3"),
            "critical",
            "0m",
            [
                "A stage of pipeline {} fails again and again",
                "The worker's log and its /status name the cause; nothing is lost, the stage begins where it stood.",
            ],
        ),
        warning(
            pipeline,
            "ParkingManyDeadLetters",
            &format!(
                "sum(rate(parking_dead_letters_total{of}[15m])) > 0.01 * sum(rate(parking_events_total{of}[15m]))"
            ),
            "warning",
            "15m",
            [
                "More than one event in a hundred of pipeline {} cannot be used",
                "parking deadletters show lists them with their reasons.",
            ],
        ),
    ];
    let rests = pipeline
        .topology
        .worker(Role::Occupancy)
        .is_some_and(|worker| matches!(workload::run_of(pipeline, worker), Run::Resting | Run::Fixed(0)));
    if !rests {
        rules.extend(progress(pipeline, &of));
    }
    PrometheusRuleSpec { groups: vec![RuleGroup { name: format!("parking.{id}"), rules }] }
}

fn progress(pipeline: &ValidPipeline, of: &str) -> [AlertingRule; 2] {
    // A silent partition gets a tick after each `idleAfter`.
    let silence = pipeline.spec.events.idle_after().millis() / 60_000;
    let window = (silence * 3).max(15);
    [
        warning(
            pipeline,
            "ParkingStageBehind",
            &format!("sum by (role) (max by (role, partition) (parking_stage_lag{of})) > {MUCH_LAG}"),
            "warning",
            "15m",
            [
                "The stages of pipeline {} do not keep up",
                "Give the role more workers, up to one for each partition, or autoscaling by lag.",
            ],
        ),
        warning(
            pipeline,
            "ParkingTimeStandsStill",
            &format!("max by (partition) (changes(parking_watermark_milliseconds{of}[{window}m])) == 0"),
            "critical",
            "5m",
            [
                "A partition of pipeline {} makes no progress",
                "Its occupancy stage writes ticks even without events: look at the worker that owns the partition.",
            ],
        ),
    ]
}

fn warning(
    pipeline: &ValidPipeline,
    alert: &str,
    expr: &str,
    severity: &str,
    hold: &str,
    [summary, description]: [&str; 2],
) -> AlertingRule {
    let texts = |pairs: [(&str, String); 2]| -> BTreeMap<String, String> {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    };
    AlertingRule {
        alert: alert.to_owned(),
        expr: expr.to_owned(),
        hold: hold.to_owned(),
        labels: texts([("severity", severity.to_owned()), ("pipeline", pipeline.id.name.to_string())]),
        annotations: texts([
            ("summary", summary.replace("{}", &pipeline.id.to_string())),
            ("description", description.to_owned()),
        ]),
    }
}
