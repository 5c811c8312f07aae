//! Whether the number of workers makes sense.

use parking_crds::{
    pipeline::Worker,
    topology::{Topology, WorkerPlan},
};
use serde_json::Value;

use super::Finding;
use crate::{owned_kinds::OwnedKind, plan::Plan, validate::ValidPipeline};

pub(super) fn check(topology: &Topology, pipeline: &ValidPipeline, plan: &Plan) -> Vec<Finding> {
    let workers = pipeline.spec.workers.as_ref();
    let mut findings = Vec::new();
    for worker in &topology.workers {
        let settings = workers.and_then(|workers| workers.get(worker.config.role));
        findings.extend(planned(worker, plan));
        findings.extend(settings.into_iter().flat_map(|settings| written(worker, settings)));
    }
    findings
}

/// What the plan holds: no more pods than partitions.
fn planned(worker: &WorkerPlan, plan: &Plan) -> Vec<Finding> {
    if !worker.config.role.owns_partitions() {
        return Vec::new();
    }
    let numbers = [
        (OwnedKind::StatefulSet, "/spec/replicas"),
        (OwnedKind::ScaledObject, "/spec/maxReplicaCount"),
        (OwnedKind::HorizontalPodAutoscaler, "/spec/maxReplicas"),
    ];
    let partitions = u64::from(worker.config.events.partitions);
    let too_many = |(kind, pointer): (OwnedKind, &str)| {
        let object =
            plan.objects.iter().find(|object| object.kind == kind && object.name == worker.name.as_str())?;
        let number = object.manifest.pointer(pointer).and_then(Value::as_u64)?;
        (number > partitions).then(|| {
            let field = format!(
                "{}/{} {}",
                kind.row().name,
                object.name,
                pointer.trim_start_matches('/').replace('/', ".")
            );
            Finding::error(
                field,
                format!("{number} workers for {partitions} partitions: the rest would idle"),
            )
        })
    };
    numbers.into_iter().filter_map(too_many).collect()
}

/// What the spec asks for, before it is bounded.
fn written(worker: &WorkerPlan, settings: &Worker) -> Vec<Finding> {
    let role = worker.config.role;
    let field = |name: &str| format!("spec.workers.{role}.{name}");
    let scaling = settings.autoscaling.as_ref();
    let mut findings = Vec::new();
    let partitions = worker.config.events.partitions;
    let asked = [
        ("replicas", settings.replicas),
        ("autoscaling.maxReplicas", scaling.map(|scaling| scaling.max_replicas)),
    ];
    for (name, number) in asked {
        if let Some(number) = number.filter(|number| role.owns_partitions() && *number > partitions) {
            findings.push(Finding::warning(
                field(name),
                format!("{number} workers are asked for, but {partitions} run at most, one for each partition: ask for fewer"),
            ));
        }
    }
    let by_cpu = scaling.filter(|scaling| scaling.cpu_utilization.is_some());
    if by_cpu.is_some_and(|scaling| scaling.min_replicas() == 0) {
        findings.push(Finding::warning(
            field("autoscaling.minReplicas"),
            "CPU can only be measured of a running worker, so 1 is the fewest: write 1, or scale by lag",
        ));
    }
    if by_cpu.is_some() && settings.resources.as_ref().is_some_and(lacks_cpu) {
        findings.push(Finding::error(
            field("resources.requests.cpu"),
            "cpuUtilization is a share of the request, which is missing: add it",
        ));
    }
    findings
}

/// A limit stands in for a request that is left out.
fn lacks_cpu(resources: &k8s_openapi::api::core::v1::ResourceRequirements) -> bool {
    let names = |list: &Option<std::collections::BTreeMap<String, _>>| {
        list.as_ref().is_some_and(|list| list.contains_key("cpu"))
    };
    !names(&resources.requests) && !names(&resources.limits)
}
